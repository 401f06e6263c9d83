"""Stores that earlier versions have left, with runs in flight: opened, migrated, recovered."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.daemon import BIN, DaemonProcess

from tau.core.database import integrity_check
from tau.core.migrations import HEAD, file_revision

Make = Callable[..., DaemonProcess]

DUMPS = sorted(Path(__file__).parent.glob("*.sql"))
NODE = "01hgandennode0000000000000"
LEFT = {
    1: ("success", 1), 2: ("failed", 3), 3: ("timeout", 1), 4: ("cancelled", 1),
    5: ("skipped", 0), 6: ("crashed", 1),
}  # fmt: skip
"""Of the runs that had ended, number → status and attempt."""


@pytest.fixture(params=DUMPS, ids=lambda path: path.stem)
def home(request: pytest.FixtureRequest, make_daemon: Make) -> DaemonProcess:
    """A home whose daemon was killed at that revision."""
    daemon = make_daemon()
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "node_id").write_text(NODE)
    (daemon.home / "node_id").chmod(0o600)
    with closing(sqlite3.connect(daemon.home / "tau.db")) as store:
        store.executescript(request.param.read_text())
        assert store.execute("SELECT version_num FROM alembic_version").fetchone() == (
            request.param.stem,
        )
    return daemon


def outcomes(daemon: DaemonProcess) -> dict[int, dict[str, Any]]:
    """All runs by their numbers, each waited for."""
    with daemon.client() as client:
        rows = client.get("/runs", params={"limit": 50}).json()["runs"]
        found = {}
        for row in rows:
            answer = client.get(f"/runs/{row['run'].replace('#', '%23')}", params={"wait": 20})
            assert answer.status_code == 200, answer.text
            run = answer.json()
            found[int(run["run"].partition("#")[2])] = run
    return found


def test_a_store_of_an_earlier_version_is_migrated_and_recovered(home: DaemonProcess) -> None:
    home.start()
    runs = outcomes(home)
    seen = {number: (run["status"], run.get("attempt", 0)) for number, run in runs.items()}
    assert {number: seen[number] for number in LEFT} == LEFT
    # Queued, waiting for its retry, claimed but never launched, executing when all went down.
    assert seen[7] == ("success", 1)
    assert seen[8] == ("success", 2)
    assert seen[9][0] == "success"
    assert seen[10] == ("success", 2)
    assert seen[11] == ("crashed", 1)
    assert runs[11]["reason"]
    assert runs[10]["result"]["seen"] == {"day": "2026-03-01"}
    new = home.run("orders")
    assert (new["status"], new["run"]) == ("success", "orders#12")
    check_store(home)


def check_store(home: DaemonProcess) -> None:
    home.stop()
    store = home.home / "tau.db"
    assert (file_revision(store), integrity_check(store)) == (HEAD, "ok")
    with closing(sqlite3.connect(store)) as opened:
        assert opened.execute("PRAGMA foreign_key_check").fetchall() == []
        with pytest.raises(sqlite3.IntegrityError, match="final status"):
            opened.execute("UPDATE runs SET status = 'queued' WHERE number = 2")


def test_a_store_of_a_newer_version_is_refused_and_left_alone(home: DaemonProcess) -> None:
    store = home.home / "tau.db"
    with closing(sqlite3.connect(store)) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
        opened.commit()
    before = list(dump(store))
    done = subprocess.run(
        [BIN / "taud", "start", "--port", "0"],
        env=home.environment(),
        cwd=home.home,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    error = json.loads(done.stdout)["error"]
    assert (error["code"], error["store_revision"]) == ("store.newer_than_code", "9999")
    assert list(dump(store)) == before


def dump(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as opened:
        return list(opened.iterdump())
