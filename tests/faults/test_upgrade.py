"""The daemon is replaced by another version under load: no attempt is charged, none is doubled.

Each version is an installation of its own, whose files are deleted once its daemon has stopped:
what still runs of it has nothing to go by but what it has in memory.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.faults.load import Load
from tests.faults.promises import (
    Store,
    adoptions,
    change_schedule,
    expect_all_as_asked,
    expect_each_tick_once,
    expect_no_process_left,
    expect_spans_without_gap,
    set_up,
)
from tests.faults.witness import Witness
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.waiting import eventually

from tau import __version__
from tau.core.database import integrity_check

Make = Callable[..., DaemonProcess]

ROOT = Path(__file__).parents[2]
UPGRADES, RUNS = 4, 120
PATIENCE_S = 60.0

LATE = """
import os, time
from tau import pipeline

def rows(data):
    return [row + 1 for row in data]

@pipeline(retries=2, retry_delay=0)
async def late(ctx):
    with ctx.step("wait"):
        print("waiting")
        while not os.path.exists(ctx.params["go"]):
            time.sleep(0.01)
    state, secret = dict(ctx.state), ctx.secret("NONE", default="none")
    data = await ctx.transform([1, 2], rows)
    ctx.check(len(data) == 2, severity="warn", rows=len(data))
    ctx.state["done"] = True
    if ctx.params.get("fails") and ctx.attempt == 1:
        raise LookupError("as it was asked to")
    return {"data": data, "state": state, "secret": secret}
"""


class Installation:
    """A version of Tau in an environment of its own."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder, self.version = folder, version
        create = [sys.executable, "-m", "venv", "--without-pip", os.fspath(folder)]
        subprocess.run(create, check=True)
        self.python = folder / "bin" / "python"
        packages = Path(sysconfig.get_path("purelib", "venv", {"base": os.fspath(folder)}))
        # What Tau needs comes from the environment of the tests, Tau itself does not.
        (packages / "needed.pth").write_text(sysconfig.get_path("purelib") + "\n")
        package = shutil.copytree(ROOT / "src" / "tau", packages / "tau")
        shutil.copytree(ROOT / "alembic", package / "_alembic")
        init = package / "__init__.py"
        text, count = re.subn(re.escape(f'"{__version__}"'), f'"{version}"', init.read_text())
        assert count == 1
        init.write_text(text)

    def start(self, daemon: DaemonProcess) -> None:
        """Be the daemon's program from now on."""
        daemon.program = (self.python, "-m", "tau.daemon.app")
        daemon.start()
        with daemon.client() as client:
            assert client.get("/status").json()["version"] == self.version

    def remove(self) -> None:
        shutil.rmtree(self._folder)


@pytest.fixture
def install(tmp_path: Path) -> Callable[[str], Installation]:
    return lambda version: Installation(tmp_path / version, version)


@pytest.mark.timeout(300)
def test_upgrades_under_load_cost_no_attempt(
    make_daemon: Make, install: Callable[[str], Installation], tmp_path: Path
) -> None:
    seed = random.randrange(10**9)
    daemon = make_daemon(TAU_DAEMON__DRAIN="0.1", TAU_EXECUTOR__SLOTS="6")
    witness, installed = Witness(tmp_path / "effects"), install("9.0.0")
    installed.start(daemon)
    set_up(daemon, witness)
    store, adopted = Store(daemon), 0
    with Load(daemon, count=RUNS, seed=seed, longest_ms=1500) as asked:
        for number in range(1, UPGRADES + 1):
            asked.allow(RUNS * number // UPGRADES)
            count = len(witness.effects())
            eventually(lambda c=count: len(witness.effects()) > c + 50, within=PATIENCE_S)
            assert daemon.stop(signal.SIGTERM) == 0
            installed.remove()
            installed = install(f"9.{number}.0")
            installed.start(daemon)
            # Each stop has left some behind that were under way.
            assert adoptions(daemon) > adopted
            adopted = adoptions(daemon)
        eventually(asked.is_done, within=PATIENCE_S)
    assert asked.refused == []
    eventually(lambda: not store.unfinished(set(asked.accepted)), within=PATIENCE_S)
    expect_no_process_left(daemon)
    for name in ("each", "latest"):
        change_schedule(daemon, name, enabled=False)
    eventually(lambda: not store.unfinished(store.ids()), within=PATIENCE_S)
    assert daemon.stop(signal.SIGTERM) == 0
    assert integrity_check(daemon.home / "tau.db") == "ok"
    assert witness.started_twice() == []
    assert witness.overlaps() == []
    expect_all_as_asked(store, witness, asked)
    expect_each_tick_once(store, witness, at_least=UPGRADES)
    expect_spans_without_gap(store)


def test_an_attempt_of_a_version_that_is_gone_goes_on_as_it_was(
    make_daemon: Make, install: Callable[[str], Installation], tmp_path: Path
) -> None:
    """All that a pipeline may ask of Tau for the first time only after the upgrade."""
    daemon, go = make_daemon(TAU_DAEMON__DRAIN="0.1"), tmp_path / "go"
    old = install("9.0.0")
    old.start(daemon)
    daemon.deploy(LATE)
    ids = []
    with daemon.client() as client:
        for fails in (False, True):
            params = {"go": str(go), "fails": fails}
            made = client.post("/pipelines/late/runs", json={"params": params})
            ids.append(made.json()["id"])
        eventually(lambda: all("waiting" in logs(daemon, run_id) for run_id in ids))
    assert daemon.stop(signal.SIGTERM) == 0
    old.remove()
    install("9.1.0").start(daemon)
    go.touch()
    with daemon.client() as client:
        first, second = (client.get(f"/runs/{i}", params={"wait": 30}).json() for i in ids)
        failed = client.get(f"/runs/{ids[1]}/inspect").json()
    assert (first["status"], first["attempt"]) == ("success", 1), first
    assert first["result"]["data"] == [2, 3]
    assert first["result"]["secret"] == "none"
    assert (second["status"], second["attempt"]) == ("success", 2), second
    assert failed["attempts"][0]["status"] == "failed", failed


def logs(daemon: DaemonProcess, run_id: str) -> list[str]:
    with daemon.client() as client:
        return [line["message"] for line in client.get(f"/runs/{run_id}/logs").json()["logs"]]
