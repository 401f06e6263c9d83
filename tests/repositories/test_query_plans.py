"""How SQLite finds the rows of a long history: by the index that was made for it, or this fails.

The statements are those that the services really send. A plan that searches by the tenant alone
looks at the whole history, so each call names the indexes that it may use, and no other counts.
"""

import re
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from tests.fixtures.environments import environment_service
from tests.fixtures.factories import ACTOR, START, add_pipeline, spec
from tests.fixtures.secrets import empty_vault

from tau.core.config import RetentionSettings
from tau.core.database import Database, sqlite_url
from tau.core.ids import UlidFactory
from tau.core.signals import Signals
from tau.errors import RunNotFound
from tau.pipeline.types import RunStatus
from tau.repositories.base import encode_cursor
from tau.repositories.notice_repo import _LAST_GOOD, NoticeRepository
from tau.schemas.base import Change
from tau.schemas.run import RunCreate
from tau.services.execution_service import ExecutionService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.lookup import get_run
from tau.services.pipeline_service import PipelineService
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.status_service import DaemonFacts, StatusService
from tau.services.tick_service import TickService
from tau.services.trace_service import TraceService
from tau.testing import FakeClock

BIG = ("runs", "attempts", "events", "schedules")
STEP = re.compile(r"^(SCAN|SEARCH) (\w+)(?: USING (?:COVERING )?(?:INDEX (\w+)|(PRIMARY KEY)))?")


