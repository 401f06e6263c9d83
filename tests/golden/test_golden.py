"""Stores that earlier versions have left, with runs in flight: opened, migrated, recovered."""

import asyncio
import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from tests.fixtures.daemon import BIN, DaemonProcess

from tau.core.database import integrity_check
from tau.core.migrations import HEAD, file_revision

Make = Callable[..., DaemonProcess]

DUMPS = sorted(Path(__file__).parent.glob("*.sql"))
OF_FILES = [path for path in DUMPS if "postgresql" not in path.name]
HOUR = timedelta(hours=1)
NODE = "01hgandennode0000000000000"
LEFT = {
    1: ("success", 1), 2: ("failed", 3), 3: ("timeout", 1), 4: ("cancelled", 1),
    5: ("skipped", 0), 6: ("crashed", 1),
}  # fmt: skip
"""Of the runs that had ended, number → status and attempt."""


@pytest.fixture
def home(
    request: pytest.FixtureRequest, dump: Path, make_daemon: Make, tmp_path: Path
) -> DaemonProcess:
    """A home whose daemon was killed at that revision."""
    daemon = make_daemon()
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "node_id").write_text(NODE)
    (daemon.home / "node_id").chmod(0o600)
    if dump in OF_FILES:
        with closing(sqlite3.connect(daemon.home / "tau.db")) as store:
            store.executescript(dump.read_text())
    else:
        url = daemon.env["TAU_DATABASE_URL"] = request.getfixturevalue("empty_postgres")
        asyncio.run(fill(url, dump.read_text()))
    return daemon


async def fill(url: str, text: str) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute(text)
    await connection.close()


def outcomes(daemon: DaemonProcess, pipeline: str) -> dict[int, dict[str, Any]]:
    """Its runs by their numbers, each waited for."""
    with daemon.client() as client:
        rows = client.get("/runs", params={"limit": 50, "pipeline": pipeline}).json()["runs"]
        found = {}
        for row in rows:
            answer = client.get(f"/runs/{row['run'].replace('#', '%23')}", params={"wait": 20})
            assert answer.status_code == 200, answer.text
            run = answer.json()
            found[int(run["run"].partition("#")[2])] = run
    return found


@pytest.mark.parametrize("dump", DUMPS, ids=lambda path: path.stem)
def test_a_store_of_an_earlier_version_is_migrated_and_recovered(
    home: DaemonProcess, dump: Path
) -> None:
    home.start()
    runs = outcomes(home, "orders")
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
    if dump.stem >= "0002":
        check_ticks(home)
    if dump not in OF_FILES:
        # Its daemon's lease had ended: it is another's now.
        assert seen.pop(12) == ("success", 2)
    new = home.run("orders")
    assert (new["status"], new["run"]) == ("success", f"orders#{max(runs) + 1}")
    home.stop()
    if dump in OF_FILES:
        check_store(home)


def check_ticks(home: DaemonProcess) -> None:
    """The run of a tick that was under way is tried again, and the newest tick covers the gap."""
    runs = outcomes(home, "ticks")
    assert (runs[1]["status"], runs[1]["attempt"]) == ("success", 1)
    assert (runs[2]["status"], runs[2]["attempt"]) == ("success", 2)
    assert runs[3]["trigger"] == "schedule"
    if runs[3]["status"] == "skipped":
        # The tick came before the second attempt of the run before it: the next one covers both.
        assert runs[3]["reason"]
        return
    assert runs[3]["status"] == "success"
    assert runs[3]["interval_start"] == runs[2]["interval_end"] == "2026-03-02T05:00:00.000Z"
    end = datetime.fromisoformat(runs[3]["interval_end"])
    assert timedelta(0) <= datetime.now(UTC) - end < HOUR + timedelta(minutes=1)
    with home.client() as client:
        schedule = client.get("/pipelines/ticks").json()["schedule"]
    rules = {key: schedule[key] for key in ("cron", "timezone", "set_by", "catchup", "deadline")}
    assert rules == {
        "cron": "0 * * * *", "timezone": "Europe/Berlin", "set_by": "command",
        "catchup": "latest", "deadline": 7200.0,
    }  # fmt: skip
    assert datetime.fromisoformat(schedule["next"][0]) - end in (HOUR, 2 * HOUR)


def check_store(home: DaemonProcess) -> None:
    store = home.home / "tau.db"
    assert (file_revision(store), integrity_check(store)) == (HEAD, "ok")
    with closing(sqlite3.connect(store)) as opened:
        assert opened.execute("PRAGMA foreign_key_check").fetchall() == []
        with pytest.raises(sqlite3.IntegrityError, match="final status"):
            opened.execute("UPDATE runs SET status = 'queued' WHERE number = 2")


@pytest.mark.parametrize("dump", OF_FILES[-1:], ids=lambda path: path.stem)
def test_a_store_of_a_newer_version_is_refused_and_left_alone(home: DaemonProcess) -> None:
    store = home.home / "tau.db"
    with closing(sqlite3.connect(store)) as opened:
        opened.execute("UPDATE alembic_version SET version_num = '9999'")
        opened.commit()
    before = content(store)
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
    assert content(store) == before


def content(store: Path) -> list[str]:
    with closing(sqlite3.connect(store)) as opened:
        return list(opened.iterdump())
