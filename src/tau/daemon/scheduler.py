"""The daemon's periodic jobs, driven by APScheduler; it keeps no jobs and evaluates no cron.

The `schedules` table is the truth: the job of the ticks is set to the table's next due time, and
again after each run of it, after each change, and at the latest every half minute, in case the
wall clock was set meanwhile.
"""

import asyncio
import logging
from datetime import datetime, timedelta

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tau.core.clock import Clock
from tau.core.signals import SCHEDULES, Signals
from tau.errors import StoreUnavailable
from tau.services.housekeeping_service import HousekeepingService
from tau.services.tick_service import TickService

logger = logging.getLogger("tau.scheduler")

HOUR_S = 3600
LONGEST_SLEEP = timedelta(seconds=30)
RETRY = timedelta(seconds=1)
TICKS = "ticks"


class Scheduler:
    """Wakes the tick service when a schedule is due, and the housekeeping each hour."""

    def __init__(
        self,
        ticks: TickService,
        housekeeping: HousekeepingService,
        *,
        clock: Clock,
        signals: Signals,
    ) -> None:
        self._ticks, self._clock, self._signals = ticks, clock, signals
        self._jobs = AsyncIOScheduler(
            timezone="UTC",
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": None},
        )
        self._jobs.add_job(housekeeping.forget_old_keys, "interval", seconds=HOUR_S)
        self._watch: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Catch up what is due already, then go on."""
        self._jobs.start()
        await self._tick()
        self._watch = asyncio.create_task(self._watch_changes(), name="schedule changes")

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        self._jobs.shutdown(wait=False)

    async def _tick(self) -> None:
        try:
            await self._ticks.materialise_due()
            due = await self._ticks.next_due()
        except StoreUnavailable as error:
            logger.warning("the schedules can't be read: %s", error)
            self._wake_at(self._clock.now() + RETRY)
            return
        latest = self._clock.now() + LONGEST_SLEEP
        self._wake_at(min(due, latest) if due else latest)

    def _wake_at(self, moment: datetime) -> None:
        self._jobs.add_job(self._tick, "date", run_date=moment, id=TICKS, replace_existing=True)

    async def _watch_changes(self) -> None:
        while True:
            waiter = self._signals.listen(SCHEDULES)
            await waiter
            if self._signals.closed:
                return
            self._wake_at(self._clock.now())
