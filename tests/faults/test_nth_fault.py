"""The store fails at the n-th statement or commit of a day's work, for every n.

After each fault the caller asks again, as clients and the daemon's loops do. At no moment may
an invariant be broken, and in the end all is as if nothing had happened.
"""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
from sqlalchemy import text
from tests.faults.faults import Fault, Kind
from tests.faults.invariants import Invariants
from tests.fixtures.environments import environment_service, environments_in
from tests.fixtures.factories import ACTOR, START, line, record, spec
from tests.fixtures.secrets import empty_vault

from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import Signals
from tau.core.source_cache import SourceCache
from tau.errors import PipelineNotFound, RunAlreadyFinal, StoreUnavailable
from tau.pipeline.protocol import ExitRecord, JobRequest, Limits
from tau.schemas.base import Change
from tau.schemas.pipeline import DeploymentCreate
from tau.schemas.run import RunCreate
from tau.services.deploy_service import DeployService
from tau.services.execution_service import Ended, ExecutionService, Started, Told
from tau.services.inspection import Inspector
from tau.services.notice_service import NoticeService
from tau.services.outcome import Claim
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.tick_service import TickService
from tau.services.version_service import VersionService
from tau.testing import FakeClock
from tau.workers.base import AttemptListener

T = TypeVar("T")
Step = Callable[[], Awaitable[Any]]

KINDS: list[Kind] = ["statement", "commit", "after commit"]
ENOUGH = 2000


class Files:
    """Stands for the worker: answers each inspection with the specs that the source spells."""

    async def run(self, request: JobRequest, listener: AttemptListener) -> ExitRecord:
        name, retries, schedule = _read(request.source_path).split(",")
        found = spec(name, retries=int(retries), retry_delay=1.0, schedule=schedule)
        return ExitRecord(
            run_id=request.run_id,
            attempt=request.attempt,
            fence=request.fence,
            status="success",
            result={"pipelines": [found]},
        )

    def forget(self, run_id: str, attempt: int) -> None:
        return None


def _read(path: str) -> str:
    return Path(path).read_text()


class Recording(Signals):
    """Keeps what was told to whom."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[str] = []

    def notify(self, topic: str) -> None:
        self.told.append(topic)
        super().notify(topic)


class Day:
    """A daemon's services on one pipeline, and the steps of its day."""

    def __init__(self, database: Database, folder: Path, number: int) -> None:
        self.name = f"orders_{number}"
        # A day of its own, so that no tick of an earlier one is due.
        self.clock = FakeClock(START + timedelta(days=number))
        self.signals = Recording()
        ids, given = UlidFactory(), {"signals": self.signals}
        told = NoticeService(self.clock, ids, services=["service"], **given)
        schedules = ScheduleService(database, self.clock, ids, notices=told, **given)
        inspector = Inspector(
            Files(),  # type: ignore[arg-type]
            SourceCache(folder),
            ids,
            limits=Limits(timeout_s=1.0),
            env={},
            environments=environments_in(folder),
        )
        self._deploys = DeployService(
            database,
            self.clock,
            ids,
            inspector=inspector,
            schedules=schedules,
            environments=environment_service(database, self.clock),
        )
        self._versions = VersionService(database, self.clock, ids, schedules=schedules)
        self._runs = RunService(
            database,
            self.clock,
            ids,
            planner=Planner(default_timeout=60.0, vault=empty_vault(database)),
            queue_limit=1000,
            **given,
        )
        self._execution = ExecutionService(
            database, self.clock, owner="node-a", random=lambda: 0.0, notices=told, **given
        )
        self._ticks = TickService(database, self.clock, ids, notices=told, **given)
        self._keys = iter(range(100))
        self.steps_done = 0

    async def steps(self) -> AsyncIterator[Step]:
        """What is asked of the store, one thing after the other."""
        yield self._deploy(retries=1, schedule="0 * * * *")
        yield self._create()
        async for step in self._attempt(1, {"status": "success", "state": {"cursor": 1}}, lines=3):
            yield step
        yield self._create()
        for number in (1, 2):
            async for step in self._attempt(2, {"status": "failed", "reason": f"no {number}"}):
                yield step
            self.clock.advance(2)
        yield self._retry(2)
        yield self._cancel(3)
        yield self._create()
        async for step in self._cancelled_while_it_runs(4):
            yield step
        yield self._create()
        async for step in self._refused(5):
            yield step
        self.clock.advance(3600)
        yield self._ticks.materialise_due
        yield self._ticks.materialise_due
        async for step in self._attempt(6, {"status": "success", "state": {"cursor": 6}}):
            yield step
        yield self._deploy(retries=0, schedule="30 * * * *")
        self.clock.advance(3600)
        yield self._ticks.materialise_due
        yield self._undeploy

    def _key(self) -> str:
        return f"{self.name}-{next(self._keys)}"

    def _deploy(self, *, retries: int, schedule: str) -> Step:
        source = f"{self.name},{retries},{schedule}"
        request = DeploymentCreate(file_name=f"{self.name}.py", source=source)
        key = self._key()
        return lambda: self._deploys.deploy(request, ACTOR, idempotency_key=key)

    async def _undeploy(self) -> None:
        with contextlib.suppress(PipelineNotFound):  # asked again: it was done
            await self._versions.undeploy(self.name, Change(), ACTOR)

    def _create(self) -> Step:
        key = self._key()
        return lambda: self._runs.create(self.name, RunCreate(), ACTOR, idempotency_key=key)

    def _retry(self, number: int) -> Step:
        run, key = f"{self.name}#{number}", self._key()
        return lambda: self._runs.retry(run, Change(), ACTOR, idempotency_key=key)

    def _cancel(self, number: int) -> Step:
        async def cancel() -> None:
            try:
                await self._runs.cancel(f"{self.name}#{number}", Change(), ACTOR)
            except RunAlreadyFinal as error:
                if error.details["run_status"] != "cancelled":
                    raise

        return cancel

    def _claim(self, number: int, into: list[Claim]) -> Step:
        async def claim() -> None:
            """As the dispatcher: what may be claimed without our knowing is taken up."""
            found = [claim for claim, _ in await self._execution.unfinished()]
            into[:] = found or await self._execution.claim(limit=10)
            assert [claim.number for claim in into] == [number]

        return claim

    def _told(self, *reports: Any) -> Step:
        return lambda: self._execution.record(reports)

    async def _attempt(
        self, number: int, end: dict[str, Any], *, lines: int = 1
    ) -> AsyncIterator[Step]:
        claims: list[Claim] = []
        yield self._claim(number, claims)
        [claim] = claims
        yield self._told(Started(claim=claim, pid=1, at=self.clock.now()))
        told = [line(n) for n in range(1, lines + 1)]
        yield self._told(Told(claim=claim, lines=told, offset=100 * lines))
        last = Told(claim=claim, lines=[line(lines + 1)], offset=100 * (lines + 1))
        yield self._told(last, Ended(claim=claim, record=record(claim, **end)))

    async def _cancelled_while_it_runs(self, number: int) -> AsyncIterator[Step]:
        claims: list[Claim] = []
        yield self._claim(number, claims)
        [claim] = claims
        yield self._cancel(number)
        wishes: list[tuple[str, str]] = []

        async def look() -> None:
            wishes[:] = await self._execution.to_kill()
            assert [run_id for run_id, _ in wishes] == [claim.run_id]

        yield look
        yield self._told(Ended(claim=claim, record=record(claim, "cancelled")))

    async def _refused(self, number: int) -> AsyncIterator[Step]:
        claims: list[Claim] = []
        yield self._claim(number, claims)
        [refused] = claims
        yield lambda: self._execution.requeue(refused, "no memory")
        self.clock.advance(2)
        async for step in self._attempt(number, {"status": "success"}):
            yield step
        yield lambda: self._execution.requeue(refused, "a late word changes nothing")


