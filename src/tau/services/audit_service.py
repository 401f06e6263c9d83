"""Reading the audit trail."""

from tau.core.database import Database
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.base import encode_cursor
from tau.schemas.audit import AuditList, AuditRow
from tau.services.budget import fit_rows


class AuditService:
    def __init__(self, db: Database) -> None:
        self._db = db

    async def list(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        action: str | None = None,
        target: str | None = None,
        actor: str | None = None,
    ) -> AuditList:
        """Changes from the newest on; `actor` is a key's name or an agent's."""
        async with self._db.read() as session:
            rows, total, more = await AuditRepository(session).list_page(
                limit=limit, cursor=cursor, action=action, target=target, actor=actor
            )
        shown, cut = fit_rows([AuditRow.model_validate(row) for row in rows], limit=limit)
        if cut:
            more = encode_cursor(shown[-1].id)
        return AuditList(entries=list(shown), total=total, next_cursor=more)
