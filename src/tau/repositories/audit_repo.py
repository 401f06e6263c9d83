"""The audit trail: who changed what."""

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, insert, or_, select

from tau.core.auth import Actor
from tau.core.database import Session
from tau.models import AuditEntry
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor

_INSERT = insert(cast(Table, AuditEntry.__table__))


class AuditRepository(Repository[SessionT]):
    async def list_page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        actor: str | None = None,
    ) -> tuple[list[AuditEntry], int, str | None]:
        """Entries from the newest on, how many match, and the cursor of the next page.

        `target` is a pipeline's name, which its runs match too, or one run.
        """
        query = select(AuditEntry).where(self._mine(AuditEntry))
        if action is not None:
            query = query.where(AuditEntry.action == action)
        if target is not None:
            runs = AuditEntry.target.startswith(f"{target}#", autoescape=True)
            query = query.where(or_(AuditEntry.target == target, runs))
        if actor is not None:
            query = query.where(or_(AuditEntry.actor == actor, AuditEntry.agent == actor))
        total = await self._count(query)
        if cursor is not None:
            query = query.where(AuditEntry.id < decode_cursor(cursor, str)[0])
        query = query.order_by(AuditEntry.id.desc()).limit(limit + 1)
        rows = list((await self._session.scalars(query)).all())
        more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return rows[:limit], total, more

    async def add(
        self: "AuditRepository[Session]",
        entry_id: str,
        action: str,
        *,
        target: str,
        actor: Actor,
        now: datetime,
        reason: str | None = None,
        detail: dict[str, Any] | None = None,
    ) -> None:
        """Keep an entry in the transaction of the change that it tells of."""
        await self._session.execute(
            _INSERT,
            {
                "id": entry_id,
                "tenant_id": self._tenant_id,
                "at": now,
                "action": action,
                "target": target,
                "actor": actor.key_name,
                "agent": actor.agent,
                "request_id": actor.request_id,
                "reason": reason,
                "detail": detail,
            },
        )
