"""A run as people and agents read it: the row, and the fold of its events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tau.models import Event, Run
from tau.pipeline.protocol import JsonObject
from tau.pipeline.trace import Trace
from tau.pipeline.types import BAD_STATUSES, RunStatus
from tau.repositories.run_repo import RunLine
from tau.schemas.run import CheckCounts, LogCounts, RequestedBy, RunFullRow, RunRead, RunRow
from tau.services.budget import fit, fitted, shorten
from tau.services.event_rows import to_message

MESSAGE_CHARS = 1500
ROW_BYTES = 1500
_STEP_FACTS = ("name", "depth", "status", "ms", "rows_in", "rows_out", "metrics", "error")


def reference(run: Run) -> str:
    return f"{run.pipeline_name}#{run.number}"


def trace_of(run: Run, events: Sequence[Event]) -> JsonObject:
    return Trace(to_message(event) for event in events).document(status=run.status)


def read_run(run: Run, *, events: Sequence[Event], logs: LogCounts) -> RunRead:
    """The run with the summary of its last attempt's trace, small enough to print."""
    trace = trace_of(run, events)
    read = RunRead(
        **_row_facts(run),
        failure=brief_failure(run.failure),
        result=run.result,
        steps=[brief_step(step) for step in trace["steps"]] or None,
        checks=count_checks(trace["checks"]),
        logs=with_dropped(logs, trace) if logs.lines else None,
        next=next_commands(run),
    )
    return fitted(read, get=f"tau inspect {read.run} --full")


def _row_facts(run: Run) -> dict[str, Any]:
    return {
        "run": reference(run),
        "id": run.id,
        "pipeline": run.pipeline_name,
        "number": run.number,
        "version": run.version,
        "status": run.status,
        "reason": run.status_reason,
        "trigger": run.trigger,
        "rerun_of": run.rerun_of,
        "attempt": run.attempt,
        "max_attempts": run.max_attempts,
        "params": run.params,
        "interval_start": run.interval_start,
        "interval_end": run.interval_end,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "finished_at": run.finished_at,
        "duration_ms": milliseconds(run.started_at, run.finished_at),
        "queued_ms": milliseconds(run.created_at, run.started_at),
        "requested_by": requested_by(run),
    }


def read_row(run: RunLine) -> RunRow:
    """The run in a list."""
    bad = RunStatus(run.status) in BAD_STATUSES
    reason = shorten(run.status_reason, 100) if run.status_reason else None
    return RunRow(
        run=f"{run.pipeline_name}#{run.number}",
        id=run.id,
        status=run.status,
        version=run.version,
        trigger=run.trigger,
        created_at=run.created_at,
        duration_ms=milliseconds(run.started_at, run.finished_at),
        error=reason if bad else None,
        reason=None if bad else reason,
    )


def read_full_row(run: Run) -> RunRow:
    """The run in a list of which all was asked for: params, result, who and why."""
    facts = _row_facts(run)
    large = {"params": run.params, "result": run.result}
    smaller, _ = fit(large, limit=ROW_BYTES, get="")
    return RunFullRow(**(facts | smaller), failure=brief_failure(run.failure))


def requested_by(run: Run) -> RequestedBy:
    return RequestedBy(key=run.requested_by, agent=run.agent, reason=run.reason)


def milliseconds(start: datetime | None, end: datetime | None) -> int | None:
    if start is None or end is None:
        return None
    return max(round((end - start).total_seconds() * 1000), 0)


def brief_failure(failure: JsonObject | None) -> JsonObject | None:
    """Type, message, place: enough to know whether to look further."""
    if not failure:
        return None
    brief = {key: failure[key] for key in ("code", "type", "step", "hint") if failure.get(key)}
    brief["message"] = shorten(str(failure.get("message") or ""), MESSAGE_CHARS)
    where = place(failure)
    return brief | ({"where": where} if where else {})


def place(failure: JsonObject) -> JsonObject | None:
    """The innermost line of the user's own code, if the failure came from there."""
    frames = failure.get("frames") or []
    if frames:
        frame = frames[-1]
        return {key: frame[key] for key in ("file", "line", "function", "code") if key in frame}
    details = failure.get("details") or {}
    known = {key: details[key] for key in ("file", "line") if key in details}
    return known or None


def brief_step(step: JsonObject) -> JsonObject:
    return {key: step[key] for key in _STEP_FACTS if step.get(key) not in (None, 0, {})} | (
        {key: step[key] for key in ("rows_in", "rows_out") if step.get(key) == 0}
    )


def count_checks(checks: Sequence[JsonObject]) -> CheckCounts | None:
    if not checks:
        return None
    passed = sum(1 for check in checks if check["passed"])
    warned = sum(1 for c in checks if not c["passed"] and c.get("severity") == "warn")
    return CheckCounts(passed=passed, warned=warned, failed=len(checks) - passed - warned)


NO_LOGS = LogCounts(lines=0, warnings=0, errors=0)


def count_logs(counts: tuple[int, int, int]) -> LogCounts:
    lines, warnings, errors = counts
    return LogCounts(lines=lines, warnings=warnings, errors=errors)


def with_dropped(logs: LogCounts, trace: JsonObject) -> LogCounts:
    """The counts of what is kept, and of what the last attempt told beyond its limit."""
    dropped = trace["logs"].get("dropped")
    return logs.model_copy(update={"dropped": dropped}) if dropped else logs


def next_commands(run: Run) -> list[str]:
    """What a reader of this run would do next."""
    name, status = reference(run), RunStatus(run.status)
    if not status.is_final:
        return [f"tau wait {name}", f"tau logs {name} --follow"]
    if status in BAD_STATUSES:
        return [f"tau inspect {name}", f"tau logs {name}", f"tau code {run.pipeline_name}"]
    return [f"tau inspect {name}"]
