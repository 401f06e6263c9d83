"""Daemons that share a store: who is lost, what becomes of its runs, who may still write."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text
from tests.fixtures.factories import ACTOR, START, add_pipeline, record
from tests.fixtures.secrets import empty_vault

from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import Signals
from tau.models import Run
from tau.repositories.run_repo import RunRepository
from tau.schemas.run import RunCreate
from tau.services.execution_service import Ended, ExecutionService, Started
from tau.services.lease_service import LEASE, REAP_GRACE, LeaseService
from tau.services.outcome import Claim
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.testing import FakeClock

OVER = LEASE + REAP_GRACE + timedelta(seconds=1)


class Node:
    """A daemon as the store sees it."""

    def __init__(self, database: Database, clock: FakeClock, name: str) -> None:
        self.database, self.clock, self.name = database, clock, name
        worker: dict[str, Any] = {
            "id": name,
            "host": f"host-of-{name}",
            "pid": 1,
            "version": "test",
            "slots": 4,
            "started_at": START,
        }
        signals = Signals()
        self.leases = LeaseService(
            database, clock, worker=worker, signals=signals, random=lambda: 0.0
        )
        self.execution = ExecutionService(database, clock, owner=name, signals=signals)

    async def claim(self) -> Claim:
        [claim] = await self.execution.claim(limit=1)
        return claim

    async def lose_lease(self, by: timedelta) -> None:
        """As if the lease had been renewed for the last time that long before."""
        async with self.database.transaction() as session:
            now = text("SELECT lease_until FROM workers WHERE id = :id")
            assert await session.scalar(now, {"id": self.name}) is not None
            if self.database.is_sqlite:
                self.clock.advance(by.total_seconds())
                return
            move = "UPDATE workers SET lease_until = lease_until - CAST(:by AS interval)"
            await session.execute(text(f"{move} WHERE id = :id"), {"by": by, "id": self.name})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def nodes(database: Database, clock: FakeClock) -> tuple[Node, Node]:
    return Node(database, clock, "node-a"), Node(database, clock, "node-b")


async def queue(database: Database, clock: FakeClock, **options: Any) -> str:
    await add_pipeline(database, **options)
    planner = Planner(default_timeout=60.0, vault=empty_vault(database))
    service = RunService(
        database, clock, UlidFactory(), signals=Signals(), planner=planner, queue_limit=10
    )
    return (await service.create("orders", RunCreate(), ACTOR)).id


async def load(database: Database, run_id: str) -> Run:
    async with database.read() as session:
        run = await RunRepository(session).find(run_id)
    assert run is not None
    return run


async def test_a_live_daemon_keeps_its_runs(
    database: Database, clock: FakeClock, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    run_id = await queue(database, clock)
    await first.leases.renew()
    await first.claim()
    await first.lose_lease(LEASE)
    assert await second.leases.reap() == 0
    await first.leases.renew()
    await first.lose_lease(LEASE)
    assert await second.leases.reap() == 0
    assert (await load(database, run_id)).status == "starting"


async def test_a_lost_daemons_run_is_retried_by_another_and_the_first_is_fenced_off(
    database: Database, clock: FakeClock, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    run_id = await queue(database, clock, retries=1, retry_delay=1.0)
    await first.leases.renew()
    old = await first.claim()
    await first.execution.record([Started(claim=old, pid=1, at=clock.now())])
    assert await first.leases.taken([old]) == set()
    await first.lose_lease(OVER)
    await second.leases.renew()
    assert await second.leases.reap() == 1
    assert await second.leases.reap() == 0
    run = await load(database, run_id)
    assert (run.status, run.attempt) == ("retrying", 1)
    assert "host-of-node-a" in str(run.status_reason)
    assert await first.leases.taken([old]) == {run_id}
    await first.execution.record([Ended(claim=old, record=record(old, result="late"))])
    assert (await load(database, run_id)).status == "retrying"
    clock.advance(5)
    new = await second.claim()
    assert (new.attempt, new.fence > old.fence + 1) == (2, True)
    await first.execution.record([Ended(claim=old, record=record(old, result="late"))])
    await second.execution.record([Ended(claim=new, record=record(new, result="right"))])
    run = await load(database, run_id)
    assert (run.status, run.result) == ("success", "right")


async def test_without_a_retry_left_the_run_is_crashed(
    database: Database, clock: FakeClock, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    run_id = await queue(database, clock)
    await first.leases.renew()
    await first.claim()
    await first.lose_lease(OVER)
    assert await second.leases.reap() == 1
    run = await load(database, run_id)
    assert (run.status, run.finished_at is not None) == ("crashed", True)


async def test_a_released_lease_need_not_be_waited_for(
    database: Database, clock: FakeClock, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    await queue(database, clock)
    await first.leases.renew()
    await first.claim()
    await first.leases.release()
    assert await second.leases.reap() == 0
    await first.lose_lease(REAP_GRACE + timedelta(seconds=1))
    assert await second.leases.reap() == 1


async def test_an_owner_that_never_had_a_lease_is_lost(
    database: Database, clock: FakeClock, nodes: tuple[Node, Node]
) -> None:
    first, second = nodes
    await queue(database, clock)
    await first.claim()
    assert await second.leases.reap() == 1
