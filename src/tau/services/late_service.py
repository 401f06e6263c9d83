"""Finds the runs that are late: by the deadline of their schedule, or against their usual time.

- A scheduled run is late when it has not started by its schedule's deadline (an hour, unless
  `tau schedule NAME --deadline` says otherwise). A tick that was missed by more is told of by
  who skips it.
- A run is late when it has run, retries included, `late_factor` times as long as 95 % of its
  pipeline's last 20 successes, and `late_minimum` at least. With fewer than five it has no usual
  time.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tau.core.clock import Clock
from tau.core.config import NotifySettings
from tau.core.database import Database
from tau.core.notice_types import NoticeType
from tau.repositories.notice_repo import NoticeRepository, Overdue
from tau.services.notice_service import NoticeService

FEWEST = 5
SHARE = 0.95


@dataclass(frozen=True)
class Late:
    """A run that is late, by which rule and why."""

    run: Overdue
    rule: str
    reason: str

    @property
    def key(self) -> tuple[str, str]:
        return self.run.id, self.rule


class LateService:
    def __init__(
        self, db: Database, clock: Clock, *, notices: NoticeService, settings: NotifySettings
    ) -> None:
        self._db, self._clock, self._notices = db, clock, notices
        self._settings = settings
        self._told: set[tuple[str, str]] = set()

    async def look(self) -> int:
        """Tell of the runs that have become late since the last look; how many."""
        async with self._db.glance() as session:
            if not await self._notices.has_listeners(session, NoticeType.RUN_LATE):
                return 0
        now = self._clock.now()
        found = await self._not_started(now) + await self._longer_than_usual(now)
        new = [late for late in found if late.key not in self._told]
        if new:
            await self._tell(new)
        self._told = {late.key for late in found}
        return len(new)

    async def _tell(self, new: Sequence[Late]) -> None:
        async with self._db.transaction() as session:
            runs = [late.run.id for late in new]
            unfinished = await NoticeRepository(session).list_unfinished(runs)
            for late in new:
                if late.run.id in unfinished:
                    await self._notices.late(
                        session,
                        run_id=late.run.id,
                        pipeline=late.run.pipeline_name,
                        number=late.run.number,
                        status=late.run.status,
                        trigger=late.run.trigger,
                        rule=late.rule,
                        reason=late.reason,
                        scheduled_for=late.run.scheduled_for,
                    )

    async def _not_started(self, now: datetime) -> list[Late]:
        async with self._db.read() as session:
            waiting = await NoticeRepository(session).list_not_started(now=now)
        found = []
        for run in waiting:
            assert run.scheduled_for is not None  # noqa: S101
            deadline = timedelta(seconds=run.deadline or 0)
            if now - run.scheduled_for > deadline:
                reason = f"it has not started {_span(deadline)} after its time"
                found.append(Late(run, "not_started", reason))
        return found

    async def _longer_than_usual(self, now: datetime) -> list[Late]:
        minimum = timedelta(seconds=self._settings.late_minimum)
        found = []
        async with self._db.read() as session:
            notices = NoticeRepository(session)
            for run in await notices.list_running(started_before=now - minimum):
                usual = usual_time(await notices.recent_durations(run.pipeline_id))
                took = now - (run.started_at or now)
                if usual is not None and took > usual * self._settings.late_factor:
                    reason = f"it has run for {_span(took)}; usually it takes {_span(usual)}"
                    found.append(Late(run, "longer_than_usual", reason))
        return found


def usual_time(durations: Sequence[timedelta]) -> timedelta | None:
    """The time within which 95 % of these stayed; None of too few to say."""
    if len(durations) < FEWEST:
        return None
    return sorted(durations)[math.ceil(SHARE * len(durations)) - 1]


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    return f"{seconds:.1f} s" if seconds < 60 else str(timedelta(seconds=round(seconds)))
