"""Runs on the wire."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, StringConstraints

from tau.pipeline.durations import parse_duration
from tau.schemas.base import Change, Cut, JsonObject, Output, UtcTime

Timeout = Annotated[
    float, BeforeValidator(parse_duration), Field(gt=0, le=366 * 86_400, allow_inf_nan=False)
]


class RunCreate(Change):
    """A request to run a pipeline.

    `timeout` (seconds, or text such as "30m") goes before the pipeline's own. `dry_run` says what
    would happen, `validate_only` checks the params; neither queues a run or executes code.
    `start_date` and `end_date` are the span of data time: ISO dates or datetimes in the
    pipeline's zone; a bare end date includes its day.
    """

    params: JsonObject = Field(default_factory=dict)
    timeout: Timeout | None = None
    validate_only: bool = False
    start_date: Annotated[str, StringConstraints(max_length=40)] | None = None
    end_date: Annotated[str, StringConstraints(max_length=40)] | None = None


class SecretNeed(Output):
    """A secret that the pipeline's code names, and whether it could be handed out."""

    name: str
    set: bool


class RunPlan(Output):
    """What a request for a run would do."""

    dry_run: bool = True
    pipeline: str
    version: int
    params: JsonObject
    interval_start: UtcTime | None = None
    interval_end: UtcTime | None = None
    timeout: float
    max_attempts: int
    secrets: list[SecretNeed] | None = None
    would: str
    why: str | None = None
    rerun_of: str | None = None
    next: list[str] | None = None


class ParamsCheck(Output):
    """That a request's params pass what can be checked without running code."""

    valid: bool
    pipeline: str
    version: int
    params: JsonObject
    next: list[str] | None = None


class RequestedBy(Output):
    """Who asked for a run: the key's name, the agent, and why."""

    key: str
    agent: str | None = None
    reason: str | None = None


class LogCounts(Output):
    """How many log lines are kept; `dropped` were too many to keep."""

    lines: int
    warnings: int
    errors: int
    dropped: int | None = None


class CheckCounts(Output):
    passed: int
    failed: int
    warned: int


class RunRead(Output):
    """A run with the summary of its trace."""

    run: str
    id: str
    pipeline: str
    number: int
    version: int
    status: str
    reason: str | None = None
    failure: JsonObject | None = None
    result: Any | None = None
    steps: list[JsonObject] | None = None
    checks: CheckCounts | None = None
    logs: LogCounts | None = None
    trigger: str
    rerun_of: str | None = None
    attempt: int
    max_attempts: int
    params: JsonObject
    interval_start: UtcTime | None = None
    interval_end: UtcTime | None = None
    created_at: UtcTime
    started_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    duration_ms: int | None = None
    queued_ms: int | None = None
    requested_by: RequestedBy
    dry_run: bool | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class RunRow(Output):
    """A run in a list."""

    run: str
    id: str
    status: str
    version: int
    trigger: str
    created_at: UtcTime
    duration_ms: int | None = None
    error: str | None = None
    reason: str | None = None


class RunFullRow(RunRow):
    """A run in a list of which all was asked for."""

    pipeline: str
    number: int
    attempt: int
    max_attempts: int
    rerun_of: str | None = None
    params: JsonObject
    interval_start: UtcTime | None = None
    interval_end: UtcTime | None = None
    result: Any | None = None
    failure: JsonObject | None = None
    started_at: UtcTime | None = None
    finished_at: UtcTime | None = None
    queued_ms: int | None = None
    requested_by: RequestedBy


class RunList(Output):
    runs: list[RunFullRow | RunRow]
    total: int
    next_cursor: str | None = None
    next: list[str] | None = None


class InspectRead(Output):
    """A run's trace for diagnosis, in the order of usefulness."""

    run: str
    id: str
    status: str
    reason: str | None = None
    version: int
    trigger: str
    attempt: str
    started_at: UtcTime | None = None
    duration_ms: int | None = None
    failure: JsonObject | None = None
    steps: list[JsonObject] | None = None
    checks: list[JsonObject] | None = None
    result: Any | None = None
    logs: LogCounts
    logs_tail: list[JsonObject] | None = None
    params: JsonObject
    secrets: list[str] | None = None
    attempts: list[JsonObject] | None = None
    since_last_success: JsonObject | None = None
    usage: JsonObject | None = None
    python: str | None = None
    queued_ms: int | None = None
    created_at: UtcTime
    finished_at: UtcTime | None = None
    interval_start: UtcTime | None = None
    interval_end: UtcTime | None = None
    requested_by: RequestedBy
    untrusted: list[str] | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class LogLine(Output):
    """One log line; `seq` counts within the attempt."""

    seq: int
    attempt: int
    at: UtcTime
    level: str
    message: str
    source: str
    step: str | None = None
    logger: str | None = None
    fields: JsonObject | None = None


class LogList(Output):
    run: str
    status: str
    logs: list[LogLine]
    total: int
    next_cursor: str | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class ErrorGroup(Output):
    """Runs that failed in the same way, told by the newest of them."""

    run: str
    id: str
    status: str
    type: str | None = None
    message: str
    where: JsonObject | None = None
    step: str | None = None
    finished_at: UtcTime | None = None
    fingerprint: str
    count: int


class ErrorList(Output):
    errors: list[ErrorGroup]
    total: int
    truncated: list[Cut] | None = None
    next: list[str] | None = None
