"""The audit trail: who changed what."""

from datetime import datetime
from typing import Any

from sqlalchemy import insert

from tau.core.auth import Actor
from tau.core.database import Session
from tau.models import AuditEntry
from tau.repositories.base import Repository, SessionT


class AuditRepository(Repository[SessionT]):
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
            insert(AuditEntry).values(
                id=entry_id,
                tenant_id=self._tenant_id,
                at=now,
                action=action,
                target=target,
                actor=actor.key_name,
                agent=actor.agent,
                request_id=actor.request_id,
                reason=reason,
                detail=detail,
            )
        )
