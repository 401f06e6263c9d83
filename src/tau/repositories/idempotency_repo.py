"""Answers kept under the Idempotency-Key of their request."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import CursorResult, delete, select, tuple_, update

from tau.core.database import Session
from tau.models import IdempotencyKey
from tau.repositories.base import Repository, SessionT

KEPT = timedelta(hours=24)


class IdempotencyRepository(Repository[SessionT]):
    async def reserve(
        self: "IdempotencyRepository[Session]", key: str, *, request_sha256: str, now: datetime
    ) -> IdempotencyKey | None:
        """None if the key was free and is ours now, else the row of the request that had it.

        On PostgreSQL the insert waits for another transaction that holds the same key.
        """
        values = {"tenant_id": self._tenant_id, "key": key, "created_at": now}
        statement = (
            self._insert_if_new(IdempotencyKey)
            .values(values | {"request_sha256": request_sha256})
            .returning(IdempotencyKey.key)
        )
        if (await self._session.execute(statement)).one_or_none() is not None:
            return None
        query = select(IdempotencyKey).where(self._mine(IdempotencyKey), IdempotencyKey.key == key)
        return (await self._session.scalars(query)).one()

    async def keep_answer(
        self: "IdempotencyRepository[Session]", key: str, *, status: int, answer: dict[str, Any]
    ) -> None:
        await self._session.execute(
            update(IdempotencyKey)
            .where(self._mine(IdempotencyKey), IdempotencyKey.key == key)
            .values(status=status, answer=answer)
            .execution_options(synchronize_session=False)
        )

    async def remove_old(
        self: "IdempotencyRepository[Session]", *, now: datetime, limit: int
    ) -> int:
        """Free keys of requests that nobody repeats any more, so many at most; how many."""
        key = (IdempotencyKey.tenant_id, IdempotencyKey.key)
        some = select(*key).where(IdempotencyKey.created_at < now - KEPT).limit(limit)
        removed = await self._session.execute(
            delete(IdempotencyKey)
            .where(tuple_(*key).in_(some))
            .execution_options(synchronize_session=False)
        )
        return removed.rowcount if isinstance(removed, CursorResult) else 0
