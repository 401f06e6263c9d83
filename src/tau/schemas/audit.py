"""The audit trail on the wire."""

from tau.schemas.base import FromRow, JsonObject, Output, UtcTime


class AuditRow(FromRow):
    """One change: who made it, with which agent, why."""

    id: str
    at: UtcTime
    action: str
    target: str
    actor: str
    agent: str | None = None
    request_id: str | None = None
    reason: str | None = None
    detail: JsonObject | None = None


class AuditList(Output):
    entries: list[AuditRow]
    total: int
    next_cursor: str | None = None
