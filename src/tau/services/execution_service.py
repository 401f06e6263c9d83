"""The life of a run from claim to outcome: each move is one compare-and-set with the fence.

Whoever owns an attempt calls these; nothing here waits for a process. All that belongs to one
move happens in its transaction: the attempt's row, the state a success keeps, the retry.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tau.core.clock import Clock
from tau.core.counters import Counters
from tau.core.database import Database, Session
from tau.core.signals import NEW_WORK, Signals
from tau.models import Run
from tau.pipeline.protocol import ExitRecord, JsonObject
from tau.pipeline.types import RunStatus, Trigger
from tau.repositories.attempt_repo import AttemptRepository
from tau.repositories.claim_repo import ClaimRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.repositories.state_repo import StateRepository
from tau.services.event_rows import ERROR_RANK, WARNING_RANK, to_row
from tau.services.notice_service import NoticeService, ending_of
from tau.services.outcome import Claim, crash, decide, reason_of, start_of

MAX_LAUNCH_FAILURES = 5
LAUNCH_RETRY_DELAY = timedelta(seconds=1)


@dataclass(frozen=True, kw_only=True)
class Started:
    """User code of the claim is about to run."""

    claim: Claim
    pid: int
    at: datetime


@dataclass(frozen=True, kw_only=True)
class Told:
    """Lines of the claim's spool, up to the byte `offset`."""

    claim: Claim
    lines: Sequence[bytes]
    offset: int


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How the claim's attempt ended."""

    claim: Claim
    record: ExitRecord


Report = Started | Told | Ended