async def live(day: Day, invariants: Invariants, fault: Fault, *, before_commit: bool) -> None:
    """The day to its end. What is refused was not done by half, wakes nobody, and is done again."""
    async for step in day.steps():
        while True:
            told = len(day.signals.told)
            try:
                await step()
            except StoreUnavailable:
                assert fault.fired
                if before_commit:
                    assert day.signals.told[told:] == [], "told of what was rolled back"
                await invariants.check()
            else:
                break


async def outcome(database: Database, name: str) -> list[Any]:
    """What has become of the day, without ids and moments."""
    queries = (
        "SELECT number, status, status_reason, attempt, fence, max_attempts, version, trigger"
        " FROM runs WHERE pipeline_name = :name ORDER BY number",
        "SELECT runs.number, attempts.number, attempts.status, spool_offset, log_lines"
        " FROM attempts JOIN runs ON runs.id = run_id WHERE pipeline_name = :name ORDER BY 1, 2",
        "SELECT runs.number, events.attempt, seq FROM events JOIN runs ON runs.id = run_id"
        " WHERE pipeline_name = :name ORDER BY 1, 2, 3",
        "SELECT current_version, version_count, run_count FROM pipelines WHERE name = :name",
        "SELECT data, run_number FROM pipeline_states JOIN pipelines ON pipelines.id = pipeline_id"
        " WHERE name = :name",
        "SELECT cron, generation, enabled FROM schedules"
        " JOIN pipelines ON pipelines.id = pipeline_id WHERE pipelines.name = :name",
        "SELECT type, status, attempts FROM outbox WHERE body LIKE '%\"' || :name || '\"%'"
        " ORDER BY id",
    )
    async with database.read() as session:
        return [
            [tuple(map(str, row)) for row in await session.execute(text(query), {"name": name})]
            for query in queries
        ]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kind", KINDS)
async def test_a_fault_at_each_place_changes_nothing(
    database: Database, tmp_path: Path, kind: Kind
) -> None:
    fault = Fault(database, kind)
    expected: list[Any] | None = None
    for n in range(ENOUGH):
        day = Day(database, tmp_path, n)
        invariants = Invariants(database, day.name)
        fault.arm(n)  # 0 is never reached
        await live(day, invariants, fault, before_commit=kind != "after commit")
        has_fired = fault.fired
        fault.disarm()
        await invariants.check()
        found = await outcome(database, day.name)
        expected = expected or found
        assert str(found).replace(day.name, "orders_0") == str(expected), f"fault {n}"
        if n > 0 and not has_fired:
            break
    else:
        raise AssertionError("the script never passed without the fault")
    assert n > 20
    statuses = [row[1] for row in expected[0]]
    assert statuses == [
        "success", "failed", "cancelled", "cancelled", "success", "success", "cancelled",
    ]  # fmt: skip
    assert [row[0] for row in expected[-1]] == ["run.failed", "run.recovered"]
