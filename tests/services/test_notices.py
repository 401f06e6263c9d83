"""What people are told: at the right moment, once, in the transaction of what it tells of."""

import asyncio
import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, text, update
from tests.fixtures.environments import environment_service
from tests.fixtures.factories import ACTOR, START, add_pipeline, record, spec
from tests.fixtures.secrets import empty_vault

from tau.core.config import NotifySettings, RetentionSettings
from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.notice_types import NoticeType
from tau.core.signals import OUTBOX, Signals
from tau.models import OutboxMessage, Schedule, Webhook
from tau.pipeline.types import RunStatus
from tau.repositories.webhook_repo import WebhookRepository
from tau.schemas.base import Change
from tau.schemas.run import RunCreate
from tau.schemas.schedule import ScheduleChange
from tau.services import housekeeping_service
from tau.services.execution_service import Ended, ExecutionService, Started
from tau.services.housekeeping_service import HousekeepingService
from tau.services.late_service import LateService, usual_time
from tau.services.lease_service import LEASE, REAP_GRACE, LeaseService
from tau.services.notice_service import Ending, NoticeService
from tau.services.outcome import Claim
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.tick_service import TickService
from tau.testing import FakeClock

MINUTE = timedelta(minutes=1)
FAILURE = {
    "type": "ValueError", "message": "no rows", "step": "extract",
    "frames": [{"file": "a.py", "line": 1, "function": "main"},
               {"file": "orders.py", "line": 12, "function": "read", "locals": {"x": "int"}}],
}  # fmt: skip


async def add_webhook(
    database: Database, name: str = "hook", events: Sequence[str] = tuple(NoticeType)
) -> str:
    async with database.transaction() as session:
        await WebhookRepository(session).add(
            Webhook(
                id=name,
                url=f"https://{name}.example/",
                secret=b"",
                key_id="",
                events=list(events),
                created_at=START,
                created_by="tester",
                failures=0,
            )
        )
    return name


class Scene:
    """A daemon's services on one store, with a clock that is moved."""

    def __init__(self, database: Database, clock: FakeClock, *, owner: str = "node-a") -> None:
        self.database, self.clock, self.signals = database, clock, Signals()
        ids, given = UlidFactory(), {"signals": self.signals}
        self.notices = NoticeService(clock, ids, **given)
        told = given | {"notices": self.notices}
        self.execution = ExecutionService(database, clock, owner=owner, random=lambda: 0.0, **told)
        worker = {"id": owner, "host": "h", "pid": 1, "version": "t", "slots": 4,
                  "started_at": START}  # fmt: skip
        self.leases = LeaseService(database, clock, worker=worker, **told)
        self.ticks = TickService(database, clock, ids, **told)
        self.schedules = ScheduleService(database, clock, ids, **told)
        self.late = LateService(database, clock, notices=self.notices, settings=NotifySettings())
        planner = Planner(default_timeout=60.0, vault=empty_vault(database))
        self.runs = RunService(database, clock, ids, planner=planner, queue_limit=1000, **given)

    async def claim(self, name: str = "orders") -> Claim:
        await self.runs.create(name, RunCreate(), ACTOR)
        [claim] = await self.execution.claim(limit=1)
        return claim

    async def run(self, status: str = "success", *, took: float = 1.0, **values: Any) -> str:
        """A run of `orders` that ends so; its reference."""
        claim = await self.claim()
        await self.execution.record([Started(claim=claim, pid=1, at=self.clock.now())])
        self.clock.advance(took)
        await self.end(claim, status, **values)
        return claim.reference

    async def end(self, claim: Claim, status: str, **values: Any) -> None:
        await self.execution.record([Ended(claim=claim, record=record(claim, status, **values))])

    async def schedule(self, **values: Any) -> None:
        """`orders` with a schedule of its file, each hour by default."""
        declared = {"schedule": "0 * * * *"} | values
        pipeline_id = await add_pipeline(self.database, "orders", **declared)
        async with self.database.transaction() as session:
            made, _ = await self.schedules.deployed(
                session, pipeline_id, "orders", spec("orders", **declared)
            )
            assert made is not None
            await self.schedules.keep(session, made)

    async def messages(self) -> list[OutboxMessage]:
        async with self.database.read() as session:
            query = select(OutboxMessage).order_by(OutboxMessage.id)
            return list(await session.scalars(query))

    async def told(self) -> list[tuple[str, str]]:
        """Type and run, or pipeline, of what was written down, in order."""
        found = []
        for message in await self.messages():
            document = json.loads(message.body)
            assert document["type"] == message.type
            data = document["data"]
            found.append((message.type, data.get("run") or data["pipeline"]))
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(START)


@pytest.fixture
def scene(database: Database, clock: FakeClock) -> Scene:
    return Scene(database, clock)


