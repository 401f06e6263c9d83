"""The daemon's own state on the wire."""

from tau.schemas.base import Output, UtcTime


class HealthRead(Output):
    status: str
    version: str


class ReadyRead(Output):
    status: str


class StoreRead(Output):
    kind: str
    revision: str


class ExecutorRead(Output):
    slots: int
    busy: int
    queued: int


class QueueRead(Output):
    """Unfinished runs that no attempt executes; `oldest_s` is how long the first one could have."""

    waiting: int
    queued: int
    retrying: int
    oldest_s: int | None = None


class NextTick(Output):
    pipeline: str
    at: UtcTime


class SchedulesRead(Output):
    enabled: int
    next: list[NextTick]


class DiskRead(Output):
    """Of the home's disk, and what Tau takes of it."""

    free_bytes: int
    total_bytes: int
    store_bytes: int | None = None


class VersionsRead(Output):
    tau: str
    python: str
    store: str


class Wrong(Output):
    """Something that is not as it should be, and what to do or to look at."""

    what: str
    message: str
    next: list[str] | None = None


class StatusRead(Output):
    """`status` is ok, or trouble where something is `wrong`."""

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
    queue: QueueRead
    schedules: SchedulesRead
    disk: DiskRead
    versions: VersionsRead
    pipelines: int
    wrong: list[Wrong] | None = None
    next: list[str] | None = None