class Store:
    """A SQLite store whose statements are heard."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.database = Database(sqlite_url(path))
        self.heard: list[tuple[str, Any]] = []
        for engine in {self.database._writer, self.database._reader, self.database._glancer}:
            event.listen(engine.sync_engine, "before_cursor_execute", self._hear)
        self.clock, self.signals, ids = FakeClock(START), Signals(), UlidFactory()
        shared = (self.database, self.clock)
        self.traces = TraceService(*shared)
        self.pipelines = PipelineService(*shared, environments=environment_service(*shared))
        self.execution = ExecutionService(*shared, owner="node", signals=self.signals)
        self.ticks = TickService(*shared, ids, signals=self.signals)
        self.schedules = ScheduleService(*shared, ids, signals=self.signals)
        self.runs = RunService(
            *shared,
            ids,
            signals=self.signals,
            planner=Planner(default_timeout=60, vault=empty_vault(self.database)),
            queue_limit=100,
        )
        facts = DaemonFacts(pid=1, started_at=START, home="", url="", revision="", slots=1)
        self.status = StatusService(*shared, facts=facts, busy=lambda: 0)

    def _hear(self, _c: Any, _u: Any, statement: str, values: Any, _x: Any, many: bool) -> None:
        self.heard.append((statement, values[0] if many else values))

    def plans(self) -> dict[str, list[str]]:
        """What was heard, with the steps of its plan."""
        with closing(sqlite3.connect(self.path)) as connection:
            return {
                statement: [
                    row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)
                ]
                for statement, values in self.heard
                if statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH"))
            }

    async def fill(self) -> None:
        """Two pipelines, one with a schedule and a limit, and runs of all kinds."""
        declared = {"schedule": "* * * * *", "max_concurrent": 2, "on_overlap": "skip"}
        for name, values in (("orders", {}), ("ticks", declared)):
            pipeline_id = await add_pipeline(self.database, name, **values)
            async with self.database.transaction() as session:
                made, _ = await self.schedules.deployed(
                    session, pipeline_id, name, spec(name, **values)
                )
                if made is not None:
                    await self.schedules.keep(session, made)
        for _ in range(3):
            await self.runs.create("orders", RunCreate(params={}), ACTOR)
        self.clock.advance(timedelta(minutes=3))


async def newest(store: Store) -> None:
    page = await store.traces.list(limit=1)
    assert page.next_cursor
    await store.traces.list(limit=1, cursor=page.next_cursor)


async def newest_of_pipeline(store: Store) -> None:
    page = await store.traces.list(limit=1, pipeline="orders")
    assert page.next_cursor
    await store.traces.list(limit=1, pipeline="orders", cursor=page.next_cursor)


async def unfinished(store: Store, pipeline: str | None = None) -> None:
    for status in (RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.WAITING):
        await store.traces.list(limit=1, pipeline=pipeline, statuses=[status])
    page = await store.traces.list(limit=1, pipeline=pipeline, statuses=[RunStatus.QUEUED])
    assert page.next_cursor
    await store.traces.list(
        limit=1, pipeline=pipeline, statuses=[RunStatus.QUEUED], cursor=page.next_cursor
    )


async def unfinished_of_pipeline(store: Store) -> None:
    await unfinished(store, "orders")


async def ended(store: Store, pipeline: str | None = None) -> None:
    for status in (RunStatus.SUCCESS, RunStatus.CANCELLED, RunStatus.CRASHED):
        await store.traces.list(limit=1, pipeline=pipeline, statuses=[status])
    for cursor in (None, encode_cursor("0" * 26 if pipeline is None else 1)):
        await store.traces.list(
            limit=1,
            pipeline=pipeline,
            statuses=[RunStatus.FAILED, RunStatus.SUCCESS],
            cursor=cursor,
        )


async def ended_of_pipeline(store: Store) -> None:
    await ended(store, "orders")


async def errors(store: Store) -> None:
    for since in (None, "24h"):
        await store.traces.errors(limit=20, since=since)


async def errors_of_pipeline(store: Store) -> None:
    for since in (None, "24h"):
        await store.traces.errors(limit=20, since=since, pipeline="orders")


async def last_runs(store: Store) -> None:
    await store.pipelines.get("orders")
    for name in ("orders@last", "orders#1"):
        async with store.database.read() as session:
            await get_run(session, name)


async def last_of_a_status(store: Store) -> None:
    for name in ("orders@last-failed", "orders@last-success"):
        async with store.database.read() as session:
            with pytest.raises(RunNotFound):
                await get_run(session, name)


async def ticks(store: Store) -> None:
    assert await store.ticks.materialise_due() == 1
    await store.ticks.next_due()


async def claims(store: Store) -> None:
    await ticks(store)
    store.heard.clear()
    await store.execution.look()
    assert await store.execution.claim(limit=4)
    await store.execution.unfinished()
    await store.execution.to_kill()


async def requests(store: Store) -> None:
    await store.runs.create("ticks", RunCreate(params={}), ACTOR)


async def removal(store: Store) -> None:
    for name in ("orders#1", "orders#2"):
        await store.runs.cancel(name, Change(), ACTOR)
    store.clock.advance(timedelta(days=3650))
    store.heard.clear()
    for retention in (
        RetentionSettings(days=36_500, runs_per_pipeline=2),
        RetentionSettings(days=1),
    ):
        shared = (store.database, store.clock)
        housekeeping = HousekeepingService(
            *shared, retention=retention, environments=environment_service(*shared)
        )
        assert await housekeeping.remove_old_runs() == 1


async def tidings(store: Store) -> None:
    """What is looked up at each end of a run that somebody is told of, and for late ones."""
    await ticks(store)
    store.heard.clear()
    now = store.clock.now()
    async with store.database.read() as session:
        notices = NoticeRepository(session)
        await notices.list_not_started(now=now)
        await notices.list_running(started_before=now)
        await notices.list_unfinished(["a", "b"])
        await notices.recent_durations("p-orders")
        await notices.find_failure_before("p-orders", "run")
        await session.execute(_LAST_GOOD, {"pipeline": "p-orders", "but": "run"})


async def status(store: Store) -> None:
    await store.status.read()


BY_ID, BY_NUMBER = "sqlite_autoindex_runs_1", "sqlite_autoindex_runs_2"
ALLOWED: dict[Callable[[Store], Awaitable[None]], set[str]] = {
    newest: {"ix_runs_list"},
    newest_of_pipeline: {BY_NUMBER},
    unfinished: {"ix_runs_unfinished"},
    unfinished_of_pipeline: {"ix_runs_unfinished"},
    ended: {"ix_runs_ended", BY_ID},
    ended_of_pipeline: {"ix_runs_ended_of_pipeline", BY_ID},
    errors: {"ix_runs_bad", BY_ID},
    errors_of_pipeline: {"ix_runs_bad_of_pipeline", BY_ID},
    last_runs: {BY_NUMBER, "ix_runs_success", "sqlite_autoindex_schedules_2"},
    last_of_a_status: {"ix_runs_ended_of_pipeline"},
    ticks: {"ix_schedules_due", "ix_runs_unfinished", "sqlite_autoindex_schedules_1"},
    claims: {"ix_runs_queue", "ix_runs_active", "ix_runs_success", BY_ID, "PRIMARY KEY"},
    requests: {"ix_runs_queue", "ix_runs_unfinished"},
    removal: {
        "ix_runs_ended_of_pipeline", "ix_runs_success", BY_ID, BY_NUMBER, "PRIMARY KEY",
    },
    tidings: {
        "ix_runs_unfinished", "ix_runs_bad_of_pipeline", "ix_runs_success", BY_ID,
        "sqlite_autoindex_schedules_1",
    },
    status: {"ix_runs_unfinished", "ix_runs_queue", "ix_schedules_due", BY_NUMBER},
}  # fmt: skip
"""What each call may look into, beside tables that stay small. `BY_NUMBER` and `ix_runs_list` are
in the order that is asked for: what is read ends with the page."""


@pytest.fixture
async def store(sqlite_store: Path) -> AsyncIterator[Store]:
    made = Store(sqlite_store)
    try:
        await made.fill()
        made.heard.clear()
        yield made
    finally:
        await made.database.close()


@pytest.mark.parametrize("call", ALLOWED, ids=lambda call: call.__name__)
async def test_each_call_finds_its_rows_by_the_index_made_for_it(
    store: Store, call: Callable[[Store], Awaitable[None]]
) -> None:
    await call(store)
    plans = store.plans()
    assert plans
    for statement, steps in plans.items():
        names = dict(re.findall(r"\b(runs|attempts|events|schedules) AS (\w+)", statement))
        big = {*BIG, *names.values()}
        for step in steps:
            match = STEP.match(step)
            if match and match.group(2) in big:
                index = match.group(3) or match.group(4)
                assert index in ALLOWED[call], f"{step}\n{statement}"


async def test_a_history_that_is_walked_along_is_not_filtered(store: Store) -> None:
    for call in (newest, newest_of_pipeline):
        await call(store)
    for statement, steps in store.plans().items():
        if any("ix_runs_list" in step or BY_NUMBER in step for step in steps):
            assert "status" not in statement.partition("WHERE")[2]
            assert not any("TEMP B-TREE" in step for step in steps)
