"""The daemon's own state on the wire."""

from tau.schemas.base import Output, UtcTime


class HealthRead(Output):
    status: str
    version: str


class StoreRead(Output):
    kind: str
    revision: str


class ExecutorRead(Output):
    slots: int
    busy: int
    queued: int


class StatusRead(Output):
    status: str
    version: str
    pid: int
    started_at: UtcTime
    uptime_s: int
    home: str
    url: str
    store: StoreRead
    executor: ExecutorRead
    runs: dict[str, int]
    pipelines: int
    next: list[str] | None = None