class ExecutionService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        owner: str,
        signals: Signals,
        counters: Counters | None = None,
        notices: NoticeService | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._clock, self._random = db, clock, random
        self._notices = notices
        self._owner = owner
        self._signals = signals
        self._counters = counters or Counters()

    # --- claiming --------------------------------------------------------------------------

    async def look(self) -> tuple[bool, datetime | None]:
        """Whether some run could be claimed, and when the next one may start that has to wait.

        Costs less than a claim that finds none.
        """
        async with self._db.glance() as session:
            return await ClaimRepository(session).look(now=self._clock.now())

    async def claim(self, *, limit: int) -> list[Claim]:
        """Up to `limit` runs that are this daemon's now, the most urgent first."""
        now = self._clock.now()
        async with self._db.transaction() as session:
            rows = await ClaimRepository(session).list_candidates(now=now, limit=limit)
            claimed = await self._claim(session, rows, now)
            for run_id in claimed:
                self._wake_after(session, run_id)
        self._counters.attempts += len(claimed)
        return [
            _describe(row, owner=self._owner, fence=claimed[row.id][0], attempt=claimed[row.id][1])
            for row in rows
            if row.id in claimed
        ]

    async def claim_new(self, session: Session, run: Run) -> Claim | None:
        """Claim a run in the transaction that queues it; None where it has to wait.

        For one with no claimable run before it: then this is what `claim` would do next.
        """
        now, claims = self._clock.now(), ClaimRepository(session)
        if run.max_concurrent is not None:
            await claims.lock_pipeline(run.pipeline_id)
        if not await claims.claim([run.id], owner=self._owner, now=now):
            return None
        session.after_commit(self._count_start)
        row = await claims.get_claimed(run.id)
        return _describe(row, owner=self._owner, fence=row.fence, attempt=row.attempt)

    async def _claim(
        self, session: Session, rows: Sequence[Any], now: datetime
    ) -> dict[str, tuple[int, int]]:
        """All at once, but those that a limit or a schedule holds back if others run one by one."""
        claims = ClaimRepository(session)
        free = [row.id for row in rows if row.max_concurrent is None and row.schedule_id is None]
        claimed = await claims.claim(free, owner=self._owner, now=now) if free else {}
        for row in rows:
            if row.max_concurrent is not None or row.schedule_id is not None:
                await claims.lock_pipeline(row.pipeline_id)
                claimed |= await claims.claim([row.id], owner=self._owner, now=now)
        return claimed

    async def take_over(self) -> int:
        """Make all claims of the store this daemon's, where it has the store for itself.

        Those of others are of a home that was lost: the store came from a backup.
        """
        async with self._db.transaction() as session:
            return await ClaimRepository(session).take_over(self._owner)

    async def unfinished(self) -> list[tuple[Claim, int]]:
        """Attempts that an earlier daemon of this home left, each with its spool's offset."""
        async with self._db.glance() as session:
            attempts = AttemptRepository(session)
            rows = await ClaimRepository(session).list_owned(self._owner)
            return [
                (
                    _describe(row, owner=self._owner, fence=row.fence, attempt=row.attempt),
                    await attempts.find_offset(row.id, row.attempt),
                )
                for row in rows
            ]

    async def to_kill(self) -> list[tuple[str, str]]:
        """The runs of this daemon that are to end: their ids and why."""
        async with self._db.glance() as session:
            found = await RunRepository(session).list_to_kill(self._owner)
        return [(run.id, run.cancel_reason or "cancelled") for run in found]

    async def source(self, sha256: str) -> str | None:
        async with self._db.glance() as session:
            return await PipelineRepository(session).find_source(sha256)

    async def state(self, pipeline_id: str) -> JsonObject:
        """What `ctx.state` starts from."""
        async with self._db.glance() as session:
            found = await StateRepository(session).find(pipeline_id)
        if found is None:
            return {"data": {}, "run_number": None}
        return {"data": found.data, "run_number": found.run_number}

    # --- reporting -------------------------------------------------------------------------

    async def record(self, reports: Sequence[Report]) -> None:
        """Store what happened in one or many attempts, in one transaction.

        Attempts are independent of each other, and of one attempt the end comes last: so events
        of all go in together, and a start whose end is here too is told by that end.
        """
        ended = {_key(report.claim) for report in reports if isinstance(report, Ended)}
        starts = {_key(report.claim): report for report in reports if isinstance(report, Started)}
        async with self._db.transaction() as session:
            events = await self._record_events(session, [r for r in reports if isinstance(r, Told)])
            for key, start in starts.items():
                if key not in ended:
                    await self._record_start(session, start)
            for report in reports:
                if isinstance(report, Ended):
                    await self._record_end(session, report, starts.get(_key(report.claim)))
            for run_id in {report.claim.run_id for report in reports}:
                self._wake_after(session, run_id)
        self._counters.batches += 1
        self._counters.events += events

    def _wake_after(self, session: Session, topic: str) -> None:
        session.after_commit(lambda: self._signals.notify(topic))

    async def _record_start(self, session: Session, start: Started) -> None:
        claim, claims = start.claim, ClaimRepository(session)
        moved = await claims.start(claim.run_id, owner=claim.owner, fence=claim.fence, now=start.at)
        if moved:
            await claims.start_attempt(claim.run_id, claim.attempt, pid=start.pid, now=start.at)

    async def _record_events(self, session: Session, told: Sequence[Told]) -> int:
        """Store the events of all these; how many."""
        claims, rows, counts = ClaimRepository(session), [], []
        for report in told:
            claim = report.claim
            mine = [to_row(claim.run_id, claim.attempt, line) for line in report.lines]
            kept = [row for row in mine if row is not None]
            levels = [row["level"] for row in kept if row["kind"] == "log"]
            rows += kept
            counts.append(
                {
                    "run": claim.run_id,
                    "attempt": claim.attempt,
                    "at_fence": claim.fence,
                    "offset": report.offset,
                    "lines": len(levels),
                    "warnings": levels.count(WARNING_RANK),
                    "errors": levels.count(ERROR_RANK),
                }
            )
        await claims.add_events(rows)
        await claims.count_told(counts)
        return len(rows)

    async def _record_end(self, session: Session, end: Ended, start: Started | None) -> None:
        claim, record, now = end.claim, end.record, self._clock.now()
        claims = ClaimRepository(session)
        wish = None
        if record.status != RunStatus.SUCCESS:
            wish = await claims.find_cancel_reason(claim.run_id)
        outcome = decide(claim, record, cancel_reason=wish, now=now, jitter=self._random())
        began = start.at if start else start_of(record)
        moved = await claims.end(
            claim.run_id,
            owner=claim.owner,
            fence=claim.fence,
            status=outcome.status,
            reason=outcome.reason,
            result=record.result if outcome.is_final else None,
            failure=record.failure,
            fingerprint=outcome.fingerprint,
            began=began,
            finished=now if outcome.is_final else None,
            next_at=outcome.next_at,
        )
        if not moved:
            return
        session.after_commit(partial(self._count_end, outcome.status, began, now))
        await claims.end_attempt(
            claim.run_id,
            claim.attempt,
            status=record.status,
            reason=reason_of(record),
            pid=start.pid if start else None,
            began=began,
            finished=now,
            exit_code=record.exit_code,
            signal=record.signal,
            failure=record.failure,
            usage=record.usage or None,
        )
        if outcome.is_final and self._notices is not None:
            await self._notices.ended(session, ending_of(claim, outcome, record.failure))
        if outcome.status is RunStatus.SUCCESS and record.state is not None:
            await self._keep_state(session, claim, record.state, now)

    def _count_start(self) -> None:
        self._counters.attempts += 1

    def _count_end(self, status: RunStatus, began: datetime | None, ended: datetime) -> None:
        if status.is_final:
            self._counters.runs[status] += 1
        if began is not None:
            self._counters.durations.add(max((ended - began).total_seconds(), 0.0))

    async def _keep_state(
        self, session: Session, claim: Claim, state: JsonObject, now: datetime
    ) -> None:
        """A backfill never writes state, nor does a run after which a newer one has written."""
        if claim.trigger == Trigger.BACKFILL:
            return
        newer = await StateRepository(session).keep(
            claim.pipeline_id, state, run_number=claim.number, now=now
        )
        if newer is not None:
            await RunRepository(session).explain(
                claim.run_id, f"its state was not kept: the newer run #{newer} has written one"
            )

    async def requeue(self, claim: Claim, reason: str) -> None:
        """The attempt never started user code: queue the run again, at most five times.

        One that is known to have started after all, and of which nothing is left, is a crash.
        """
        now = self._clock.now()
        async with self._db.transaction() as session:
            runs = RunRepository(session)
            run = await runs.find(claim.run_id)
            if run is None:
                return
            why = _why_not_again(run, reason)
            if why is not None:
                await self._record_end(
                    session, Ended(claim=claim, record=crash(claim, why)), start=None
                )
            elif await runs.requeue(
                claim.run_id,
                owner=claim.owner,
                fence=claim.fence,
                available_at=now + LAUNCH_RETRY_DELAY,
            ):
                await AttemptRepository(session).remove(claim.run_id, claim.attempt)
            for topic in (claim.run_id, NEW_WORK):
                self._wake_after(session, topic)


