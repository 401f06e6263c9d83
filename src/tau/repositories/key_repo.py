"""API keys."""

from datetime import datetime

from sqlalchemy import or_, select

from tau.core.auth import NewKey, Scope
from tau.core.database import Session
from tau.models import ApiKey
from tau.repositories.base import Repository, SessionT


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

    async def add(
        self: "KeyRepository[Session]",
        key: NewKey,
        *,
        name: str,
        scopes: frozenset[Scope],
        now: datetime,
    ) -> None:
        self._session.add(
            ApiKey(
                id=key.key_id,
                tenant_id=self._tenant_id,
                name=name,
                digest=key.digest,
                scopes=sorted(scopes),
                created_at=now,
            )
        )
        await self._session.flush()
