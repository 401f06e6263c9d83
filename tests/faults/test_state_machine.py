"""The run table against a model of it: owners that crash, late reports, a clock that jumps.

TAU_TEST_LONG=1 makes it 2,000 sequences on each database.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import text
from tests.fixtures.factories import ACTOR, START, add_pipeline, line, record
from tests.fixtures.secrets import empty_vault

from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.signals import Signals
from tau.errors import RunAlreadyFinal
from tau.pipeline.types import FINAL_STATUSES
from tau.schemas.base import Change
from tau.schemas.run import RunCreate
from tau.services.execution_service import (
    LAUNCH_RETRY_DELAY,
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

T = TypeVar("T")

LONG = os.environ.get("TAU_TEST_LONG") == "1"
SEQUENCES, STEPS = (2000, 50) if LONG else (100, 40)
OWNERS = ("node-a", "node-b")
RETRY_DELAY = timedelta(seconds=2)
RETRIED = ("failed", "timeout", "crashed")


@dataclass
class ModelRun:
    """What a run ought to be: the state machine in a page."""

    attempts_allowed: int
    available_at: Any
    status: str = "queued"
    owner: str | None = None
    fence: int = 0
    launch_failures: int = 0
    cancelled: bool = False
    attempts: list[list[Any]] = field(default_factory=list)
    """[fence, status, spool offset] of each."""

    def owned_by(self, claim: Claim) -> bool:
        active = self.status in ("starting", "running")
        return active and (self.owner, self.fence) == (claim.owner, claim.fence)

    def claim(self, owner: str) -> None:
        self.status, self.owner, self.fence = "starting", owner, self.fence + 1
        self.attempts.append([self.fence, "starting", 0])

    def start(self, claim: Claim) -> None:
        if self.owned_by(claim) and self.status == "starting":
            self.status = self.attempts[-1][1] = "running"

    def tell(self, claim: Claim, offset: int) -> None:
        for attempt in self.attempts:
            if attempt[0] == claim.fence:
                attempt[2] = max(attempt[2], offset)

    def end(self, claim: Claim, status: str, now: Any) -> None:
        if not self.owned_by(claim):
            return
        self.attempts[-1][1] = self.status = status
        if self.cancelled and status != "success":
            self.status = "cancelled"
        elif status in RETRIED and len(self.attempts) < self.attempts_allowed:
            self.status = "retrying"
            self.available_at = now + RETRY_DELAY * 2 ** (len(self.attempts) - 1)

    def requeue(self, claim: Claim, now: Any) -> None:
        if not self.owned_by(claim):
            return
        too_often = self.launch_failures + 1 >= MAX_LAUNCH_FAILURES
        if self.status == "running" or too_often or self.cancelled:
            self.end(claim, "crashed", now)
            return
        self.attempts.pop()
        self.launch_failures += 1
        self.status, self.available_at = "queued", now + LAUNCH_RETRY_DELAY

    def cancel(self) -> None:
        if self.status in FINAL_STATUSES:
            return
        self.cancelled = True
        if self.status not in ("starting", "running"):
            self.status = "cancelled"


class RunTable(RuleBasedStateMachine):
    """Two daemons on one store, and the model beside it."""

    database: Database
    perform: Callable[[Awaitable[Any]], Any]
    sequence = 0

    claims = Bundle("claims")

    @initialize(retries=st.integers(0, 2), count=st.integers(1, 3))
    def begin(self, retries: int, count: int) -> None:
        RunTable.sequence += 1
        self.name = f"p{RunTable.sequence}"
        self.clock = FakeClock(START)
        values = {"retries": retries, "retry_delay": RETRY_DELAY.total_seconds()}
        self.retries = retries
        self.perform(add_pipeline(self.database, self.name, **values))
        self.owners = {name: self.new_owner(name) for name in OWNERS}
        self.runs = RunService(
            self.database,
            self.clock,
            UlidFactory(),
            signals=Signals(),
            planner=Planner(default_timeout=60.0, vault=empty_vault(self.database)),
            queue_limit=10_000,
        )
        self.model: dict[str, ModelRun] = {}
        for _ in range(count):
            self.ask()

    def new_owner(self, name: str) -> ExecutionService:
        return ExecutionService(
            self.database, self.clock, owner=name, signals=Signals(), random=lambda: 0.0
        )

    def record(self, claim: Claim, *reports: Any) -> None:
        self.perform(self.owners[claim.owner].record(reports))

    @rule()
    def ask(self) -> None:
        run = self.perform(self.runs.create(self.name, RunCreate(), ACTOR))
        self.model[run.id] = ModelRun(self.retries + 1, self.clock.now())

    @rule(target=claims, owner=st.sampled_from(OWNERS), limit=st.integers(1, 3))
    def claim(self, owner: str, limit: int) -> Any:
        due = [
            (run.available_at, run_id)
            for run_id, run in self.model.items()
            if run.status in ("queued", "retrying") and run.available_at <= self.clock.now()
        ]
        found = self.perform(self.owners[owner].claim(limit=limit))
        assert [claim.run_id for claim in found] == [run_id for _, run_id in sorted(due)[:limit]]
        for claim in found:
            run = self.model[claim.run_id]
            run.claim(owner)
            assert (claim.fence, claim.attempt) == (run.fence, len(run.attempts))
        return multiple(*found)

    @rule(claim=claims)
    def started(self, claim: Claim) -> None:
        self.record(claim, Started(claim=claim, pid=7, at=self.clock.now()))
        self.model[claim.run_id].start(claim)

    @rule(claim=claims, offset=st.integers(1, 5))
    def told(self, claim: Claim, offset: int) -> None:
        self.record(claim, Told(claim=claim, lines=[line(offset)], offset=offset))
        self.model[claim.run_id].tell(claim, offset)

    @rule(
        claim=claims,
        status=st.sampled_from(["success", "cancelled", *RETRIED]),
        starts=st.booleans(),
    )
    def ended(self, claim: Claim, status: str, starts: bool) -> None:
        """An end, with or without its start in the same batch."""
        end = Ended(claim=claim, record=record(claim, status))
        start = Started(claim=claim, pid=7, at=self.clock.now())
        self.record(claim, *([start] if starts else []), end)
        self.model[claim.run_id].end(claim, status, self.clock.now())

    @rule(one=claims, other=claims, status=st.sampled_from(["success", "failed"]))
    def one_ends_as_another_starts(self, one: Claim, other: Claim, status: str) -> None:
        reports = [
            Ended(claim=one, record=record(one, status)),
            Started(claim=other, pid=8, at=self.clock.now()),
        ]
        self.record(one, *reports)
        if (one.run_id, one.fence) != (other.run_id, other.fence):
            self.model[other.run_id].start(other)
        self.model[one.run_id].end(one, status, self.clock.now())

    @rule(claim=claims)
    def requeue(self, claim: Claim) -> None:
        self.perform(self.owners[claim.owner].requeue(claim, "no memory"))
        self.model[claim.run_id].requeue(claim, self.clock.now())

    @rule(index=st.integers(0, 30))
    def cancel(self, index: int) -> None:
        if not self.model:
            return
        run_id = list(self.model)[index % len(self.model)]
        is_final = self.model[run_id].status in FINAL_STATUSES
        try:
            self.perform(self.runs.cancel(run_id, Change(), ACTOR))
        except RunAlreadyFinal:
            assert is_final
        else:
            assert not is_final
        self.model[run_id].cancel()

    @rule(seconds=st.sampled_from([0.5, 1, 2, 5, 5, 3600]))
    def clock_moves(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(target=claims, claim=claims, status=st.sampled_from(RETRIED))
    def loses_it_and_has_it_again(self, claim: Claim, status: str) -> Any:
        """A second claim of the same run by the same owner: the first one is of the past."""
        self.ended(claim, status, starts=False)
        self.clock.advance(10)
        return self.claim(claim.owner, limit=3)

    @rule(target=claims, owner=st.sampled_from(OWNERS))
    def owner_crashes(self, owner: str) -> Any:
        """Its successor finds what it owned, and goes on where the store says."""
        self.owners[owner] = self.new_owner(owner)
        found = self.perform(self.owners[owner].unfinished())
        assert {(claim.run_id, claim.fence, claim.attempt, offset) for claim, offset in found} == {
            (run_id, run.fence, len(run.attempts), run.attempts[-1][2])
            for run_id, run in self.model.items()
            if run.owner == owner and run.status in ("starting", "running")
        }
        return multiple(*sorted((claim for claim, _ in found), key=lambda claim: claim.run_id))

    @invariant()
    def is_as_the_model_says(self) -> None:
        stored = self.perform(self.look())
        expected = {
            run_id: (run.status, run.fence, run.launch_failures, run.cancelled, run.attempts)
            for run_id, run in self.model.items()
        }
        assert stored == expected

    async def look(self) -> dict[str, Any]:
        async with self.database.read() as session:
            runs = await session.execute(
                text(
                    "SELECT id, status, fence, launch_failures, cancel_requested_at, finished_at,"
                    " attempt FROM runs WHERE pipeline_name = :name"
                ),
                {"name": self.name},
            )
            attempts = await session.execute(
                text(
                    "SELECT run_id, attempts.fence, attempts.status, spool_offset FROM attempts"
                    " JOIN runs ON id = run_id WHERE pipeline_name = :name ORDER BY run_id, 2"
                ),
                {"name": self.name},
            )
            return _documents(list(runs), list(attempts))

    def teardown(self) -> None:
        """Nothing is left for the next sequence to claim."""
        for run_id, run in getattr(self, "model", {}).items():
            if run.status not in FINAL_STATUSES:
                self.perform(self.runs.cancel(run_id, Change(), ACTOR))
        for owner in getattr(self, "owners", {}).values():
            for claim, _ in self.perform(owner.unfinished()):
                self.record(claim, Ended(claim=claim, record=record(claim, "cancelled")))


def _documents(runs: list[Any], attempts: list[Any]) -> dict[str, Any]:
    found = {}
    for run in runs:
        mine = [[a.fence, a.status, a.spool_offset] for a in attempts if a.run_id == run.id]
        assert run.attempt == len(mine)
        assert (run.finished_at is not None) == (run.status in FINAL_STATUSES)
        asked = run.cancel_requested_at is not None
        found[run.id] = (run.status, run.fence, run.launch_failures, asked, mine)
    return found


@pytest.mark.timeout(6 * 3600 if LONG else 300)
def test_the_run_table_is_as_the_model_says(store_url: str) -> None:
    with asyncio.Runner() as runner:
        RunTable.database = Database(store_url)
        RunTable.perform = staticmethod(runner.run)  # type: ignore[assignment]
        try:
            run_state_machine_as_test(  # type: ignore[no-untyped-call]
                RunTable,
                settings=settings(
                    max_examples=SEQUENCES,
                    stateful_step_count=STEPS,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                    phases=[Phase.generate, Phase.shrink],
                ),
            )
        finally:
            runner.run(RunTable.database.close())
