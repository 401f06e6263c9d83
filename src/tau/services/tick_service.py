"""Turns due ticks into runs. Asked again, late, twice or by several daemons, it makes the same."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from tau.core.clock import Clock
from tau.core.counters import LATE, Counters
from tau.core.database import Database, Session
from tau.core.ids import IdFactory
from tau.core.signals import NEW_WORK, Signals
from tau.models import Run
from tau.pipeline.types import OnOverlap, RunStatus, Trigger
from tau.repositories.run_repo import RunRepository
from tau.repositories.schedule_repo import Scheduled, ScheduleRepository
from tau.schedule.policy import MISSED, Catchup, Tick, decide
from tau.schedule.ticks import TickSpec
from tau.services.notice_service import NoticeService
from tau.services.run_plan import Overlap

logger = logging.getLogger("tau.ticks")

BATCH = 250
"""So many schedules in one transaction, so that others who write wait little."""
PASSED_OVER = timedelta(hours=1)
SCHEDULER = "scheduler"
"""Who asks for scheduled runs."""


class TickService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        signals: Signals,
        notices: NoticeService | None = None,
        batch: int = BATCH,
        counters: Counters | None = None,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._signals, self._notices, self._batch = signals, notices, batch
        self._counters = counters or Counters()
        self._passed_over: dict[str, datetime] = {}

    def _broken(self, now: datetime) -> list[str]:
        """Schedules that could not be read, until they are tried again."""
        return [key for key, until in self._passed_over.items() if until > now]

    async def next_due(self) -> datetime | None:
        async with self._db.glance() as session:
            return await ScheduleRepository(session).next_fire_at(
                but=self._broken(self._clock.now())
            )

    async def materialise_due(self) -> int:
        """Make the runs of all ticks that are due; how many schedules were."""
        total = 0
        while count := await self._materialise_batch():
            total += count
            if count < self._batch:
                break
        return total

    async def _materialise_batch(self) -> int:
        now = self._clock.now()
        async with self._db.transaction() as session:
            schedules = ScheduleRepository(session)
            due = await schedules.lock_due(now=now, limit=self._batch, but=self._broken(now))
            if not due:
                return 0
            numbers = await schedules.lock_run_counts(sorted({d.pipeline.id for d in due}))
            pending = await schedules.list_pending(due)
            runs: list[dict[str, Any]] = []
            moves = []
            for scheduled in due:
                try:
                    move, made = await self._decide(session, scheduled, numbers, pending, now)
                except (ValueError, ArithmeticError):
                    # One that can't be read must not hold up the others.
                    logger.exception("the schedule of %s is passed over", scheduled.pipeline.name)
                    self._passed_over[scheduled.schedule.id] = now + PASSED_OVER
                    continue
                moves.append(move)
                runs += made
            counts = [{"pipeline": key, "count": count} for key, count in numbers.items()]
            await schedules.keep_ticks(runs, moves, counts)
            if self._notices is not None:
                await self._notices.missed(session, [run for run in runs if _is_missed(run)])
            session.after_commit(lambda: self._signals.notify(NEW_WORK))
        self._count(runs, now)
        return len(due)

    def _count(self, runs: Sequence[dict[str, Any]], now: datetime) -> None:
        for run in runs:
            is_skipped = run["status"] == RunStatus.SKIPPED
            self._counters.ticks["skipped" if is_skipped else "run"] += 1
            if is_skipped:
                self._counters.runs[RunStatus.SKIPPED] += 1
            elif now - run["scheduled_for"] > LATE:
                self._counters.late_ticks += 1

    async def _decide(
        self,
        session: Session,
        due: Scheduled,
        numbers: dict[str, int],
        pending: dict[str, int],
        now: datetime,
    ) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """A schedule's next watermark, and the rows of the ticks up to it."""
        schedule = due.schedule
        decision = decide(
            TickSpec(cron=schedule.cron, every=schedule.every, timezone=schedule.timezone),
            after=schedule.watermark,
            now=now,
            catchup=Catchup(schedule.catchup),
            deadline=timedelta(seconds=schedule.deadline),
        )
        covered, rows = schedule.covered_until, []
        for tick in decision.ticks:
            reason = tick.skipped or await self._hindrance(session, due, pending)
            numbers[due.pipeline.id] += 1
            number = numbers[due.pipeline.id]
            rows.append(self._row(due, tick, number, covered, reason, now))
            if reason is None:
                covered = tick.at
                pending[schedule.id] = number
        move = {
            "schedule": schedule.id,
            "at_generation": schedule.generation,
            "new_watermark": decision.watermark,
            "new_next": decision.next_fire_at,
            "new_covered": covered,
        }
        return move, rows

    async def _hindrance(
        self, session: Session, due: Scheduled, pending: dict[str, int]
    ) -> str | None:
        """Why a tick becomes no run: one of its schedule waits already, or its pipeline says so.

        The span of a tick that is passed over is covered by the next one.
        """
        if Catchup(due.schedule.catchup) is not Catchup.ALL and due.schedule.id in pending:
            number = pending[due.schedule.id]
            return f"{due.pipeline.name}#{number} of this schedule has not started yet"
        limit = due.version.spec.get("max_concurrent")
        policy = OnOverlap(due.version.spec.get("on_overlap") or OnOverlap.QUEUE)
        if limit is None or policy is OnOverlap.QUEUE:
            return None
        runs = RunRepository(session)
        others = await runs.list_running(due.pipeline.id)
        others += await runs.list_pending(due.pipeline.id)
        overlap = Overlap(limit=int(limit), others=others, policy=policy)
        if overlap.skips:
            return overlap.reason
        await self._end(session, overlap.to_cancel if overlap.is_full else ())
        return None

    async def _end(self, session: Session, others: Sequence[Run]) -> None:
        runs, now = RunRepository(session), self._clock.now()
        for run in others:
            reason = "replaced by a newer tick of its schedule"
            if await runs.cancel_pending(run.id, reason=reason, now=now):
                session.after_commit(partial(self._counters.runs.update, [RunStatus.CANCELLED]))
            else:
                await runs.request_cancel(run.id, reason=reason, now=now)

    def _row(
        self,
        due: Scheduled,
        tick: Tick,
        number: int,
        covered_until: datetime | None,
        reason: str | None,
        now: datetime,
    ) -> dict[str, Any]:
        schedule, spec = due.schedule, due.version.spec
        start = covered_until or _before(schedule.cron, schedule.every, schedule.timezone, tick.at)
        return {
            "id": self._ids.new(),
            "tenant_id": schedule.tenant_id,
            "pipeline_id": due.pipeline.id,
            "pipeline_name": due.pipeline.name,
            "number": number,
            "version": due.version.number,
            "status": RunStatus.SKIPPED if reason else RunStatus.QUEUED,
            "status_reason": reason,
            "trigger": Trigger.SCHEDULE,
            "params": {},
            "interval_start": start,
            "interval_end": tick.at,
            "schedule_id": schedule.id,
            "scheduled_for": tick.at,
            "priority": 0,
            "created_at": now,
            "available_at": now,
            "finished_at": now if reason else None,
            "fence": 0,
            "attempt": 0,
            "max_attempts": int(spec.get("retries") or 0) + 1,
            "launch_failures": 0,
            "max_concurrent": spec.get("max_concurrent"),
            "requested_by": SCHEDULER,
        }


def _is_missed(run: dict[str, Any]) -> bool:
    """Whether a tick was skipped for its own lateness, and not for a run that was in its way."""
    return str(run["status_reason"] or "").startswith(MISSED)


def _before(cron: str | None, every: float | None, zone: str, tick: datetime) -> datetime:
    """The tick before the first one: what a schedule's first run covers."""
    if every is not None:
        return tick - timedelta(seconds=every)
    spec = TickSpec(cron=cron, every=None, timezone=zone)
    for days in (1, 8, 32, 367, 3000):
        earlier = None
        for candidate in spec.ticks(tick - timedelta(days=days)):
            if candidate >= tick:
                break
            earlier = candidate
        if earlier is not None:
            return earlier
    return tick
