"""What a daemon finds that one before it left at an unlucky moment."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fixtures.api import Api
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.sources import HELLO, SLEEP
from tests.fixtures.waiting import eventually, eventually_async

from tau.core.clock import SystemClock
from tau.core.database import Database, sqlite_url
from tau.core.signals import Signals
from tau.services.execution_service import ExecutionService, Started
from tau.services.outcome import Claim
from tau.workers.local import LocalWorker

Make = Callable[..., DaemonProcess]


def queue_and_stop(daemon: DaemonProcess) -> str:
    """A run that the daemon accepted, and had no time to begin."""
    daemon.deploy(HELLO)
    daemon.deploy(SLEEP, "sleep.py")
    with daemon.client() as client:
        # The only slot is taken.
        client.post("/pipelines/sleeper/runs", json={"params": {"seconds": 0.5}})
        run_id = str(client.post("/pipelines/hello/runs", json={}).json()["id"])
    daemon.kill()
    return run_id


def claim_as(daemon: DaemonProcess, run_id: str, *, started: bool = False) -> None:
    """Claim a run in the daemon's name, and die."""

    async def claim() -> None:
        database = Database(sqlite_url(daemon.home / "tau.db"))
        owner = (daemon.home / "node_id").read_text().strip()
        execution = ExecutionService(database, SystemClock(), owner=owner, signals=Signals())
        claims: list[Claim] = await execution.claim(limit=10)
        [mine] = [claim for claim in claims if claim.run_id == run_id]
        if started:
            await execution.record([Started(claim=mine, pid=1, at=SystemClock().now())])
        await database.close()

    asyncio.run(claim())


def finished(daemon: DaemonProcess, run_id: str) -> dict[str, object]:
    with daemon.client() as client:
        document: dict[str, object] = client.get(f"/runs/{run_id}", params={"wait": 25}).json()
    return document


def test_a_claim_that_was_never_begun_costs_no_attempt(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_EXECUTOR__SLOTS="1").start()
    run_id = queue_and_stop(daemon)
    claim_as(daemon, run_id)
    daemon.start()
    run = finished(daemon, run_id)
    assert (run["status"], run["attempt"]) == ("success", 1)


def test_an_attempt_that_had_started_and_is_gone_is_a_crash(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_EXECUTOR__SLOTS="1").start()
    run_id = queue_and_stop(daemon)
    claim_as(daemon, run_id, started=True)
    daemon.start()
    run = finished(daemon, run_id)
    assert (run["status"], run["attempt"]) == ("crashed", 1)


def test_what_was_stored_and_not_yet_cleared_away_goes_at_the_next_start(
    make_daemon: Make,
) -> None:
    daemon = make_daemon().start()
    daemon.deploy(HELLO)
    run_id = str(daemon.run("hello")["id"])
    daemon.kill()
    attempt = daemon.home / "runs" / run_id / "1"
    attempt.mkdir(parents=True, exist_ok=True)
    (attempt / "exit.json").write_text("{}")
    daemon.start()
    eventually(lambda: not list((daemon.home / "runs").iterdir()))


class Deaf(LocalWorker):
    """Does not hear the first wish, as while an attempt is only being begun."""

    wishes = 0

    async def kill(self, run_id: str, attempt: int, *, status: str, reason: str) -> None:
        self.wishes += 1
        if self.wishes > 1:
            await super().kill(run_id, attempt, status=status, reason=reason)


@pytest.fixture
def worker_of_api(tmp_path: Path) -> LocalWorker:
    return Deaf(tmp_path / "home")


async def test_a_wish_to_cancel_is_passed_on_until_it_is_heard(api: Api) -> None:
    await api.deploy(SLEEP)
    made = await api.client.post("/api/v1/pipelines/sleeper/runs", json={})
    path = made.headers["location"]

    async def status() -> str:
        return str((await api.client.get(path)).json()["status"])

    async def is_running() -> bool:
        return await status() == "running"

    await eventually_async(is_running)
    await api.client.post(f"{path}/cancel", json={})
    run = (await api.client.get(path, params={"wait": 20})).json()
    assert run["status"] == "cancelled"