@pytest.mark.parametrize("status", ["failed", "timeout", "crashed"])
async def test_a_run_that_ended_badly(scene: Scene, status: str) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    waiter = scene.signals.listen(OUTBOX)
    run = await scene.run(status, reason="out of luck", failure=FAILURE, result={"rows": 7})
    assert waiter.done()
    assert await scene.told() == [("run.failed", run)]
    [message] = await scene.messages()
    assert message.event_id.startswith("evt_")
    document = json.loads(message.body)
    assert set(document) == {"type", "timestamp", "data"}
    data = document["data"]
    assert len(data.pop("id")) == 26
    assert len(data.pop("fingerprint")) == 16
    assert data == {
        "run": "orders#1", "pipeline": "orders", "status": status, "trigger": "manual",
        "attempts": 1, "reason": "out of luck",
        "failure": {"type": "ValueError", "message": "no rows", "step": "extract",
                    "file": "orders.py", "line": 12, "function": "read"},
        "next": ["tau inspect orders#1", "tau retry orders#1"],
    }  # fmt: skip


async def test_only_the_last_attempt_counts(scene: Scene) -> None:
    await add_pipeline(scene.database, retries=2, retry_delay=1.0, retry_backoff=1.0)
    await add_webhook(scene.database)
    claim = await scene.claim()
    for attempt in (1, 2, 3):
        assert await scene.told() == []
        assert claim.attempt == attempt
        await scene.end(claim, "failed", failure=FAILURE)
        scene.clock.advance(2)
        claims = await scene.execution.claim(limit=1)
        assert len(claims) == (1 if attempt < 3 else 0)
        claim = claims[0] if claims else claim
    assert await scene.told() == [("run.failed", "orders#1")]
    assert json.loads((await scene.messages())[0].body)["data"]["attempts"] == 3


