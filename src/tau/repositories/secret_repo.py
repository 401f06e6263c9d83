"""Secrets: encrypted values by name, and the pipelines whose code names them."""

from collections.abc import Sequence
from typing import cast

from sqlalchemy import Text, and_, delete, func, select, type_coerce, union

from tau.core.database import Session
from tau.models import Pipeline, Secret, Version, Webhook
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor


class SecretRepository(Repository[SessionT]):
    async def find(self, name: str) -> Secret | None:
        return await self._session.get(Secret, (self._tenant_id, name))

    async def list_page(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Secret], int, str | None]:
        """Secrets by name, how many there are, and the cursor of the next page."""
        mine = select(Secret).where(self._mine(Secret))
        query = mine
        if cursor is not None:
            query = query.where(Secret.name > decode_cursor(cursor, str)[0])
        query = query.order_by(Secret.name).limit(limit + 1)
        rows = list((await self._session.scalars(query)).all())
        more = encode_cursor(rows[limit - 1].name) if len(rows) > limit else None
        return rows[:limit], await self._count(mine), more

    async def list_known(self, names: Sequence[str]) -> set[str]:
        """Those of the names that are stored."""
        query = select(Secret.name).where(self._mine(Secret), Secret.name.in_(names))
        return set((await self._session.scalars(query)).all())

    async def list_key_ids(self) -> set[str]:
        """The ids of all keys that some value needs, whosever it is: a webhook's, too."""
        used = union(select(Secret.key_id), select(Webhook.key_id))
        return set((await self._session.scalars(used)).all())

    async def count_all(self) -> int:
        """How many there are, of all tenants."""
        return await self._count(select(Secret.name))

    async def list_all(self: "SecretRepository[Session]") -> list[Secret]:
        """Every secret of every tenant, locked until the commit: one ring encrypts them all."""
        query = select(Secret).order_by(Secret.tenant_id, Secret.name).with_for_update()
        return list((await self._session.scalars(query)).all())

    async def lock(self: "SecretRepository[Session]") -> None:
        """One who seals at a time: none with a key that a rotation is about to drop.

        SQLite's write transactions come one after the other anyway.
        """
        if self._session.get_bind().dialect.name == "postgresql":
            key = func.hashtext("secrets")
            await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def keep(self: "SecretRepository[Session]", secret: Secret) -> None:
        """Write a secret, new or changed; its value was sealed for its tenant and name."""
        self._session.add(secret)
        await self._session.flush()

    async def remove(self: "SecretRepository[Session]", name: str) -> None:
        await self._session.execute(delete(Secret).where(self._mine(Secret), Secret.name == name))

    async def list_users(self) -> dict[str, list[str]]:
        """Of each secret that a deployed pipeline's code names, the pipelines by name."""
        query = (
            select(Pipeline.name, Version.spec)
            .join(
                Version,
                and_(
                    Version.pipeline_id == Pipeline.id, Version.number == Pipeline.current_version
                ),
            )
            .where(
                self._mine(Pipeline),
                Pipeline.undeployed_at.is_(None),
                # Few pipelines name any: the others' specs are not worth reading.
                type_coerce(Version.spec, Text).like('%"secrets":["%'),
            )
            .order_by(Pipeline.name)
        )
        users: dict[str, list[str]] = {}
        for pipeline, spec in (await self._session.execute(query)).all():
            for name in cast(list[str], spec.get("secrets") or []):
                users.setdefault(name, []).append(pipeline)
        return users
