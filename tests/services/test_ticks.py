"""Due ticks become runs on both databases: once, whoever asks, however late and often."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fixtures.factories import START, add_pipeline, record, spec

from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import NEW_WORK, Signals
from tau.models import Run, Schedule
from tau.repositories.schedule_repo import ScheduleRepository
from tau.schedule.policy import Catchup
from tau.services.execution_service import Ended, ExecutionService
from tau.services.schedule_service import ScheduleService
from tau.services.tick_service import TickService
from tau.testing import FakeClock

MINUTE = timedelta(minutes=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def ticks(database: Database, clock: FakeClock, signals: Signals) -> TickService:
    return TickService(database, clock, UlidFactory(), signals=signals)


async def schedule(
    database: Database, clock: FakeClock, name: str = "orders", **values: Any
) -> Schedule:
    """A deployed pipeline with a schedule of its file; by default each minute."""
    declared = {"schedule": "* * * * *"} | values
    kept = {key: declared.pop(key) for key in ("catchup", "deadline") if key in declared}
    pipeline_id = await add_pipeline(database, name, **declared)
    service = ScheduleService(database, clock, UlidFactory(), signals=Signals())
    async with database.transaction() as session:
        made, _ = await service.deployed(session, pipeline_id, name, spec(name, **declared))
        assert made is not None
        for key, value in kept.items():
            setattr(made, key, value)
        await service.keep(session, made)
    return made


async def runs(database: Database) -> list[Run]:
    from sqlalchemy import select

    async with database.read() as session:
        return list(await session.scalars(select(Run).order_by(Run.pipeline_id, Run.number)))


def shown(found: list[Run]) -> list[tuple[int, str, float]]:
    """Number, status and minute after the start of each run."""
    return [
        (run.number, run.status, (run.scheduled_for - START) / MINUTE)  # type: ignore[operator]
        for run in found
    ]


async def finish_all(database: Database, clock: FakeClock) -> None:
    execution = ExecutionService(database, clock, owner="n", signals=Signals())
    while claims := await execution.claim(limit=100):
        await execution.record([Ended(claim=claim, record=record(claim)) for claim in claims])


async def test_a_tick_becomes_a_run(
    database: Database, clock: FakeClock, ticks: TickService, signals: Signals
) -> None:
    await schedule(database, clock)
    assert await ticks.next_due() == START + MINUTE
    assert await ticks.materialise_due() == 0
    clock.advance(60)
    waiter = signals.listen(NEW_WORK)
    assert await ticks.materialise_due() == 1
    assert waiter.done()
    [run] = await runs(database)
    assert (run.trigger, run.status, run.number) == ("schedule", "queued", 1)
    assert (run.interval_start, run.interval_end) == (START, START + MINUTE)
    assert run.requested_by == "scheduler"
    assert await ticks.next_due() == START + 2 * MINUTE
    assert await ticks.materialise_due() == 0


async def test_several_daemons_at_once_make_one_run_of_a_tick(
    database: Database, clock: FakeClock
) -> None:
    for number in range(20):
        await schedule(database, clock, f"p{number:02}")
    clock.advance(60)
    daemons = [TickService(database, clock, UlidFactory(), signals=Signals()) for _ in range(4)]
    await asyncio.gather(*(daemon.materialise_due() for daemon in daemons))
    found = await runs(database)
    assert len(found) == 20
    assert len({run.schedule_id for run in found}) == 20


async def test_after_an_absence_the_newest_tick_covers_the_gap(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock)
    clock.advance(60)
    await ticks.materialise_due()
    await finish_all(database, clock)
    clock.advance(600)
    await ticks.materialise_due()
    first, second = await runs(database)
    assert shown([first, second]) == [(1, "success", 1), (2, "queued", 11)]
    assert (second.interval_start, second.interval_end) == (first.interval_end, clock.now())


async def test_catchup_all_makes_each_tick_a_run_and_they_run_one_by_one(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock, catchup=Catchup.ALL)
    clock.advance(5 * 60)
    await ticks.materialise_due()
    found = await runs(database)
    assert shown(found) == [(n, "queued", n) for n in range(1, 6)]
    assert all(run.interval_end - run.interval_start == MINUTE for run in found)  # type: ignore[operator]
    execution = ExecutionService(database, clock, owner="n", signals=Signals())
    [claim] = await execution.claim(limit=10)
    assert await execution.claim(limit=10) == []
    await execution.record([Ended(claim=claim, record=record(claim))])
    assert [c.number for c in await execution.claim(limit=10)] == [2]


async def test_catchup_none_and_deadlines_leave_a_row_that_says_why(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock, "none", schedule="*/10 * * * *", catchup=Catchup.NONE)
    await schedule(database, clock, "late", deadline=30.0)
    clock.advance(10 * 60 + 45)
    await ticks.materialise_due()
    late, none = await runs(database)
    assert (late.status, none.status) == ("skipped", "queued")
    assert "deadline" in str(late.status_reason)
    await finish_all(database, clock)
    clock.advance(65 * 60)
    await ticks.materialise_due()
    skipped = (await runs(database))[-1]
    assert (skipped.status, "catchup is none" in str(skipped.status_reason)) == ("skipped", True)


async def test_one_run_and_one_pending_and_no_gap_in_what_they_cover(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock)
    execution = ExecutionService(database, clock, owner="n", signals=Signals())
    clock.advance(60)
    await ticks.materialise_due()
    [claim] = await execution.claim(limit=10)
    for _ in range(3):
        clock.advance(60)
        await ticks.materialise_due()
    assert shown(await runs(database)) == [
        (1, "starting", 1), (2, "queued", 2), (3, "skipped", 3), (4, "skipped", 4),
    ]  # fmt: skip
    assert await execution.claim(limit=10) == []
    await execution.record([Ended(claim=claim, record=record(claim))])
    await finish_all(database, clock)
    clock.advance(60)
    await ticks.materialise_due()
    last = (await runs(database))[-1]
    assert last.interval_start == START + 2 * MINUTE
    assert last.interval_end == START + 5 * MINUTE


async def test_overlap_skip_and_cancel_at_a_tick(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock, "skips", max_concurrent=1, on_overlap="skip")
    await schedule(database, clock, "replaces", max_concurrent=1, on_overlap="cancel_running")
    execution = ExecutionService(database, clock, owner="n", signals=Signals())
    clock.advance(60)
    await ticks.materialise_due()
    assert len(await execution.claim(limit=10)) == 2
    clock.advance(60)
    await ticks.materialise_due()
    by_name = {(run.pipeline_name, run.number): run for run in await runs(database)}
    assert by_name["skips", 2].status == "skipped"
    assert by_name["replaces", 2].status == "queued"
    [(run_id, _)] = await execution.to_kill()
    assert run_id == by_name["replaces", 1].id


async def test_what_is_disabled_or_undeployed_is_not_due(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    made = await schedule(database, clock)
    service = ScheduleService(database, clock, UlidFactory(), signals=Signals())
    async with database.transaction() as session:
        await service.undeployed(session, made.pipeline_id)
    clock.advance(600)
    assert await ticks.materialise_due() == 0
    assert await ticks.next_due() is None


@pytest.mark.parametrize("count", [40, 45])
async def test_many_due_at_once(
    database: Database, clock: FakeClock, signals: Signals, count: int
) -> None:
    """In batches, the last of which may be full."""
    ticks = TickService(database, clock, UlidFactory(), signals=signals, batch=20)
    for number in range(count):
        await schedule(database, clock, f"p{number:04}")
    clock.advance(60)
    assert await ticks.materialise_due() == count
    found = await runs(database)
    assert (len(found), {run.number for run in found}) == (count, {1})


async def test_a_schedule_that_can_not_be_read_does_not_hold_up_the_others(
    database: Database, clock: FakeClock, ticks: TickService
) -> None:
    await schedule(database, clock, "broken", deadline=1e15)
    await schedule(database, clock, "fine")
    clock.advance(60)
    await ticks.materialise_due()
    assert [run.pipeline_name for run in await runs(database)] == ["fine"]
    assert await ticks.next_due() == clock.now() + MINUTE


JUMPS = st.lists(
    st.tuples(st.integers(-7200, 7200), st.booleans(), st.integers(1, 3)), min_size=1, max_size=8
)


@given(jumps=JUMPS, catchup=st.sampled_from(Catchup))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_clock_jumps_repetitions_and_many_daemons(
    database: Database, jumps: list[tuple[int, bool, int]], catchup: Catchup
) -> None:
    """Whatever the clock does and however many ask: each tick at most once, spans without gaps."""
    moment, clock = START, FakeClock(START)
    made = await schedule(
        database, clock, f"p-{UlidFactory().new()[-20:]}", every=97.0, schedule=None,
        catchup=catchup,
    )  # fmt: skip
    for seconds, finishes, daemons in jumps:
        moment += timedelta(seconds=seconds)
        clock = FakeClock(moment)
        services = [
            TickService(database, clock, UlidFactory(), signals=Signals()) for _ in range(daemons)
        ]
        await asyncio.gather(*(service.materialise_due() for service in services))
        if finishes:
            await finish_all(database, clock)
    mine = [run for run in await runs(database) if run.schedule_id == made.id]
    times = [run.scheduled_for for run in mine]
    assert len(set(times)) == len(times)
    ran = [run for run in mine if run.status != "skipped"]
    spans: list[tuple[datetime | None, datetime | None]] = [
        (run.interval_start, run.interval_end) for run in ran
    ]
    assert all(later[0] == earlier[1] for earlier, later in zip(spans, spans[1:], strict=False))
    async with database.read() as session:
        stored = await ScheduleRepository(session).find(made.pipeline_id)
    assert stored is not None
    assert stored.watermark >= max([START, *(time for time in times if time)])
