"""Makes the dump of a store as it was at a revision, with runs in flight.

`uv run python tests/golden/make.py 0003 > tests/golden/0003.sql` - only ever for a revision that
has no dump yet: what an earlier version has written is not written anew. With the URL of an empty
PostgreSQL database as a second word it fills that one; `pg_dump --inserts --no-owner` does the
rest, without the lines that set the session up.
"""

import asyncio
import hashlib
import json
import sys
import tempfile
from datetime import UTC, datetime
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, MetaData, create_engine

from tau.core.database import Database
from tau.core.migrations import scripts_path

NODE = "01hgandennode0000000000000"
"""The home that had claimed what was starting and running."""
LOST = "01hgandenlost0000000000000"
"""Another daemon on a shared store, whose lease ended long ago."""

SOURCE = """from tau import pipeline


@pipeline(retries=2, retry_delay=0)
async def orders(ctx):
    ctx.log("orders of the day")
    return {"attempt": ctx.attempt, "seen": dict(ctx.state)}
"""
SPEC = {
    "name": "orders", "function": "orders", "line": 5, "description": None, "schedule": None,
    "every": None, "timezone": "UTC", "tags": ["golden"], "depends_on": [], "retries": 2,
    "retry_delay": 0.0, "retry_backoff": 2.0, "timeout": None, "max_concurrent": None,
    "on_overlap": "queue", "params": {"defaults": {}, "model": None, "schema": None},
    "is_async": True,
}  # fmt: skip
STATUSES = [
    ("success", 1, 3), ("failed", 3, 3), ("timeout", 1, 1), ("cancelled", 1, 3),
    ("skipped", 0, 3), ("crashed", 1, 1), ("queued", 0, 3), ("retrying", 1, 3),
    ("starting", 1, 3), ("running", 1, 3), ("running", 1, 1),
]  # fmt: skip
"""Of each run its status, its attempt and how many it may have, in the order of their numbers."""

PIPELINE, TIMED = "01hgandenp0000000000000000", "01hgandenp0000000000000001"
SCHEDULE = "01hgandens0000000000000000"


def day(minute: int, *, hour: int = 6) -> datetime:
    return datetime(2026, 3, 2, hour, minute, tzinfo=UTC)


class Store:
    """The tables as they are at a revision."""

    def __init__(self, connection: Connection) -> None:
        self._connection, self.tables = connection, MetaData()
        self.tables.reflect(connection)

    def has(self, table: str) -> bool:
        return table in self.tables.tables

    def insert(self, table: str, **values: Any) -> None:
        known = self.tables.tables[table]
        self._connection.execute(known.insert().values({known.c[k]: v for k, v in values.items()}))


def add_pipeline(store: Store, pipeline_id: str, name: str, *, runs: int, **spec: Any) -> None:
    sha256 = hashlib.sha256(SOURCE.encode()).hexdigest()
    at = day(0)
    if name == "orders":
        store.insert("sources", sha256=sha256, content=SOURCE, created_at=at)
    store.insert(
        "pipelines", id=pipeline_id, name=name, stem=name, tag_index="\ngolden\n",
        current_version=1, version_count=1, run_count=runs, created_at=at, updated_at=at,
        tenant_id="default",
    )  # fmt: skip
    store.insert(
        "versions", pipeline_id=pipeline_id, number=1, source_sha256=sha256,
        file_name="orders.py", spec=json.dumps(SPEC | {"name": name} | spec), created_at=at,
        created_by="local", tenant_id="default",
    )  # fmt: skip
    if name == "orders":
        store.insert(
            "pipeline_states", pipeline_id=pipeline_id, data='{"day":"2026-03-01"}', run_number=1,
            updated_at=at,
        )  # fmt: skip


