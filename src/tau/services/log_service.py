"""Log lines of a run, paged or as they come."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from tau.core.database import Database
from tau.core.signals import Signals
from tau.models import Event, Run
from tau.pipeline.types import EventKind, Level, RunStatus
from tau.repositories.attempt_repo import AttemptRepository
from tau.repositories.base import encode_cursor
from tau.repositories.run_repo import RunRepository
from tau.schemas.base import Cut, format_time
from tau.schemas.run import LogLine, LogList
from tau.services.budget import CONCISE_BYTES, FULL_BYTES, shorten
from tau.services.event_rows import LEVELS, RANKS, to_message
from tau.services.lookup import get_run

DEFAULT_LINES = 100
CHUNK = 500
RECHECK_S = 1.0
STEP_LIMIT = 10_000
MAX_SHOWN_CHARS = 2000
ENVELOPE_BYTES = 500


@dataclass(frozen=True)
class StreamItem:
    """One event of a stream; only what is stored has an id to resume from."""

    event: str
    data: dict[str, Any]
    id: str | None = None


class LogService:
    def __init__(self, db: Database, *, signals: Signals) -> None:
        self._db = db
        self._signals = signals

    async def list(
        self,
        reference: str,
        *,
        limit: int,
        level: Level | None = None,
        grep: str | None = None,
        cursor: str | None = None,
    ) -> LogList:
        """The newest matching lines in the order of time; the cursor pages to older ones."""
        async with self._db.read() as session:
            run = await get_run(session, reference)
            attempts = AttemptRepository(session)
            rows, total, older = await attempts.list_logs(
                run.id, limit=limit, cursor=cursor, level=RANKS[level] if level else 0, grep=grep
            )
            names = await _step_names(attempts, run.id) if any(r.step for r in rows) else {}
        name = f"{run.pipeline_name}#{run.number}"
        page = LogList(
            run=name,
            status=run.status,
            logs=[_line(row, names) for row in rows],
            total=total,
            next_cursor=older,
        )
        budget = (CONCISE_BYTES if limit <= DEFAULT_LINES else FULL_BYTES) - ENVELOPE_BYTES
        return _fitted(page, rows, budget)

    async def follow(
        self, run_id: str, *, last_event_id: str | None = None
    ) -> AsyncIterator[StreamItem]:
        """A run's events from the first, or after the given id, until it is final."""
        position = _position(last_event_id)
        status = None
        names: dict[tuple[int, int], str] = {}
        while True:
            waiter = self._signals.listen(run_id)
            async with self._db.read() as session:
                run = await RunRepository(session).find(run_id)
                events = await AttemptRepository(session).list_events(
                    run_id, after=position, limit=CHUNK
                )
            if run is None:
                return
            if run.status != status:
                status = run.status
                yield StreamItem("status", _state(run))
            for event in events:
                position = (event.attempt, event.seq)
                yield _item(event, names)
            if len(events) < CHUNK and (RunStatus(run.status).is_final or self._signals.closed):
                waiter.cancel()
                yield StreamItem("end", _state(run))
                return
            if events:
                waiter.cancel()
            else:
                await self._signals.wait(waiter, within=RECHECK_S)


def _state(run: Run) -> dict[str, Any]:
    state = {"run": f"{run.pipeline_name}#{run.number}", "status": run.status}
    return state | ({"reason": run.status_reason} if run.status_reason else {})


def _position(last_event_id: str | None) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,9})-(\d{1,9})", last_event_id or "")
    return (int(match.group(1)), int(match.group(2))) if match else (0, 0)


def _item(event: Event, names: dict[tuple[int, int], str]) -> StreamItem:
    message = to_message(event)
    kind = message.pop("k")
    message.pop("ts")
    if kind == EventKind.STEP_START and event.step is not None:
        names[event.attempt, event.step] = str(message.get("name"))
    elif event.step is not None:
        message["step_name"] = names.get((event.attempt, event.step))
    data = {"attempt": event.attempt, "at": format_time(event.at), "kind": kind} | message
    return StreamItem(kind, data, f"{event.attempt}-{event.seq}")


async def _step_names(attempts: AttemptRepository[Any], run_id: str) -> dict[tuple[int, int], str]:
    found = await attempts.list_steps(run_id, limit=STEP_LIMIT)
    return {(e.attempt, e.step): str((e.data or {}).get("name")) for e in found if e.step}


def _line(event: Event, names: dict[tuple[int, int], str]) -> LogLine:
    data = event.data or {}
    return LogLine(
        seq=event.seq,
        attempt=event.attempt,
        at=event.at,
        level=LEVELS.get(event.level or 0, Level.INFO),
        message=event.message or "",
        source=str(data.get("source", "ctx")),
        step=names.get((event.attempt, event.step or 0)),
        logger=data.get("logger"),
        fields=data.get("fields"),
    )


def _fitted(page: LogList, rows: list[Event], budget: int) -> LogList:
    """Within the budget: the newest lines stay, and the cursor leads on from the oldest shown."""
    kept: list[LogLine] = []
    size, cut = 0, 0
    for line in reversed(page.logs):
        if len(line.message) > MAX_SHOWN_CHARS:
            line.message = shorten(line.message, MAX_SHOWN_CHARS)
            cut += 1
        size += len(line.model_dump_json(exclude_none=True)) + 1
        if kept and size > budget:
            page.next_cursor = encode_cursor(kept[-1].attempt, kept[-1].seq)
            break
        kept.append(line)
    page.logs = kept[::-1]
    if cut:
        shown = f"tau inspect {page.run} --full"
        page.truncated = [Cut(path="logs[].message", shown=cut, total=len(rows), get=shown)]
    return page
