"""The life of a run from claim to outcome: each move is one compare-and-set with the fence.

Whoever owns an attempt calls these; nothing here waits for a process. All that belongs to one
move happens in its transaction: the attempt's row, the state a success keeps, the retry.
"""

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from tau.core.clock import Clock
from tau.core.database import Database, ReadSession, Session
from tau.core.signals import NEW_WORK, Signals
from tau.models import Run
from tau.pipeline.protocol import ExitRecord, JsonObject
from tau.pipeline.types import RunStatus, Trigger
from tau.repositories.attempt_repo import AttemptRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.repositories.state_repo import StateRepository
from tau.services.event_rows import storable, to_row

MAX_LAUNCH_FAILURES = 5
MAX_RETRY_DELAY_S = 86_400.0
LAUNCH_RETRY_DELAY = timedelta(seconds=1)
RETRIED = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED})


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt that this daemon owns, with all that is needed to execute it."""

    run_id: str
    reference: str
    pipeline_id: str
    number: int
    attempt: int
    fence: int
    owner: str
    trigger: str
    sha256: str
    file_name: str
    origin: str | None
    timeout: float | None
    spec: JsonObject
    params: JsonObject
    facts: JsonObject


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
        random: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._clock, self._random = db, clock, random
        self._owner = owner
        self._signals = signals

    # --- claiming --------------------------------------------------------------------------

    async def claim(self, *, limit: int) -> list[Claim]:
        """Up to `limit` runs that are this daemon's now, the most urgent first."""
        now = self._clock.now()
        async with self._db.read() as reading:
            if not await RunRepository(reading).list_claimable(now=now, limit=1):
                return []
        async with self._db.transaction() as session:
            candidates = await RunRepository(session).list_claimable(now=now, limit=limit)
            claims = [await self._claim_one(session, run, now) for run in candidates]
        return [claim for claim in claims if claim is not None]

    async def _claim_one(self, session: Session, run: Run, now: datetime) -> Claim | None:
        runs = RunRepository(session)
        if run.max_concurrent is not None:
            await runs.lock_pipeline(run.pipeline_id)
        claimed = await runs.claim(run.id, owner=self._owner, now=now)
        if claimed is None:
            return None
        fence, attempt = claimed
        await AttemptRepository(session).add(
            run.id, attempt, fence=fence, owner=self._owner, now=now
        )
        session.after_commit(lambda: self._signals.notify(run.id))
        return await self._describe(session, run, fence=fence, attempt=attempt)

    async def _describe(self, session: ReadSession, run: Run, *, fence: int, attempt: int) -> Claim:
        version = await PipelineRepository(session).find_version(run.pipeline_id, run.version)
        if version is None:
            raise RuntimeError(f"run {run.id} has no version {run.version}")
        last = await RunRepository(session).last_success_start(run.pipeline_id)
        facts: JsonObject = {
            "run_number": run.number,
            "trigger": run.trigger,
            "last_successful_run": last.isoformat() if last else None,
            "interval_start": run.interval_start.isoformat() if run.interval_start else None,
            "interval_end": run.interval_end.isoformat() if run.interval_end else None,
        }
        return Claim(
            run_id=run.id,
            reference=f"{run.pipeline_name}#{run.number}",
            pipeline_id=run.pipeline_id,
            number=run.number,
            attempt=attempt,
            fence=fence,
            owner=self._owner,
            trigger=run.trigger,
            sha256=version.source_sha256,
            file_name=version.file_name,
            origin=version.origin,
            timeout=run.timeout or version.spec.get("timeout"),
            spec=version.spec,
            params=run.params,
            facts=facts,
        )

    async def unfinished(self) -> list[tuple[Claim, int]]:
        """Attempts that an earlier daemon of this home left, each with its spool's offset."""
        async with self._db.read() as session:
            attempts = AttemptRepository(session)
            return [
                (
                    await self._describe(session, run, fence=run.fence, attempt=run.attempt),
                    await attempts.find_offset(run.id, run.attempt),
                )
                for run in await RunRepository(session).list_active(self._owner)
            ]

    async def to_kill(self) -> list[tuple[str, str]]:
        """The runs of this daemon that are to end: their ids and why."""
        async with self._db.read() as session:
            found = await RunRepository(session).list_to_kill(self._owner)
        return [(run.id, run.cancel_reason or "cancelled") for run in found]

    async def source(self, sha256: str) -> str | None:
        async with self._db.read() as session:
            return await PipelineRepository(session).find_source(sha256)

    async def state(self, pipeline_id: str) -> JsonObject:
        """What `ctx.state` starts from."""
        async with self._db.read() as session:
            found = await StateRepository(session).find(pipeline_id)
        if found is None:
            return {"data": {}, "run_number": None}
        return {"data": found.data, "run_number": found.run_number}

    async def next_due(self) -> datetime | None:
        """When the next run that has to wait may start."""
        async with self._db.read() as session:
            return await RunRepository(session).next_available_at(after=self._clock.now())

    # --- reporting -------------------------------------------------------------------------

    async def record(self, reports: Sequence[Report]) -> None:
        """Store what happened in one or many attempts, in one transaction, in this order."""
        async with self._db.transaction() as session:
            touched = {report.claim.run_id for report in reports}
            for report in reports:
                await self._record_one(session, report)
            session.after_commit(lambda: self._wake(touched))

    def _wake(self, run_ids: set[str]) -> None:
        for run_id in run_ids:
            self._signals.notify(run_id)

    async def _record_one(self, session: Session, report: Report) -> None:
        match report:
            case Started(claim=claim, pid=pid, at=at):
                await self._record_start(session, claim, pid, at)
            case Told(claim=claim, lines=lines, offset=offset):
                await self._record_events(session, claim, lines, offset)
            case Ended(claim=claim, record=record):
                await self._record_end(session, claim, record)

    async def _record_start(self, session: Session, claim: Claim, pid: int, at: datetime) -> None:
        moved = await RunRepository(session).mark_running(
            claim.run_id, owner=claim.owner, fence=claim.fence, now=at
        )
        if moved:
            await AttemptRepository(session).update(
                claim.run_id,
                claim.attempt,
                {"status": RunStatus.RUNNING, "pid": pid, "started_at": at},
            )

    async def _record_events(
        self, session: Session, claim: Claim, lines: Sequence[bytes], offset: int
    ) -> None:
        attempts = AttemptRepository(session)
        rows = [to_row(claim.run_id, claim.attempt, line) for line in lines]
        await attempts.add_events([row for row in rows if row is not None])
        await attempts.update(claim.run_id, claim.attempt, {"spool_offset": offset})

    async def _record_end(self, session: Session, claim: Claim, record: ExitRecord) -> None:
        now = self._clock.now()
        runs, status = RunRepository(session), RunStatus(record.status)
        run = await runs.find(claim.run_id)
        if run is None:
            return
        reason = _reason(record)
        values = self._outcome(run, claim, record, reason, now)
        if not await runs.end(claim.run_id, owner=claim.owner, fence=claim.fence, values=values):
            return
        await AttemptRepository(session).update(
            claim.run_id,
            claim.attempt,
            {
                "status": status,
                "reason": reason,
                "finished_at": now,
                "exit_code": record.exit_code,
                "signal": record.signal,
                "failure": record.failure,
                "usage": record.usage or None,
            },
        )
        if status is RunStatus.SUCCESS and record.state is not None:
            await self._keep_state(session, claim, record, now)

    def _outcome(
        self, run: Run, claim: Claim, record: ExitRecord, reason: str | None, now: datetime
    ) -> dict[str, Any]:
        """The columns of the run after this attempt: final, or waiting for its next one."""
        status = RunStatus(record.status)
        common = {"failure": record.failure, "status_reason": reason}
        if run.cancel_requested_at is not None and status is not RunStatus.SUCCESS:
            common["status_reason"] = run.cancel_reason
            status = RunStatus.CANCELLED
        if status in RETRIED and claim.attempt < run.max_attempts and _worth_retrying(record):
            delay = retry_delay(claim.spec, claim.attempt, jitter=self._random())
            return common | {"status": RunStatus.RETRYING, "available_at": now + delay}
        return common | {
            "status": status,
            "finished_at": now,
            "started_at": run.started_at or _start(record),
            "result": record.result,
            "fingerprint": fingerprint(run.pipeline_name, record) if status in RETRIED else None,
        }

    async def _keep_state(
        self, session: Session, claim: Claim, record: ExitRecord, now: datetime
    ) -> None:
        """A backfill never writes state, nor does a run after which a newer one has written."""
        if claim.trigger == Trigger.BACKFILL or record.state is None:
            return
        newer = await StateRepository(session).keep(
            claim.pipeline_id, record.state, run_number=claim.number, now=now
        )
        if newer is not None:
            await RunRepository(session).explain(
                claim.run_id, f"its state was not kept: the newer run #{newer} has written one"
            )

    async def requeue(self, claim: Claim, reason: str) -> None:
        """The attempt never started user code: queue the run again, at most five times."""
        now = self._clock.now()
        async with self._db.transaction() as session:
            runs = RunRepository(session)
            run = await runs.find(claim.run_id)
            if run is None:
                return
            if run.cancel_requested_at is not None:
                await self._record_end(session, claim, crash(claim, reason))
            elif run.launch_failures + 1 >= MAX_LAUNCH_FAILURES:
                record = crash(claim, f"could not be started {MAX_LAUNCH_FAILURES} times: {reason}")
                await self._record_end(session, claim, record)
            elif await runs.requeue(
                claim.run_id,
                owner=claim.owner,
                fence=claim.fence,
                available_at=now + LAUNCH_RETRY_DELAY,
            ):
                await AttemptRepository(session).remove(claim.run_id, claim.attempt)
            session.after_commit(lambda: self._wake({claim.run_id, NEW_WORK}))


