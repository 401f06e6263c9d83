"""Transactions: no lost writes, effects only after the commit, clear refusals."""

import asyncio
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text
from tests.fixtures.factories import add_pipeline

from tau.core.database import Database, normalise_url, sqlite_url
from tau.core.migrations import HEAD, known_revisions, upgrade
from tau.errors import ConfigurationError, StoreNewerThanCode, StoreUnavailable
from tau.repositories.pipeline_repo import PipelineRepository


async def test_concurrent_read_then_write_loses_nothing(database: Database) -> None:
    pipeline_id = await add_pipeline(database)

    async def count() -> None:
        async with database.transaction() as session:
            await PipelineRepository(session).find("orders")
            await PipelineRepository(session).next_run_number(pipeline_id)

    await asyncio.gather(*(count() for _ in range(30)))
    async with database.read() as session:
        assert await PipelineRepository(session).total_runs(pipeline_id) == 30


async def test_callbacks_run_after_the_commit_and_never_after_a_rollback(
    database: Database,
) -> None:
    heard: list[str] = []
    async with database.transaction() as session:
        session.after_commit(lambda: heard.append("kept"))
        assert heard == []

    async def fail() -> None:
        async with database.transaction() as session:
            session.after_commit(lambda: heard.append("dropped"))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        await fail()
    assert heard == ["kept"]


async def test_a_reader_can_not_write_to_sqlite(sqlite_store: Path) -> None:
    database = Database(sqlite_url(sqlite_store))
    with pytest.raises(StoreUnavailable, match="readonly"):
        async with database.read() as session:
            await session.execute(text("DELETE FROM runs"))
    await database.close()


async def test_sqlite_is_durable_and_has_foreign_keys(sqlite_store: Path) -> None:
    database = Database(sqlite_url(sqlite_store))
    async with database.transaction() as session:
        pragmas = {
            name: await session.scalar(text(f"PRAGMA {name}"))
            for name in ("journal_mode", "synchronous", "foreign_keys", "mmap_size")
        }
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "mmap_size": 0}
    await database.close()


async def test_a_lock_held_elsewhere_is_a_clear_refusal(sqlite_store: Path) -> None:
    database = Database(sqlite_url(sqlite_store), busy_timeout_s=0.05)
    other = sqlite3.connect(sqlite_store, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreUnavailable, match="holds the store's write lock"):
        await add_pipeline(database)
    other.execute("ROLLBACK")
    other.close()
    await add_pipeline(database)
    await database.close()


async def test_migrating_twice_and_at_once(store_url: str) -> None:
    databases = [Database(store_url) for _ in range(2)]
    assert await asyncio.gather(*(upgrade(database) for database in databases)) == [HEAD, HEAD]
    for database in databases:
        await database.close()


async def test_daemons_that_start_at_once_on_an_empty_postgresql(empty_postgres: str) -> None:
    databases = [Database(empty_postgres) for _ in range(3)]
    assert await asyncio.gather(*(upgrade(database) for database in databases)) == [HEAD] * 3
    for database in databases:
        await database.close()


async def test_a_newer_store_is_refused_and_left_alone(database: Database) -> None:
    async with database.transaction() as session:
        await session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StoreNewerThanCode, match="9999"):
        await upgrade(database)


def test_the_head_is_the_scripts_head() -> None:
    assert max(known_revisions()) == HEAD


async def test_models_and_migrations_agree(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from tau.models import Base

    async with database.engine.connect() as connection:
        differences = await connection.run_sync(
            lambda sync: compare_metadata(MigrationContext.configure(sync), Base.metadata)
        )
    assert differences == []


@pytest.mark.parametrize("url", ["mysql://a@b/c", "nonsense", "sqlite", "://"])
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(ConfigurationError):
        normalise_url(url)


def test_urls_get_the_async_driver() -> None:
    assert normalise_url("postgres://u:p%40@h:5/d") == "postgresql+asyncpg://u:p%40@h:5/d"
    assert normalise_url("sqlite:////x/y.db") == "sqlite+aiosqlite:////x/y.db"


def test_postgresql_without_its_driver_names_the_extra() -> None:
    code = (
        "import sys; sys.modules['asyncpg'] = None\n"
        "from tau.core.database import Database\n"
        "from tau.errors import ExtraMissing\n"
        "try: Database('postgresql://h/d')\n"
        "except ExtraMissing as error: print(error.exit_code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("5 pip install 'tau-pipelines[postgresql]'")
