"""The wall clock is set forth and back under a scheduler: no tick is lost, none comes twice."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select
from tests.fixtures.environments import environment_service
from tests.fixtures.factories import START, add_pipeline, spec
from tests.fixtures.waiting import eventually_async

from tau.core.config import RetentionSettings
from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import SCHEDULES, Signals
from tau.daemon.scheduler import CLOCK_LOOK_S, Scheduler
from tau.errors import StoreUnavailable
from tau.models import Run
from tau.services.execution_service import ExecutionService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.schedule_service import ScheduleService
from tau.services.tick_service import TickService

HOUR = timedelta(hours=1)


class WallClock:
    """A clock that somebody sets."""

    def __init__(self) -> None:
        self.moment = START + timedelta(seconds=30)

    def now(self) -> datetime:
        return self.moment


class CountedTicks(TickService):
    """Says how often it was asked, and fails where it is told to."""

    asked = 0
    failure: Exception | None = None
    due_at_once = 0

    async def materialise_due(self) -> int:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return await super().materialise_due()

    async def next_due(self) -> datetime | None:
        if self.due_at_once:
            self.due_at_once -= 1
            return START
        return await super().next_due()


class Ticking:
    """A scheduler at work on a store with one schedule, each minute."""

    def __init__(self, database: Database) -> None:
        self.database, self.clock, self.signals = database, WallClock(), Signals()
        self.ticks = CountedTicks(database, self.clock, UlidFactory(), signals=self.signals)
        housekeeping = HousekeepingService(
            database,
            self.clock,
            retention=RetentionSettings(),
            environments=environment_service(database, self.clock),
        )
        self.scheduler = Scheduler(self.ticks, housekeeping, clock=self.clock, signals=self.signals)

    async def add_schedule(self) -> None:
        declared = {"schedule": "* * * * *"}
        pipeline_id = await add_pipeline(self.database, **declared)
        service = ScheduleService(self.database, self.clock, UlidFactory(), signals=self.signals)
        async with self.database.transaction() as session:
            made, _ = await service.deployed(
                session, pipeline_id, "orders", spec("orders", **declared)
            )
            assert made is not None
            await service.keep(session, made)

    async def runs(self) -> list[Run]:
        async with self.database.read() as session:
            return list(await session.scalars(select(Run).order_by(Run.number)))

    async def looks(self, count: int) -> None:
        """Until the clock was looked at so often; not longer than that takes."""
        await asyncio.sleep(CLOCK_LOOK_S * count)


@pytest.fixture
async def ticking(database: Database) -> AsyncIterator[Ticking]:
    made = Ticking(database)
    await made.add_schedule()
    await made.scheduler.start()
    yield made
    await made.scheduler.stop()


async def test_the_clock_is_set_forth_and_back(ticking: Ticking) -> None:
    async def made(count: int) -> bool:
        return len(await ticking.runs()) >= count

    assert await ticking.runs() == []
    ticking.clock.moment += HOUR
    await eventually_async(lambda: made(1))
    [run] = await ticking.runs()
    assert run.scheduled_for == START + HOUR

    ticking.clock.moment -= HOUR
    asked = ticking.ticks.asked
    await ticking.looks(3)
    assert len(await ticking.runs()) == 1
    assert ticking.ticks.asked - asked <= 3
    execution = ExecutionService(
        ticking.database, ticking.clock, owner="node", signals=ticking.signals
    )
    [claim] = await execution.claim(limit=10)
    assert claim.run_id == run.id

    ticking.clock.moment += HOUR + timedelta(minutes=1)
    await eventually_async(lambda: made(2))
    assert [run.scheduled_for for run in await ticking.runs()] == [
        START + HOUR,
        START + HOUR + timedelta(minutes=1),
    ]


async def test_what_is_due_when_the_ticks_have_just_been_made(ticking: Ticking) -> None:
    """The next wake is never lost, however soon it is: with it all schedules would stand still."""
    asked = ticking.ticks.asked
    ticking.ticks.due_at_once = 50
    ticking.signals.notify(SCHEDULES)
    await eventually_async(lambda: ticking.ticks.asked >= asked + 50)
    ticking.clock.moment += HOUR
    await eventually_async(ticking.runs)


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("a bug")])
async def test_a_scheduler_survives_whatever_its_ticks_raise(
    ticking: Ticking, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    ticking.ticks.failure = failure
    asked = ticking.ticks.asked
    ticking.clock.moment += HOUR
    await eventually_async(lambda: ticking.ticks.asked >= asked + 3)
    told = [r for r in caplog.records if r.name == "tau.scheduler" and "trying again" in r.message]
    assert len(told) == 1
    ticking.ticks.failure = None
    await eventually_async(ticking.runs)
    await eventually_async(lambda: "over after" in caplog.text)
