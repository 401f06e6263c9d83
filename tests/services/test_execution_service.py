"""The life of a run on both databases: claims, fences, outcomes, retries, state."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest
from tests.fixtures.factories import ACTOR, START, add_pipeline, line, record
from tests.fixtures.secrets import empty_vault

from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import NEW_WORK, Signals
from tau.models import Attempt, Run
from tau.repositories.attempt_repo import AttemptRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.run import RunCreate
from tau.services.execution_service import (
    MAX_LAUNCH_FAILURES,
    Ended,
    ExecutionService,
    Started,
    Told,
)
from tau.services.outcome import Claim
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.testing import FakeClock

Queue = Callable[..., Awaitable[str]]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def signals() -> Signals:
    return Signals()


@pytest.fixture
def execution(database: Database, clock: FakeClock, signals: Signals) -> ExecutionService:
    return ExecutionService(database, clock, owner="node-a", signals=signals, random=lambda: 0.0)


@pytest.fixture
def queue(database: Database, clock: FakeClock, signals: Signals) -> Queue:
    service = RunService(
        database,
        clock,
        UlidFactory(),
        signals=signals,
        planner=Planner(default_timeout=60.0, vault=empty_vault(database)),
        queue_limit=1000,
    )

    async def queue_run(name: str = "orders", **params: object) -> str:
        return (await service.create(name, RunCreate(params=params), ACTOR)).id

    return queue_run


async def load(database: Database, run_id: str) -> Run:
    async with database.read() as session:
        run = await RunRepository(session).find(run_id)
    assert run is not None
    return run


async def write_status(database: Database, run_id: str, status: str) -> None:
    """What no code of ours does."""
    async with database.transaction() as session:
        run = await RunRepository(session).find(run_id)
        assert run is not None
        run.status = status


async def attempts(database: Database, run_id: str) -> list[Attempt]:
    async with database.read() as session:
        return await AttemptRepository(session).list_by_run(run_id)


async def claim_one(execution: ExecutionService) -> Claim:
    [claim] = await execution.claim(limit=10)
    return claim


async def test_a_claim_carries_all_that_the_attempt_needs(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database, source="the code")
    run_id = await queue(region="eu")
    claim = await claim_one(execution)
    assert (claim.run_id, claim.attempt, claim.fence) == (run_id, 1, 1)
    assert (claim.reference, claim.params) == ("orders#1", {"region": "eu"})
    assert claim.facts["last_successful_run"] is None
    assert await execution.source(claim.sha256) == "the code"
    assert (await load(database, run_id)).status == "starting"
    assert [a.status for a in await attempts(database, run_id)] == ["starting"]
    assert await execution.claim(limit=10) == []


async def test_claims_are_in_order_and_none_is_given_twice(
    database: Database, clock: FakeClock, queue: Queue
) -> None:
    await add_pipeline(database)
    queued = [await queue() for _ in range(30)]
    nodes = [
        ExecutionService(database, clock, owner=f"node-{n}", signals=Signals()) for n in range(4)
    ]
    claimed: list[str] = []
    while len(claimed) < len(queued):
        batches = await asyncio.gather(*(node.claim(limit=3) for node in nodes))
        claimed += [claim.run_id for batch in batches for claim in batch]
    assert sorted(claimed) == sorted(queued)
    assert [len(await attempts(database, run_id)) for run_id in queued] == [1] * 30


async def test_claims_are_in_the_order_of_the_requests(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database)
    queued = [await queue() for _ in range(5)]
    claims = await execution.claim(limit=2) + await execution.claim(limit=10)
    assert [claim.run_id for claim in claims] == queued


async def test_a_run_from_claim_to_success(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    claim = await claim_one(execution)
    clock.advance(1)
    await execution.record([Started(claim=claim, pid=7, at=clock.now())])
    assert (await load(database, run_id)).status == "running"
    await execution.record([Told(claim=claim, lines=[line(1), line(2)], offset=80)])
    clock.advance(2)
    await execution.record([Ended(claim=claim, record=record(claim, result={"rows": 3}))])
    run = await load(database, run_id)
    assert (run.status, run.result, run.failure) == ("success", {"rows": 3}, None)
    assert run.started_at == START + timedelta(seconds=1)
    assert run.finished_at == START + timedelta(seconds=3)
    [attempt] = await attempts(database, run_id)
    assert (attempt.status, attempt.pid, attempt.spool_offset) == ("success", 7, 80)


async def test_events_told_twice_are_kept_once(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    claim = await claim_one(execution)
    foreign = [b"not json", b'{"k":"nonsense","seq":9,"ts":1}', b'{"k":"log","ts":1}']
    await execution.record([Told(claim=claim, lines=[line(1), line(2)], offset=10)])
    await execution.record([Told(claim=claim, lines=[line(2), line(3), *foreign], offset=20)])
    async with database.read() as session:
        events = await AttemptRepository(session).list_events(run_id, limit=10)
    assert [event.message for event in events] == ["line 1", "line 2", "line 3"]


async def test_text_that_a_database_can_not_hold_is_kept_readable(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    claim = await claim_one(execution)
    odd = line(1, message="a\0b\ud800c", fields={"x": "\0\ud800", "big": 10**30})
    await execution.record([Told(claim=claim, lines=[odd], offset=1)])
    failure = {"type": "E\0", "message": "m\0\ud800", "frames": []}
    await execution.record([Ended(claim=claim, record=record(claim, "failed", failure=failure))])
    run = await load(database, run_id)
    assert run.status == "failed"
    assert run.status_reason == "E\ufffd: m\ufffd?"
    async with database.read() as session:
        [event] = await AttemptRepository(session).list_events(run_id, limit=10)
    assert event.message == "a\ufffdb?c"
    assert event.data is not None
    assert event.data["fields"] == {"x": "\0\ud800", "big": 10**30}


async def test_an_owner_with_an_old_fence_changes_nothing(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    old = await claim_one(execution)
    await execution.requeue(old, "no fork")
    assert (await load(database, run_id)).status == "queued"
    assert await attempts(database, run_id) == []
    execution._clock.advance(2)  # type: ignore[attr-defined]
    new = await claim_one(execution)
    assert (new.attempt, new.fence) == (1, 2)
    await execution.record([Ended(claim=old, record=record(old, "failed"))])
    assert (await load(database, run_id)).status == "starting"
    await execution.record([Ended(claim=new, record=record(new))])
    assert (await load(database, run_id)).status == "success"


@pytest.mark.parametrize("status", ["success", "failed", "timeout", "cancelled", "crashed"])
async def test_a_final_status_never_changes(
    database: Database, execution: ExecutionService, queue: Queue, status: str
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    claim = await claim_one(execution)
    await execution.record([Ended(claim=claim, record=record(claim, status))])
    await execution.record([Ended(claim=claim, record=record(claim, "success", result=1))])
    await execution.record([Started(claim=claim, pid=1, at=START)])
    run = await load(database, run_id)
    assert (run.status, run.result) == (status, None)
    with pytest.raises(Exception, match="a final status never changes"):
        await write_status(database, run_id, "queued")


async def test_launches_that_are_refused_do_not_go_on_for_ever(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    for _ in range(MAX_LAUNCH_FAILURES):
        clock.advance(2)
        await execution.requeue(await claim_one(execution), "no memory")
    run = await load(database, run_id)
    assert run.status == "crashed"
    assert run.status_reason is not None
    assert "no memory" in run.status_reason


async def test_what_was_lost_after_its_start_is_not_queued_again(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    await add_pipeline(database, retries=1)
    run_id = await queue()
    claim = await claim_one(execution)
    await execution.record([Started(claim=claim, pid=1, at=START)])
    await execution.requeue(claim, "nothing is left of it")
    assert (await load(database, run_id)).status == "retrying"
    [attempt] = await attempts(database, run_id)
    assert (attempt.status, attempt.reason) == ("crashed", "nothing is left of it")


async def test_an_attempt_that_was_given_up_moves_no_offset(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database)
    run_id = await queue()
    old = await claim_one(execution)
    await execution.requeue(old, "no fork")
    clock.advance(2)
    new = await claim_one(execution)
    await execution.record([Told(claim=old, lines=[line(1)], offset=50)])
    await execution.record(
        [Ended(claim=old, record=record(old)), Started(claim=new, pid=1, at=START)]
    )
    assert (await load(database, run_id)).status == "running"
    [attempt] = await attempts(database, run_id)
    assert (attempt.status, attempt.spool_offset, attempt.log_lines) == ("running", 0, 0)


async def test_retries_with_delay_and_backoff(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database, retries=2, retry_delay=10.0, retry_backoff=3.0)
    run_id = await queue()
    for attempt, delay in ((1, 10), (2, 30)):
        claim = await claim_one(execution)
        assert claim.attempt == attempt
        await execution.record([Ended(claim=claim, record=record(claim, "failed"))])
        run = await load(database, run_id)
        assert (run.status, run.available_at) == (
            "retrying",
            clock.now() + timedelta(seconds=delay),
        )
        assert await execution.claim(limit=1) == []
        clock.advance(delay)
    claim = await claim_one(execution)
    await execution.record([Ended(claim=claim, record=record(claim, "timeout", reason="slow"))])
    run = await load(database, run_id)
    assert (run.status, run.attempt, run.status_reason) == ("timeout", 3, "slow")
    assert [a.status for a in await attempts(database, run_id)] == ["failed", "failed", "timeout"]


@pytest.mark.parametrize(
    ("status", "failure"), [("cancelled", None), ("failed", {"retry": "never", "type": "X"})]
)
async def test_what_is_not_retried(
    database: Database,
    execution: ExecutionService,
    queue: Queue,
    status: str,
    failure: dict[str, str] | None,
) -> None:
    await add_pipeline(database, retries=3)
    run_id = await queue()
    claim = await claim_one(execution)
    await execution.record([Ended(claim=claim, record=record(claim, status, failure=failure))])
    assert (await load(database, run_id)).status == status


async def test_state_is_kept_by_the_newest_run_that_succeeds(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    pipeline_id = await add_pipeline(database)
    first_id = await queue()
    await queue()
    first, second = await execution.claim(limit=2)
    assert await execution.state(pipeline_id) == {"data": {}, "run_number": None}
    await execution.record([Ended(claim=second, record=record(second, state={"cursor": 2}))])
    await execution.record([Ended(claim=first, record=record(first, state={"cursor": 1}))])
    assert await execution.state(pipeline_id) == {"data": {"cursor": 2}, "run_number": 2}
    run = await load(database, first_id)
    assert run.status == "success"
    assert run.status_reason is not None
    assert "#2" in run.status_reason


async def test_state_of_runs_that_end_at_once_is_that_of_the_newest(
    database: Database, clock: FakeClock, queue: Queue
) -> None:
    nodes = [
        ExecutionService(database, clock, owner=f"node-{n}", signals=Signals()) for n in range(4)
    ]
    for name in ("p1", "p2", "p3", "p4", "p5"):
        pipeline_id = await add_pipeline(database, name)
        for _ in nodes:
            await queue(name)
        claims = [(await node.claim(limit=1))[0] for node in nodes]
        await asyncio.gather(
            *(
                node.record([Ended(claim=claim, record=record(claim, state={"n": claim.number}))])
                for node, claim in zip(nodes, claims, strict=True)
            )
        )
        assert await nodes[0].state(pipeline_id) == {"data": {"n": 4}, "run_number": 4}


async def test_a_failed_run_keeps_no_state(
    database: Database, execution: ExecutionService, queue: Queue
) -> None:
    pipeline_id = await add_pipeline(database)
    await queue()
    claim = await claim_one(execution)
    ended = Ended(claim=claim, record=record(claim, "failed", state={"cursor": 1}))
    await execution.record([ended])
    assert (await execution.state(pipeline_id))["data"] == {}


async def test_last_successful_run_is_the_start_of_the_last_success(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database)
    for status in ("success", "failed"):
        await queue()
        claim = await claim_one(execution)
        clock.advance(5)
        await execution.record([Started(claim=claim, pid=1, at=clock.now())])
        clock.advance(5)
        await execution.record([Ended(claim=claim, record=record(claim, status))])
    await queue()
    claim = await claim_one(execution)
    assert claim.facts["last_successful_run"] == (START + timedelta(seconds=5)).isoformat()


async def test_unfinished_attempts_are_found_by_their_own_node_alone(
    database: Database, execution: ExecutionService, queue: Queue, clock: FakeClock
) -> None:
    await add_pipeline(database)
    await queue()
    claim = await claim_one(execution)
    await execution.record([Told(claim=claim, lines=[line(1)], offset=33)])
    other = ExecutionService(database, clock, owner="node-b", signals=Signals())
    assert await other.unfinished() == []
    [(found, offset)] = await execution.unfinished()
    assert (found.run_id, found.fence, offset) == (claim.run_id, claim.fence, 33)


async def test_waiters_hear_of_a_commit_and_not_of_a_rollback(
    database: Database, execution: ExecutionService, queue: Queue, signals: Signals
) -> None:
    await add_pipeline(database)
    work = signals.listen(NEW_WORK)
    run_id = await queue()
    assert work.done()
    claim = await claim_one(execution)
    waiter = signals.listen(run_id)
    broken = Told(claim=claim, lines=[line(1)], offset=2**70)
    with pytest.raises(Exception, match=r"."):
        await execution.record([Started(claim=claim, pid=1, at=START), broken])
    assert not waiter.done()
    assert (await load(database, run_id)).status == "starting"
    await execution.record([Started(claim=claim, pid=1, at=START)])
    assert waiter.done()


async def test_a_daemon_that_is_alone_takes_over_what_another_home_had(
    database: Database, clock: FakeClock, signals: Signals, execution: ExecutionService,
    queue: Queue,
) -> None:  # fmt: skip
    """As after a restore: the home that had claimed them is gone, and nobody else settles them."""
    await add_pipeline(database, retries=0)
    ended, left = await queue(), await queue()
    first, second = await execution.claim(limit=2)
    await execution.record([Ended(claim=first, record=record(first))])
    other = ExecutionService(database, clock, owner="node-b", signals=signals)
    assert await other.unfinished() == []
    assert await other.take_over() == 1
    assert await other.take_over() == 0
    [(claim, _)] = await other.unfinished()
    assert (claim.run_id, claim.owner, claim.fence) == (left, "node-b", second.fence)
    await execution.record([Ended(claim=second, record=record(second))])
    assert (await load(database, left)).status == "starting"
    await other.record([Ended(claim=claim, record=record(claim, "crashed"))])
    assert (await load(database, left)).status == "crashed"
    assert (await load(database, ended)).owner == "node-a"
