"""Makes the dump of a store as it was at revision 0001, with runs in flight.

`uv run python tests/golden/make.py > tests/golden/0001.sql` - only ever for a revision that has no
dump yet: what an earlier version has written is not written anew.
"""

import hashlib
import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from tau.core.migrations import scripts_path

REVISION = "0001"
NODE = "01hgandennode0000000000000"
"""The home that had claimed what was starting and running."""

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

PIPELINE = "01hgandenp0000000000000000"
DAY = "2026-03-02 06:%02d:00.000000"


def insert(store: sqlite3.Connection, table: str, **values: Any) -> None:
    names, marks = ", ".join(f'"{name}"' for name in values), ", ".join("?" * len(values))
    store.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", list(values.values()))  # noqa: S608


def add_pipeline(store: sqlite3.Connection) -> None:
    sha256 = hashlib.sha256(SOURCE.encode()).hexdigest()
    at = DAY % 0
    insert(store, "sources", sha256=sha256, content=SOURCE, created_at=at)
    insert(
        store, "pipelines", id=PIPELINE, name="orders", stem="orders", tag_index="\ngolden\n",
        current_version=1, version_count=1, run_count=len(STATUSES), created_at=at, updated_at=at,
        tenant_id="default",
    )  # fmt: skip
    insert(
        store, "versions", pipeline_id=PIPELINE, number=1, source_sha256=sha256,
        file_name="orders.py", spec=json.dumps(SPEC), created_at=at, created_by="local",
        tenant_id="default",
    )  # fmt: skip
    insert(
        store, "pipeline_states", pipeline_id=PIPELINE, data='{"day":"2026-03-01"}', run_number=1,
        updated_at=at,
    )  # fmt: skip


def add_run(store: sqlite3.Connection, number: int, status: str, attempt: int, most: int) -> None:
    at, run_id = DAY % number, f"01hgandenr{number:016d}"
    owned, in_flight = status in ("starting", "running"), status in ("queued", "retrying")
    final = not owned and not in_flight
    insert(
        store, "runs", id=run_id, pipeline_id=PIPELINE, pipeline_name="orders", number=number,
        version=1, status=status, trigger="manual", params='{"day":2}', priority=0, created_at=at,
        available_at=at, started_at=at if attempt and status != "starting" else None,
        finished_at=at if final else None, owner=NODE if attempt else None, fence=attempt,
        attempt=attempt, max_attempts=most, launch_failures=0, requested_by="local",
        result='{"attempt":1}' if status == "success" else None, tenant_id="default",
    )  # fmt: skip
    for one in range(1, attempt + 1):
        ended = final or one < attempt or status == "retrying"
        insert(
            store, "attempts", run_id=run_id, number=one, fence=one, owner=NODE,
            status=status if final else "failed" if ended else status, claimed_at=at,
            started_at=at, finished_at=at if ended else None, spool_offset=100, log_lines=1,
            log_warnings=0, log_errors=0,
        )  # fmt: skip
        insert(
            store, "events", run_id=run_id, attempt=one, seq=2, at=at, kind="log", level=20,
            message="orders of the day", data='{"source":"ctx"}',
        )  # fmt: skip


def make(folder: Path) -> str:
    """The store as SQL."""
    file = folder / "tau.db"
    engine = create_engine(f"sqlite:///{file}")
    config = Config()
    config.set_main_option("script_location", str(scripts_path()))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, REVISION)
    engine.dispose()
    store = sqlite3.connect(file)
    add_pipeline(store)
    for number, (status, attempt, most) in enumerate(STATUSES, start=1):
        add_run(store, number, status, attempt, most)
    store.commit()
    text = "\n".join(store.iterdump()) + "\n"
    store.close()
    return text


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        sys.stdout.write(make(Path(folder)))