def add_run(
    store: Store, number: int, status: str, attempt: int, most: int, *,
    pipeline: str = "orders", owner: str = NODE, **values: Any,
) -> None:  # fmt: skip
    at, pipeline_id = day(number), PIPELINE if pipeline == "orders" else TIMED
    run_id = f"01hgande{'nr' if pipeline == 'orders' else 'nt'}{number:016d}"
    owned, in_flight = status in ("starting", "running"), status in ("queued", "retrying")
    final = not owned and not in_flight
    defaults = {"trigger": "manual", "params": '{"day":2}', "requested_by": "local"}
    store.insert(
        "runs", id=run_id, pipeline_id=pipeline_id, pipeline_name=pipeline, number=number,
        version=1, status=status, priority=0, created_at=at,
        available_at=at, started_at=at if attempt and status != "starting" else None,
        finished_at=at if final else None, owner=owner if attempt else None, fence=attempt,
        attempt=attempt, max_attempts=most, launch_failures=0,
        result='{"attempt":1}' if status == "success" else None, tenant_id="default",
        **(defaults | values),
    )  # fmt: skip
    for one in range(1, attempt + 1):
        ended = final or one < attempt or status == "retrying"
        store.insert(
            "attempts", run_id=run_id, number=one, fence=one, owner=owner,
            status=status if final else "failed" if ended else status, claimed_at=at,
            started_at=at, finished_at=at if ended else None, spool_offset=100, log_lines=1,
            log_warnings=0, log_errors=0,
        )  # fmt: skip
        store.insert(
            "events", run_id=run_id, attempt=one, seq=2, at=at, kind="log", level=20,
            message="orders of the day", data='{"source":"ctx"}',
        )  # fmt: skip


def add_schedule(store: Store) -> None:
    """Each hour, set by command, with a tick that had run and one that ran when all went down."""
    add_pipeline(store, TIMED, "ticks", runs=2, declared_name="orders", timezone="Europe/Berlin")
    at = day(0, hour=5)
    store.insert(
        "schedules", id=SCHEDULE, pipeline_id=TIMED, name="default", cron="0 * * * *",
        timezone="Europe/Berlin", enabled=True, set_by="command", catchup="latest",
        deadline=7200.0, next_fire_at=day(0), watermark=at, covered_until=at, generation=3,
        created_at=at, updated_at=at, tenant_id="default",
    )  # fmt: skip
    for number, status in ((1, "success"), (2, "running")):
        due = day(0, hour=3 + number)
        add_run(
            store, number, status, 1, 3, pipeline="ticks", trigger="schedule", params="{}",
            requested_by="scheduler", schedule_id=SCHEDULE, scheduled_for=due,
            interval_start=day(0, hour=2 + number), interval_end=due,
        )  # fmt: skip


def add_lease(store: Store) -> None:
    """A run of a daemon that is gone, and what is known of that."""
    store.insert(
        "workers", id=LOST, host="elsewhere", pid=1, version="0.1.0", slots=4, started_at=day(0),
        lease_until=day(30),
    )  # fmt: skip
    add_run(store, len(STATUSES) + 1, "running", 1, 2, owner=LOST)


def fill(connection: Connection, revision: str) -> None:
    """Bring an empty store to the revision, and some rows into it."""
    config = Config()
    config.set_main_option("script_location", str(scripts_path()))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
    store = Store(connection)
    shares = store.has("workers") and connection.dialect.name == "postgresql"
    add_pipeline(store, PIPELINE, "orders", runs=len(STATUSES) + shares)
    for number, (status, attempt, most) in enumerate(STATUSES, start=1):
        add_run(store, number, status, attempt, most)
    if store.has("schedules"):
        add_schedule(store)
    if shares:
        add_lease(store)


def dump(revision: str) -> str:
    """A SQLite store as SQL."""
    with tempfile.TemporaryDirectory() as folder:
        engine = create_engine(f"sqlite:///{folder}/tau.db")
        with engine.begin() as connection:
            fill(connection, revision)
        with engine.connect() as connection:
            driver: Any = connection.connection.dbapi_connection
            text = "\n".join(driver.iterdump()) + "\n"
        engine.dispose()
    return text


async def fill_server(revision: str, url: str) -> None:
    database = Database(url)
    async with database.engine.begin() as connection:
        await connection.run_sync(fill, revision)
    await database.close()


if __name__ == "__main__":
    if len(sys.argv) == 2:
        sys.stdout.write(dump(sys.argv[1]))
    else:
        asyncio.run(fill_server(*sys.argv[1:]))
