"""Old runs go with all they have told, in small steps; what an operator still needs stays."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, insert, select, update
from tests.fixtures.environments import environment_service
from tests.fixtures.factories import START, add_pipeline

from tau.core.config import RetentionSettings
from tau.core.database import Database
from tau.core.ids import UlidFactory, first_at
from tau.models import Attempt, Event, Pipeline, Run
from tau.repositories.idempotency_repo import KEPT, IdempotencyRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.services import housekeeping_service
from tau.services.housekeeping_service import HousekeepingService
from tau.services.trace_service import TraceService
from tau.testing import FakeClock

DAY = timedelta(days=1)
NOW = START + 400 * DAY


async def add_history(
    database: Database,
    statuses: Sequence[str],
    *,
    name: str = "orders",
    begin: datetime = START,
    step: timedelta = DAY,
    events: int = 3,
) -> None:
    """A pipeline with runs of these statuses, one each `step`, numbered from 1."""
    pipeline_id = await add_pipeline(database, name)
    runs: list[dict[str, Any]] = []
    for number, status in enumerate(statuses, start=1):
        at = begin + step * number
        ended = status not in ("queued", "running", "retrying")
        runs.append(
            {
                "id": f"{first_at(at)[:10]}{name[1]}{number:015d}",
                "tenant_id": "default",
                "pipeline_id": pipeline_id,
                "pipeline_name": name,
                "number": number,
                "version": 1,
                "status": status,
                "trigger": "manual",
                "params": {},
                "priority": 0,
                "created_at": at,
                "available_at": at,
                "started_at": at,
                "finished_at": at if ended else None,
                "fence": 1,
                "attempt": 1,
                "max_attempts": 1,
                "launch_failures": 0,
                "requested_by": "tester",
            }
        )
    attempts = [
        {
            "run_id": run["id"],
            "number": 1,
            "fence": 1,
            "owner": "node",
            "status": run["status"],
            "claimed_at": run["created_at"],
            "spool_offset": 0,
            "log_lines": events,
            "log_warnings": 0,
            "log_errors": 0,
        }
        for run in runs
    ]
    told = [
        {"run_id": run["id"], "attempt": 1, "seq": seq, "at": run["created_at"], "kind": "log"}
        for run in runs
        for seq in range(1, events + 1)
    ]
    async with database.transaction() as session:
        await session.execute(insert(Run), runs)
        await session.execute(insert(Attempt), attempts)
        if told:
            await session.execute(insert(Event), told)
        await session.execute(
            update(Pipeline)
            .where(Pipeline.id == pipeline_id)
            .values(run_count=Pipeline.run_count + len(runs))
        )


def housekeeping(database: Database, **settings: int) -> HousekeepingService:
    clock = FakeClock(NOW)
    return HousekeepingService(
        database,
        clock,
        retention=RetentionSettings(**settings),
        environments=environment_service(database, clock),
    )


async def numbers(database: Database, name: str = "orders") -> list[int]:
    async with database.read() as session:
        query = select(Run.number).where(Run.pipeline_name == name).order_by(Run.number)
        return list(await session.scalars(query))


async def check_whole(database: Database, *, events: int = 3) -> None:
    """What is kept has its attempts and events, what is gone has none; totals say so."""
    async with database.read() as session:
        kept = set(await session.scalars(select(Run.id)))
        assert set(await session.scalars(select(Attempt.run_id))) == kept
        told = await session.execute(select(Event.run_id, func.count()).group_by(Event.run_id))
        assert {run_id: count for run_id, count in told} == dict.fromkeys(kept, events)
    listed = await TraceService(database, FakeClock(NOW)).list(limit=1000)
    assert listed.total == len(kept)


async def test_runs_that_ended_too_long_ago_are_removed(database: Database) -> None:
    await add_history(database, ["success", "failed"] * 200)
    assert await housekeeping(database, days=90).remove_old_runs() == 309
    assert await numbers(database) == list(range(310, 401))
    await check_whole(database)
    assert await housekeeping(database, days=90).remove_old_runs() == 0
    async with database.transaction() as session:
        assert await PipelineRepository(session).next_run_number("p-orders") == 401


async def test_what_is_not_final_or_still_needed_stays(database: Database) -> None:
    statuses = ["failed", "success", "success", "crashed", "queued", "running", "retrying"]
    await add_history(database, [*statuses, *["timeout"] * 5, "skipped"])
    assert await housekeeping(database, days=1).remove_old_runs() == 8
    assert await numbers(database) == [3, 5, 6, 7, 13]
    await check_whole(database)
    async with database.read() as session:
        last = await RunRepository(session).last_success_start("p-orders")
    assert last == START + 3 * DAY


async def test_more_runs_than_a_pipeline_may_keep_are_removed(database: Database) -> None:
    await add_history(database, ["success"] * 30 + ["failed"] * 250, step=timedelta(hours=1))
    await add_history(database, ["failed"] * 120, name="others", step=timedelta(hours=1))
    service = housekeeping(database, days=1000, runs_per_pipeline=120)
    assert await service.remove_old_runs() == 159
    assert await numbers(database) == [30, *range(161, 281)]
    assert await numbers(database, "others") == list(range(1, 121))
    await check_whole(database)
    assert await service.remove_old_runs() == 0


async def test_it_may_end_anywhere_and_go_on(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping_service, "EVENTS_AT_ONCE", 50)
    await add_history(database, ["success"] * 300, step=timedelta(minutes=1), events=2)
    service = housekeeping(database, days=1)
    for turns in range(1, 12, 2):
        work = asyncio.create_task(service.remove_old_runs())
        for _ in range(turns * 5):
            await asyncio.sleep(0.002)
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        listed = await TraceService(database, FakeClock(NOW)).list(limit=1)
        assert listed.total == len(await numbers(database))
    await service.remove_old_runs()
    assert await numbers(database) == [300]
    await check_whole(database, events=2)


async def test_writers_go_on_meanwhile(database: Database) -> None:
    await add_history(database, ["success"] * 1500, step=timedelta(minutes=1), events=10)
    other = await add_pipeline(database, "others")
    work = asyncio.create_task(housekeeping(database, days=1).remove_old_runs())
    written = 0
    while not work.done():
        async with database.transaction() as session:
            await PipelineRepository(session).next_run_number(other)
        written += 1
        await asyncio.sleep(0)
    assert await work == 1499
    # 15 batches of runs, each with three transactions: all but some let a writer in between.
    assert written >= 30


async def test_request_keys_are_forgotten_after_their_day(database: Database) -> None:
    async with database.transaction() as session:
        keys = IdempotencyRepository(session)
        for number in range(1200):
            at = NOW - KEPT - timedelta(seconds=1) if number % 2 else NOW
            await keys.reserve(f"key-{number}", request_sha256="x", now=at)
    await housekeeping(database).forget_old_keys()
    async with database.transaction() as session:
        keys = IdempotencyRepository(session)
        assert await keys.remove_old(now=NOW + 10 * KEPT, limit=10_000) == 600


def test_the_first_id_of_a_time_is_below_all_of_it() -> None:
    before, made = first_at(datetime.now(START.tzinfo)), UlidFactory().new()
    later = first_at(datetime.now(START.tzinfo) + timedelta(seconds=1))
    assert before <= made < later
