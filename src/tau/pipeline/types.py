"""The words that every part shares: statuses, triggers, levels. Written once, stdlib only."""

from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands; the last six are final and never change."""

    WAITING = "waiting"
    QUEUED = "queued"
    STARTING = "starting"
    RUNNING = "running"
    RETRYING = "retrying"
    SUCCESS = "success"
    FAILED = "failed"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"
    CRASHED = "crashed"

    @property
    def is_final(self) -> bool:
        return self in FINAL_STATUSES


FINAL_STATUSES = frozenset(
    {
        RunStatus.SUCCESS,
        RunStatus.FAILED,
        RunStatus.TIMEOUT,
        RunStatus.CANCELLED,
        RunStatus.SKIPPED,
        RunStatus.CRASHED,
    }
)
ACTIVE_STATUSES = frozenset({RunStatus.STARTING, RunStatus.RUNNING})
CLAIMABLE_STATUSES = frozenset({RunStatus.QUEUED, RunStatus.RETRYING})
BAD_STATUSES = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED})


class Trigger(StrEnum):
    """What asked for a run."""

    MANUAL = "manual"
    SCHEDULE = "schedule"
    RETRY = "retry"
    DAG = "dag"
    BACKFILL = "backfill"


class OnOverlap(StrEnum):
    """What a run does that would exceed its pipeline's max_concurrent."""

    QUEUE = "queue"
    SKIP = "skip"
    CANCEL_RUNNING = "cancel_running"


class Level(StrEnum):
    """Levels of a log line, in rising order."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class Severity(StrEnum):
    """What a check that does not hold does: fail the run, or only mark it."""

    ERROR = "error"
    WARN = "warn"


class EventKind(StrEnum):
    """What an event tells of."""

    HELLO = "hello"
    LOG = "log"
    STEP_START = "step_start"
    STEP_END = "step_end"
    CHECK = "check"
    RESULT = "result"
    FAILURE = "failure"
    SECRET = "secret"  # noqa: S105 - a kind of event
    TRUNCATED = "truncated"