def crash(claim: Claim, reason: str) -> ExitRecord:
    """The record of an attempt that left none."""
    return ExitRecord(
        run_id=claim.run_id,
        attempt=claim.attempt,
        fence=claim.fence,
        status=RunStatus.CRASHED,
        reason=reason,
    )


def retry_delay(spec: JsonObject, attempt: int, *, jitter: float) -> timedelta:
    """How long after the end of `attempt` (1, 2, …) the next one may start.

    `jitter` (0 to 1) adds up to a tenth, so that runs which failed together do not come back
    together.
    """
    delay = float(spec.get("retry_delay") or 0)
    backoff = float(spec.get("retry_backoff") or 1)
    try:
        seconds = delay * backoff ** (attempt - 1)
    except OverflowError:
        seconds = MAX_RETRY_DELAY_S
    return timedelta(seconds=min(seconds * (1 + 0.1 * jitter), MAX_RETRY_DELAY_S))


def fingerprint(pipeline: str, record: ExitRecord) -> str:
    """Equal for failures of the same kind at the same place; numbers in messages don't count."""
    failure = record.failure or {}
    frames = failure.get("frames") or [{}]
    message = re.sub(r"0x[0-9a-f]+|\d+", "#", str(failure.get("message") or record.reason))
    parts = (pipeline, failure.get("type"), frames[-1].get("function"), message[:500])
    return hashlib.sha256("\n".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:16]


def _worth_retrying(record: ExitRecord) -> bool:
    return (record.failure or {}).get("retry") != "never"


def _reason(record: ExitRecord) -> str | None:
    if record.reason:
        return storable(record.reason)
    failure = record.failure
    if not failure:
        return None
    first_line = (str(failure.get("message") or "").splitlines() or [""])[0]
    return storable(f"{failure.get('type')}: {first_line}"[:500])


def _start(record: ExitRecord) -> datetime | None:
    return datetime.fromtimestamp(record.started_at, UTC) if record.started_at else None
