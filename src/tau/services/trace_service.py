"""Reading runs: lists, one run, its trace for diagnosis, failures by kind."""

import re
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from tau.core.clock import Clock
from tau.core.database import Database, ReadSession
from tau.errors import RequestInvalid
from tau.models import Attempt, Event, Run
from tau.pipeline.durations import parse_duration
from tau.pipeline.types import EventKind, RunStatus
from tau.repositories.attempt_repo import AttemptRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.base import Cut, format_time
from tau.schemas.run import (
    ErrorGroup,
    ErrorList,
    InspectRead,
    LogCounts,
    RunList,
    RunRead,
    RunRow,
)
from tau.services.budget import fit_rows, fitted, shorten
from tau.services.event_rows import LEVELS
from tau.services.lookup import get_pipeline, get_run
from tau.services.run_view import (
    brief_step,
    count_logs,
    milliseconds,
    next_commands,
    place,
    read_full_row,
    read_row,
    read_run,
    reference,
    requested_by,
    trace_of,
    with_dropped,
)

TRACE_EVENTS = 20_000
FEW_EVENTS = 200
LOGS_TAIL, LOGS_TAIL_FULL = 15, 60
GROUPED_RUNS = 1000
SHORT_MESSAGE, FULL_MESSAGE = 200, 2000
UNTRUSTED = ("failure", "logs_tail", "result", "checks")
"""Parts of a trace whose text came from data or third parties; never instructions to a reader."""


class TraceService:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def list(
        self,
        *,
        limit: int,
        pipeline: str | None = None,
        statuses: Sequence[RunStatus] = (),
        cursor: str | None = None,
        full: bool = False,
    ) -> RunList:
        """Runs from the newest on; `full` shows what was asked for and what came of it."""
        # A filter by status may have to look at many rows before it finds some.
        reading = self._db.read() if statuses else self._db.glance()
        async with reading as session:
            runs = RunRepository(session)
            pipeline_id = await _pipeline_id(session, pipeline)
            rows, more = await runs.list_page(
                limit=limit, cursor=cursor, pipeline_id=pipeline_id, statuses=statuses
            )
            whole = await runs.list_whole([row.id for row in rows]) if full else []
            if statuses:
                total = await runs.count_matching(pipeline_id=pipeline_id, statuses=statuses)
            else:
                total = await PipelineRepository(session).total_runs(pipeline_id)
        lines: list[RunRow] = [read_full_row(run) for run in whole] or [read_row(r) for r in rows]
        shown, cut = fit_rows(lines, limit=limit, full=full)
        if cut:
            more = runs.cursor_after(rows[len(shown) - 1], of_one=pipeline_id is not None)
        follow = [f"tau inspect {shown[0].run}"] if shown else ["tau list"]
        return RunList(runs=list(shown), total=total, next_cursor=more, next=follow)

    async def get(self, name: str) -> RunRead:
        """One run with the summary of its trace."""
        async with self._db.glance() as session:
            run = await get_run(session, name)
            events, logs = await _events(session, run, limit=FEW_EVENTS)
        if len(events) == FEW_EVENTS:
            async with self._db.read() as session:
                events, logs = await _events(session, run, limit=TRACE_EVENTS)
        return read_run(run, events=events, logs=logs)

    async def inspect(self, name: str, *, full: bool = False) -> InspectRead:
        """The trace in the order of usefulness; small, unless `full` asks for more."""
        async with self._db.read() as session:
            run = await get_run(session, name)
            events, logs = await _events(session, run, limit=TRACE_EVENTS)
            attempts = await AttemptRepository(session).list_by_run(run.id)
            tail, _, _ = await AttemptRepository(session).list_logs(
                run.id, limit=LOGS_TAIL_FULL if full else LOGS_TAIL
            )
        read = _inspect(run, events, logs, attempts, tail, full=full)
        get = f"tau logs {read.run} --limit 1000" if full else f"tau inspect {read.run} --full"
        return fitted(read, full=full, get=get)

    async def errors(
        self,
        *,
        limit: int,
        pipeline: str | None = None,
        since: str | None = None,
        full: bool = False,
    ) -> ErrorList:
        """Failures by kind, the newest of each kind standing for it."""
        start = parse_since(since, now=self._clock.now()) if since else None
        async with self._db.read() as session:
            pipeline_id = await _pipeline_id(session, pipeline)
            runs = RunRepository(session)
            bad = await runs.list_bad(since=start, pipeline_id=pipeline_id, limit=GROUPED_RUNS)
            groups: dict[str, list[str]] = {}
            for run_id, fingerprint in bad:
                groups.setdefault(fingerprint or run_id, []).append(run_id)
            newest = await runs.list_whole([ids[0] for ids in list(groups.values())[:limit]])
        chars = FULL_MESSAGE if full else SHORT_MESSAGE
        first = [_group(run, chars, count=len(groups[run.fingerprint or run.id])) for run in newest]
        shown, _ = fit_rows(first, limit=limit, full=full)
        cuts = None
        if len(groups) > len(shown):
            get = f"tau errors --limit {min(len(groups), 200)}"
            cuts = [Cut(path="errors", shown=len(shown), total=len(groups), get=get)]
        follow = [f"tau inspect {shown[0].run}"] if shown else ["tau runs"]
        return ErrorList(errors=list(shown), total=len(groups), truncated=cuts, next=follow)


