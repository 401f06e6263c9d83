"""API keys."""

from datetime import datetime

from sqlalchemy import or_, select

from tau.core.auth import NewKey, Scope
from tau.core.database import Session
from tau.models import ApiKey
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor


class KeyRepository(Repository[SessionT]):
    async def find_live(self, key_id: str, *, now: datetime) -> ApiKey | None:
        """The key of that id unless it is revoked or has expired."""
        query = select(ApiKey).where(
            self._mine(ApiKey),
            ApiKey.id == key_id,
            ApiKey.revoked_at.is_(None),
            or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now),
        )
        return (await self._session.scalars(query)).one_or_none()

    async def find(self, key_id: str) -> ApiKey | None:
        return await self._session.get(ApiKey, key_id)

    async def list_page(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[ApiKey], int, str | None]:
        """Keys by id, how many there are, and the cursor of the next page."""
        mine = select(ApiKey).where(self._mine(ApiKey))
        query = mine
        if cursor is not None:
            query = query.where(ApiKey.id > decode_cursor(cursor, str)[0])
        rows = list((await self._session.scalars(query.order_by(ApiKey.id).limit(limit + 1))).all())
        more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return rows[:limit], await self._count(mine), more

    async def revoke(self: "KeyRepository[Session]", key: ApiKey, *, now: datetime) -> None:
        key.revoked_at = now
        await self._session.flush()

    async def add(
        self: "KeyRepository[Session]",
        key: NewKey,
        *,
        name: str,
        scopes: frozenset[Scope],
        now: datetime,
        expires_at: datetime | None = None,
    ) -> None:
        self._session.add(
            ApiKey(
                id=key.key_id,
                tenant_id=self._tenant_id,
                name=name,
                digest=key.digest,
                scopes=sorted(scopes),
                created_at=now,
                expires_at=expires_at,
            )
        )
        await self._session.flush()
