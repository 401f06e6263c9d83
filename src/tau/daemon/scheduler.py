"""The daemon's periodic jobs, driven by APScheduler; it keeps no jobs and evaluates no cron.

The `schedules` table is the truth: a job is set to the table's next due time, and again each time
that the ticks were made, and after each change. It only rings a bell, since APScheduler drops a job
that is due while an earlier run of it has not quite ended; that one or the next half minute would
otherwise be the last. It sleeps until a time of the wall clock, and over an hour that the clock is
set back: so whoever sets the clock wakes everything.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import cast

from apscheduler.schedulers.asyncio import AsyncIOScheduler

from tau.core.clock import Clock
from tau.core.signals import NEW_WORK, SCHEDULES, Signals
from tau.daemon.trouble import Trouble
from tau.services.housekeeping_service import HousekeepingService
from tau.services.tick_service import TickService

logger = logging.getLogger("tau.scheduler")

HOUR_S = 3600
FIRST = timedelta(minutes=1)
LONGEST_SLEEP_S = 30
RETRY = timedelta(seconds=1)
TICKS = "ticks"
CLOCK_LOOK_S = 1.0
CLOCK_JUMP_S = 2.0


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
        self._housekeeping = housekeeping
        self._running: set[asyncio.Task[None]] = set()
        self._jobs.add_job(
            self._run,
            "interval",
            args=[self._keep_house],
            seconds=HOUR_S,
            next_run_time=datetime.now(UTC) + FIRST,
        )
        self._jobs.add_job(self._ring, "interval", seconds=LONGEST_SLEEP_S)
        self._bell = asyncio.Event()
        self._loops: list[asyncio.Task[None]] = []
        self._schedules = Trouble(logger, "the schedules can't be read")
        self._house = Trouble(logger, "what is old can't be tidied up")

    @property
    def troubles(self) -> list[Trouble]:
        return [self._schedules, self._house]

    async def start(self) -> None:
        """Catch up what is due already, then go on."""
        self._jobs.start()
        await self._tick()
        self._loops = [
            asyncio.create_task(self._tick_when_rung(), name="ticks"),
            asyncio.create_task(self._watch_changes(), name="schedule changes"),
            asyncio.create_task(self._watch_clock(), name="clock"),
        ]

    async def stop(self) -> None:
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        self._jobs.shutdown(wait=False)
        # A job that was under way was cancelled: the store is closed after its last word.
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _run(self, job: Callable[[], Awaitable[None]]) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        self._running.add(task)
        try:
            await job()
        finally:
            self._running.discard(task)

    async def _ring(self) -> None:
        self._bell.set()

    async def _tick_when_rung(self) -> None:
        while True:
            await self._bell.wait()
            # Before the ticks are made: what changes meanwhile rings again.
            self._bell.clear()
            await self._tick()

    async def _tick(self) -> None:
        try:
            await self._ticks.materialise_due()
            due = await self._ticks.next_due()
            self._schedules.over()
        except Exception as error:
            # Whatever it was: a daemon without this loop would only seem to live.
            self._schedules.met(error)
            self._ring_in(RETRY)
            return
        if due is not None:
            self._ring_in(due - self._clock.now())

    async def _keep_house(self) -> None:
        try:
            await self._housekeeping.tidy_up()
            self._house.over()
        except Exception as error:
            self._house.met(error)

    def _ring_in(self, delay: timedelta) -> None:
        if delay.total_seconds() > LONGEST_SLEEP_S:
            return
        moment = datetime.now(UTC) + max(delay, timedelta(0))
        self._jobs.add_job(self._ring, "date", run_date=moment, id=TICKS, replace_existing=True)

    async def _watch_changes(self) -> None:
        while True:
            await self._signals.listen(SCHEDULES)
            if self._signals.closed:
                return
            self._bell.set()

    async def _watch_clock(self) -> None:
        lead = self._lead()
        while True:
            await asyncio.sleep(CLOCK_LOOK_S)
            last, lead = lead, self._lead()
            if abs(lead - last) > CLOCK_JUMP_S:
                logger.warning("the clock was set by %+.0f s", lead - last)
                for job in self._jobs.get_jobs():
                    job.modify(next_run_time=datetime.now(UTC))
                self._signals.notify(NEW_WORK)

    def _lead(self) -> float:
        """How far the wall clock is before the one that nobody sets."""
        return self._clock.now().timestamp() - time.monotonic()