def _key(claim: Claim) -> tuple[str, int]:
    return claim.run_id, claim.fence


def _why_not_again(run: Run, reason: str) -> str | None:
    """Why a run whose attempt was not launched is not queued again."""
    if run.launch_failures + 1 >= MAX_LAUNCH_FAILURES:
        return f"could not be started {MAX_LAUNCH_FAILURES} times: {reason}"
    has_started = run.status == RunStatus.RUNNING
    return reason if has_started or run.cancel_requested_at is not None else None


def _describe(row: Any, *, owner: str, fence: int, attempt: int) -> Claim:
    facts: JsonObject = {
        "run_number": row.number,
        "trigger": row.trigger,
        "last_successful_run": _iso(row.last_success),
        "interval_start": _iso(row.interval_start),
        "interval_end": _iso(row.interval_end),
    }
    return Claim(
        run_id=row.id,
        reference=f"{row.pipeline_name}#{row.number}",
        pipeline_id=row.pipeline_id,
        pipeline_name=row.pipeline_name,
        number=row.number,
        attempt=attempt,
        max_attempts=row.max_attempts,
        fence=fence,
        owner=owner,
        trigger=row.trigger,
        sha256=row.source_sha256,
        file_name=row.file_name,
        origin=row.origin,
        timeout=row.timeout or row.spec.get("timeout"),
        spec=row.spec,
        params=row.params,
        facts=facts,
    )


def _iso(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None