async def _pipeline_id(session: ReadSession, name: str | None) -> str | None:
    return None if name is None else (await get_pipeline(session, name)).pipeline.id


async def _events(session: ReadSession, run: Run, *, limit: int) -> tuple[list[Event], LogCounts]:
    attempts = AttemptRepository(session)
    events = await attempts.list_trace(run.id, run.attempt, limit=limit)
    return events, count_logs(await attempts.count_logs(run.id))


def _inspect(
    run: Run,
    events: Sequence[Event],
    logs: LogCounts,
    attempts: Sequence[Attempt],
    tail: Sequence[Event],
    *,
    full: bool,
) -> InspectRead:
    trace = trace_of(run, events)
    last = attempts[-1] if attempts else None
    names = {step["id"]: step["name"] for step in trace["steps"]}
    read = InspectRead(
        run=reference(run),
        id=run.id,
        status=run.status,
        reason=run.status_reason,
        version=run.version,
        trigger=run.trigger,
        attempt=f"{run.attempt}/{run.max_attempts}",
        started_at=run.started_at,
        duration_ms=milliseconds(run.started_at, run.finished_at),
        failure=_failure(run),
        steps=(trace["steps"] if full else [brief_step(step) for step in trace["steps"]]) or None,
        checks=trace["checks"] or None,
        result=run.result,
        logs=with_dropped(logs, trace),
        logs_tail=[_log(event, names, run.attempt) for event in tail] or None,
        params=run.params,
        secrets=trace.get("secrets"),
        attempts=[_attempt(attempt) for attempt in attempts] if len(attempts) > 1 else None,
        usage=last.usage if last else None,
        python=_python(events),
        queued_ms=milliseconds(run.created_at, run.started_at),
        created_at=run.created_at,
        finished_at=run.finished_at,
        interval_start=run.interval_start,
        interval_end=run.interval_end,
        requested_by=requested_by(run),
        next=[command for command in next_commands(run) if not command.startswith("tau inspect")],
    )
    read.untrusted = [part for part in UNTRUSTED if getattr(read, part)] or None
    return read


def _failure(run: Run) -> dict[str, Any] | None:
    if not run.failure:
        return None
    where = place(run.failure)
    return ({"where": where} if where else {}) | run.failure


def _log(event: Event, names: dict[int, str], attempt: int) -> dict[str, Any]:
    line = {
        "at": format_time(event.at),
        "level": str(LEVELS.get(event.level or 0, "info")),
        "message": event.message,
    }
    if event.attempt == attempt and event.step in names:
        line["step"] = names[event.step]
    fields = (event.data or {}).get("fields")
    return line | ({"fields": fields} if fields else {})


def _attempt(attempt: Attempt) -> dict[str, Any]:
    facts = {
        "attempt": attempt.number,
        "status": attempt.status,
        "reason": attempt.reason,
        "started_at": format_time(attempt.started_at) if attempt.started_at else None,
        "duration_ms": milliseconds(attempt.started_at, attempt.finished_at),
        "exit_code": attempt.exit_code,
        "signal": attempt.signal,
    }
    return {key: value for key, value in facts.items() if value is not None}


def _python(events: Sequence[Event]) -> str | None:
    hello = next((event for event in events if event.kind == EventKind.HELLO), None)
    return (hello.data or {}).get("python") if hello else None


def _group(newest: Run, chars: int, *, count: int) -> ErrorGroup:
    failure = newest.failure or {}
    return ErrorGroup(
        run=reference(newest),
        id=newest.id,
        status=newest.status,
        type=failure.get("type"),
        message=shorten(str(failure.get("message") or newest.status_reason or ""), chars),
        where=place(failure),
        step=failure.get("step"),
        finished_at=newest.finished_at,
        fingerprint=newest.fingerprint or newest.id,
        count=count,
    )


def parse_since(text: str, *, now: datetime) -> datetime:
    """ "24h" ago, or an RFC 3339 time. Raises RequestInvalid."""
    if re.match(r"\d{4}-", text):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise RequestInvalid(f"since: {text!r} is no RFC 3339 time.") from error
        return moment if moment.tzinfo else moment.replace(tzinfo=now.tzinfo)
    try:
        return now - timedelta(seconds=parse_duration(text))
    except (ValueError, OverflowError) as error:
        raise RequestInvalid(f"since: {error}", hint="For instance 24h, 7d or 90m.") from error
