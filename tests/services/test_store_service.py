"""What the store says of itself, room given back, and old runs removed on demand."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.fixtures.environments import environment_service
from tests.fixtures.factories import ACTOR, START
from tests.fixtures.waiting import eventually_async
from tests.services.test_retention import DAY, NOW, add_history, numbers

from tau.core import sqlite_file
from tau.core.config import RetentionSettings
from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.errors import StoreNoRoom, StoreUnavailable
from tau.models.base import Base
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.pipeline_repo import PipelineRepository
from tau.schemas.base import Change
from tau.schemas.store import Cleanup
from tau.services import cleanup_service, store_service
from tau.services.cleanup_service import CleanupService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.store_service import StoreService
from tau.testing import FakeClock


def store(database: Database) -> StoreService:
    return StoreService(database, FakeClock(NOW), UlidFactory(), revision="test")


def cleaner(database: Database, **settings: int) -> CleanupService:
    clock = FakeClock(NOW)
    house = HousekeepingService(
        database,
        clock,
        retention=RetentionSettings(**settings),
        environments=environment_service(database, clock),
    )
    return CleanupService(database, clock, UlidFactory(), housekeeping=house)


async def audited(database: Database) -> Sequence[Any]:
    async with database.read() as session:
        rows, _, _ = await AuditRepository(session).list_page(limit=50)
    return [(row.action, row.reason, row.detail) for row in rows]


async def counted(database: Database, wanted: dict[str, int]) -> bool:
    """Whether the statistics have come so far; PostgreSQL's own lag behind."""
    if not database.is_sqlite:
        async with database.engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("ANALYZE"))
    rows = {table.name: table.rows for table in (await store(database).stats()).tables}
    return {name: rows[name] for name in wanted} == wanted


async def test_tables_with_their_rows_and_bytes(database: Database) -> None:
    await add_history(database, ["success"] * 300, events=10)
    await add_history(database, ["failed"] * 20, name="others", events=10)
    wanted = {"runs": 320, "attempts": 320, "events": 3200, "pipelines": 2, "sources": 1}
    await eventually_async(lambda: counted(database, wanted))
    told = await store(database).stats()
    assert [table.name for table in told.tables] == sorted(Base.metadata.tables)
    assert told.kind == database.kind
    assert told.oldest_run is not None
    assert told.oldest_run.run == "orders#1"
    assert told.oldest_run.created_at == START + DAY
    sizes = {table.name: table.bytes or 0 for table in told.tables}
    assert sizes["events"] > 3200 * 40
    assert sum(sizes.values()) <= told.bytes
    assert (told.wal_bytes is None) == (not database.is_sqlite)
    assert told.estimated == (not database.is_sqlite)


async def test_an_empty_store_has_no_oldest_run(database: Database) -> None:
    assert (await store(database).stats()).oldest_run is None


async def test_what_is_too_large_to_look_at_is_estimated(
    sqlite_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{sqlite_store}")
    await add_history(database, ["success"] * 400, events=50)
    exact = sqlite_file.table_sizes(sqlite_store, ["events", "runs"], within_s=10)
    assert exact["events"].rows == 20_000
    moments = iter(range(1_000_000))
    monkeypatch.setattr(sqlite_file.time, "monotonic", lambda: float(next(moments)))
    partly = sqlite_file.table_sizes(sqlite_store, ["runs", "events"], within_s=300)
    assert partly["runs"] == exact["runs"]
    assert not partly["events"].is_exact
    assert partly["events"].rows == pytest.approx(20_000, rel=0.35)
    moments = iter(range(1_000_000))
    neither = sqlite_file.table_sizes(sqlite_store, ["events", "runs"], within_s=20)
    assert neither["events"].rows is neither["runs"].bytes is None
    await database.close()


async def test_a_vacuum_gives_room_back_while_others_read(database: Database) -> None:
    await add_history(database, ["success"] * 1500, step=timedelta(minutes=1), events=20)
    await cleaner(database).cleanup(Cleanup(days=1), ACTOR)
    before = await store(database).vacuum(Change(dry_run=True), ACTOR)
    assert before.after_bytes is None
    work = asyncio.create_task(store(database).vacuum(Change(reason="tidy"), ACTOR))
    while not work.done():
        assert await numbers(database) == [1500]
    done = await work
    assert done.before_bytes == before.before_bytes
    assert done.after_bytes is not None
    if database.is_sqlite:
        assert done.after_bytes < done.before_bytes / 4
        assert done.freed_bytes == done.before_bytes - done.after_bytes
        log = (await store(database).stats()).wal_bytes
        assert log is not None
        assert log < 100_000
    async with database.transaction() as session:
        assert await PipelineRepository(session).next_run_number("p-orders") == 1501
    assert ("db.vacuum", "tidy", {"freed_bytes": done.freed_bytes}) in await audited(database)


async def test_a_vacuum_without_room_is_refused(
    sqlite_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{sqlite_store}")
    monkeypatch.setattr(store_service, "VACUUM_ROOM", 10**12)
    with pytest.raises(StoreNoRoom):
        await store(database).vacuum(Change(), ACTOR)
    await database.close()


async def test_whoever_writes_during_a_long_vacuum_is_told_to_try_again(
    sqlite_store: Path,
) -> None:
    """Not an error of ours, and not for ever: the reports of attempts are tried again."""
    database = Database(f"sqlite:///{sqlite_store}", busy_timeout_s=0.05)
    await add_history(database, ["success"] * 20, events=2000)
    work = asyncio.create_task(database.vacuum())
    refused = 0
    while not work.done():
        try:
            async with database.transaction() as session:
                await PipelineRepository(session).next_run_number("p-orders")
        except StoreUnavailable:
            refused += 1
        await asyncio.sleep(0)
    await work
    async with database.transaction() as session:
        await PipelineRepository(session).next_run_number("p-orders")
    await database.close()


async def test_a_dry_run_counts_what_a_cleanup_removes(database: Database) -> None:
    await add_history(database, ["success", "failed"] * 50)
    await add_history(database, ["failed", "success", "failed", "running"], name="others")
    service = cleaner(database, days=400)
    planned = await service.cleanup(Cleanup(days=330, dry_run=True), ACTOR)
    assert (planned.removed, planned.dry_run) == (71, True)
    assert planned.oldest == START + DAY
    assert await numbers(database) == list(range(1, 101))
    done = await service.cleanup(Cleanup(days=330, reason="room"), ACTOR)
    assert (done.removed, done.done, done.days) == (71, True, 330)
    assert await numbers(database) == list(range(70, 101))
    assert await numbers(database, "others") == [2, 4]
    [(action, reason, detail)] = await audited(database)
    assert (action, reason, detail["runs"]) == ("db.cleanup", "room", 71)
    again = await service.cleanup(Cleanup(days=330, dry_run=True), ACTOR)
    assert (again.removed, again.oldest) == (0, None)


async def test_without_days_the_retention_counts(database: Database) -> None:
    await add_history(database, ["success"] * 400)
    done = await cleaner(database, days=100).cleanup(Cleanup(), ACTOR)
    assert (done.days, done.removed) == (100, 299)


async def test_a_request_is_answered_before_all_is_removed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_history(database, ["success"] * 700, step=timedelta(minutes=1))
    monkeypatch.setattr(cleanup_service, "ONE_REQUEST_S", 0.001)
    answers = []
    while not answers or not answers[-1].done:
        answers.append(await cleaner(database).cleanup(Cleanup(days=1), ACTOR))
        assert len(answers) < 50
    assert len(answers) > 2
    assert sum(answer.removed for answer in answers) == 699
    assert await numbers(database) == [700]