async def test_what_was_cancelled_or_went_well_is_no_news(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    await scene.run("success")
    claim = await scene.claim()
    await scene.runs.cancel(claim.reference, Change(), ACTOR)
    await scene.end(claim, "failed")
    await scene.run("success")
    assert await scene.told() == []


async def test_the_first_success_after_a_bad_end(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_pipeline(scene.database, "others", source="other")
    await add_webhook(scene.database)
    for status in ("success", "failed", "timeout", "success", "success", "failed"):
        await scene.run(status)
    claim = await scene.claim("others")
    await scene.end(claim, "success")
    await scene.run("success")
    assert await scene.told() == [
        ("run.failed", "orders#2"), ("run.failed", "orders#3"), ("run.recovered", "orders#4"),
        ("run.failed", "orders#6"), ("run.recovered", "orders#7"),
    ]  # fmt: skip
    [recovered] = [m for m in await scene.messages() if "orders#4" in m.body]
    data = json.loads(recovered.body)["data"]
    assert (data["failed_run"], data["status"]) == ("orders#3", "success")


async def test_runs_that_end_together_are_taken_in_their_order(scene: Scene) -> None:
    """One transaction of the recorder holds the ends of many attempts."""
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    claims = [await scene.claim() for _ in range(5)]
    statuses = ["success", "failed", "success", "success", "failed"]
    ends = []
    for claim, status in zip(claims, statuses, strict=True):
        ends.append(Ended(claim=claim, record=record(claim, status)))
    moving = scene.clock.now
    scene.clock.now = lambda: scene.clock.advance(0.001)  # type: ignore[method-assign]
    await scene.execution.record(ends)
    scene.clock.now = moving  # type: ignore[method-assign]
    assert await scene.told() == [
        ("run.failed", "orders#2"), ("run.recovered", "orders#3"), ("run.failed", "orders#5"),
    ]  # fmt: skip


async def test_two_successes_at_once_are_one_recovery(database: Database, clock: FakeClock) -> None:
    """Each in a daemon of its own, neither sees the other's."""
    one, two = Scene(database, clock), Scene(database, clock, owner="node-b")
    await add_pipeline(database)
    await add_webhook(database)
    await one.run("failed")
    claims = [(scene, await scene.claim()) for scene in (one, two)]
    clock.advance(5)
    await asyncio.gather(*(scene.end(claim, "success") for scene, claim in claims))
    assert [kind for kind, _ in await one.told()] == ["run.failed", "run.recovered"]


async def test_who_is_told_of_what(database: Database, clock: FakeClock) -> None:
    scene = Scene(database, clock)
    scene.notices = NoticeService(
        clock,
        UlidFactory(),
        signals=scene.signals,
        services=["slack", "mail"],
        events=["run.recovered"],
    )
    scene.execution = ExecutionService(
        database, clock, owner="n", signals=scene.signals, notices=scene.notices
    )
    await add_pipeline(database)
    await add_webhook(database, "all")
    await add_webhook(database, "failures", ["run.failed"])
    await add_webhook(database, "gone")
    async with database.transaction() as session:
        await WebhookRepository(session).disable("gone", reason="410", now=START)
    await scene.run("failed")
    await add_webhook(database, "later")
    await scene.run("success")
    messages = await scene.messages()
    assert sorted((m.type, m.channel, m.target) for m in messages) == [
        ("run.failed", "webhook", "all"), ("run.failed", "webhook", "failures"),
        ("run.recovered", "notify", "mail"), ("run.recovered", "notify", "slack"),
        ("run.recovered", "webhook", "all"), ("run.recovered", "webhook", "later"),
    ]  # fmt: skip
    # All that are told of an event are told under the same id.
    assert len({m.event_id for m in messages}) == 2


async def test_nobody_listens(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await scene.run("failed")
    await scene.run("success")
    assert await scene.messages() == []


async def test_what_is_rolled_back_is_not_told(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    claim = await scene.claim()
    waiter = scene.signals.listen(OUTBOX)
    end = Ending(
        run_id=claim.run_id, pipeline_id=claim.pipeline_id, pipeline="orders", number=1,
        trigger="manual", status=RunStatus.FAILED, attempts=1,
    )  # fmt: skip

    async def tell_in_vain() -> None:
        async with scene.database.transaction() as session:
            await scene.notices.ended(session, end)
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="the disk is full"):
        await tell_in_vain()
    assert await scene.messages() == []
    assert not waiter.done()


async def test_a_run_that_is_lost_with_its_daemon(database: Database, clock: FakeClock) -> None:
    if database.is_sqlite:
        pytest.skip("daemons share PostgreSQL only")
    lost, other = Scene(database, clock, owner="node-lost"), Scene(database, clock)
    await add_pipeline(database)
    await add_webhook(database)
    await lost.leases.renew()
    await lost.claim()
    over = LEASE + REAP_GRACE + timedelta(seconds=1)
    async with database.transaction() as session:
        move = "UPDATE workers SET lease_until = lease_until - CAST(:by AS interval)"
        await session.execute(text(move), {"by": over})
    assert await other.leases.reap() == 1
    assert await other.told() == [("run.failed", "orders#1")]
    data = json.loads((await other.messages())[0].body)["data"]
    assert (data["status"], data["attempts"]) == ("crashed", 1)
    assert "was lost" in data["reason"]


async def test_texts_are_short_and_hold_no_secrets(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    long = {
        "type": "E" * 10_000,
        "message": "password=hunter2hunter2 " + "x" * 1_000_000,
        "step": "s" * 10_000,
        "frames": [{"file": "f" * 9999, "line": 1, "function": "g"}],
    }
    await scene.run("failed", reason="postgresql://u:hunter2hunter2@db/x " + "y" * 9999,
                    failure=long)  # fmt: skip
    [message] = await scene.messages()
    assert len(message.body) < 6000
    assert "hunter2" not in message.body
    assert message.body.isascii()


# --- schedules -------------------------------------------------------------------------------


async def test_a_schedule_that_is_switched_off(scene: Scene) -> None:
    await scene.schedule()
    await add_webhook(scene.database)
    for change in (
        ScheduleChange(enabled=False, dry_run=True),
        ScheduleChange(deadline=60),
        ScheduleChange(enabled=False, reason="the source is down"),
        ScheduleChange(enabled=False),
        ScheduleChange(enabled=True),
    ):
        await scene.schedules.change("orders", change, ACTOR)
    assert await scene.told() == [("schedule.paused", "orders")]
    data = json.loads((await scene.messages())[0].body)["data"]
    assert data == {
        "pipeline": "orders", "reason": "the source is down", "by": "tester", "agent": "pytest",
        "next": ["tau schedule orders --enable", "tau show orders"],
    }  # fmt: skip
    await scene.schedules.change("orders", ScheduleChange(enabled=False), ACTOR)
    assert len(await scene.told()) == 2


async def test_a_tick_that_was_missed_is_late_and_one_that_is_passed_over_is_not(
    scene: Scene,
) -> None:
    await scene.schedule()
    await add_webhook(scene.database)
    scene.clock.advance(3600)
    await scene.ticks.materialise_due()
    scene.clock.advance(3600)
    await scene.ticks.materialise_due()  # skipped, as the first has not started: no news
    [claim] = await scene.execution.claim(limit=5)
    await scene.end(claim, "success")
    async with scene.database.transaction() as session:
        await session.execute(update(Schedule).values(deadline=600.0))
    scene.clock.advance(3600 + 601)
    await scene.ticks.materialise_due()
    await scene.ticks.materialise_due()
    assert await scene.told() == [("run.late", "orders#3")]
    data = json.loads((await scene.messages())[0].body)["data"]
    assert (data["rule"], data["status"]) == ("missed", "skipped")
    assert "the deadline is 0:10:00" in data["reason"]


# --- late runs -------------------------------------------------------------------------------


async def test_a_scheduled_run_that_does_not_start_by_its_deadline(scene: Scene) -> None:
    await scene.schedule()
    await add_webhook(scene.database)
    await scene.runs.create("orders", RunCreate(), ACTOR)  # nobody said when this has to start
    scene.clock.advance(3600)
    await scene.ticks.materialise_due()
    scene.clock.advance(3599)
    assert await scene.late.look() == 0
    scene.clock.advance(2)
    assert await scene.late.look() == 1
    assert await scene.late.look() == 0
    assert await scene.told() == [("run.late", "orders#2")]
    # Nor does another daemon tell of it again.
    assert await Scene(scene.database, scene.clock, owner="b").late.look() == 1
    assert len(await scene.told()) == 1
    data = json.loads((await scene.messages())[0].body)["data"]
    assert (data["rule"], data["status"], data["trigger"]) == (
        "not_started", "queued", "schedule",
    )  # fmt: skip


async def test_a_run_that_takes_longer_than_usual(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    for took in (100, 90, 110, 95, 100):
        await scene.run(took=took)
    claim = await scene.claim()
    await scene.execution.record([Started(claim=claim, pid=1, at=scene.clock.now())])
    scene.clock.advance(219)
    assert await scene.late.look() == 0
    scene.clock.advance(2)
    assert await scene.late.look() == 1
    assert await scene.late.look() == 0
    assert await scene.told() == [("run.late", "orders#6")]
    data = json.loads((await scene.messages())[0].body)["data"]
    assert data["rule"] == "longer_than_usual"
    assert data["reason"] == "it has run for 0:03:41; usually it takes 0:01:50"
    await scene.end(claim, "success")
    assert await scene.late.look() == 0


async def test_nothing_is_late_without_a_usual_time_or_before_the_minimum(scene: Scene) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    for _ in range(4):
        await scene.run(took=1)
    claim = await scene.claim()
    await scene.execution.record([Started(claim=claim, pid=1, at=scene.clock.now())])
    scene.clock.advance(10_000)
    assert await scene.late.look() == 0
    await scene.end(claim, "failed")
    await scene.run(took=1)
    claim = await scene.claim()
    await scene.execution.record([Started(claim=claim, pid=1, at=scene.clock.now())])
    scene.clock.advance(59)
    assert await scene.late.look() == 0
    scene.clock.advance(2)
    assert await scene.late.look() == 1


async def test_a_run_that_ends_meanwhile_is_not_late(scene: Scene, monkeypatch: Any) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    for _ in range(5):
        await scene.run(took=1)
    claim = await scene.claim()
    await scene.execution.record([Started(claim=claim, pid=1, at=scene.clock.now())])
    scene.clock.advance(100)
    look = scene.late._longer_than_usual

    async def and_it_ends(now: Any) -> Any:
        found = await look(now)
        await scene.end(claim, "success")
        return found

    scene.late._longer_than_usual = and_it_ends  # type: ignore[method-assign]
    await scene.late.look()
    assert await scene.told() == []


def test_the_usual_time() -> None:
    assert usual_time([MINUTE] * 4) is None
    assert usual_time([MINUTE] * 4 + [9 * MINUTE]) == 9 * MINUTE
    assert usual_time([9 * MINUTE, *[MINUTE] * 19]) == MINUTE


# --- retention -------------------------------------------------------------------------------


async def test_old_messages_are_removed(
    scene: Scene, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add_pipeline(scene.database)
    await add_webhook(scene.database)
    for _ in range(7):
        await scene.run("failed")
    ages = {0: ("delivered", 8), 1: ("delivered", 6), 2: ("dead", 29), 3: ("dead", 31),
            4: ("pending", 0), 5: ("delivered", 40)}  # fmt: skip
    messages = await scene.messages()
    clock.advance(timedelta(days=50))
    now = clock.now()
    async with scene.database.transaction() as session:
        for index, (status, days) in ages.items():
            at = now - timedelta(days=days)
            values = {"status": status, "finished_at": None if status == "pending" else at}
            await session.execute(
                update(OutboxMessage)
                .where(OutboxMessage.id == messages[index].id)
                .values(**values, next_at=at)
            )
    monkeypatch.setattr(housekeeping_service, "MESSAGES_AT_ONCE", 2)
    house = HousekeepingService(
        scene.database,
        clock,
        retention=RetentionSettings(),
        environments=environment_service(scene.database, clock),
    )
    assert await house.remove_old_messages() == 3
    left = {m.id: m.status for m in await scene.messages()}
    # The last one has waited since long ago: whom it is for is not there any more.
    expected = {1: "delivered", 2: "dead", 4: "pending", 6: "dead"}
    assert left == {messages[index].id: status for index, status in expected.items()}
