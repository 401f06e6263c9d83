"""A backup taken under load, restored into a fresh home: whole, recovered, and it goes on."""

import asyncio
import itertools
import sqlite3
import subprocess
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.database import execute_on, sibling
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]

SOURCE = """
import os, time
from tau import pipeline

@pipeline
def quick(ctx):
    for number in range(40):
        print("line", number)
    return {"n": ctx.params["n"]}

@pipeline
def slow(ctx):
    while not os.path.exists(ctx.params["until"]):
        time.sleep(0.01)

@pipeline(retries=1, retry_delay=0)
def again(ctx):
    while ctx.attempt == 1 and not os.path.exists(ctx.params["until"]):
        time.sleep(0.01)
    return ctx.attempt
"""


@dataclass
class Load:
    """Runs asked for one after the other by a thread, until told to stop."""

    daemon: DaemonProcess
    answered: list[dict[str, Any]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> "Load":
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        with self.daemon.client() as client:
            for n in itertools.count():
                if self._stop.is_set():
                    return
                made = client.post("/pipelines/quick/runs", json={"params": {"n": n}})
                assert made.status_code == 202, made.text
                self.answered.append(made.json())


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Iterator[Callable[[], dict[str, str]]]:
    """Makes the variables of a daemon with an empty store of its own."""
    if request.param == "sqlite":
        yield dict
        return
    server, made = request.getfixturevalue("postgres_server"), []

    def make() -> dict[str, str]:
        made.append(f"tau_backup_{uuid.uuid4().hex[:12]}")
        asyncio.run(execute_on(server, f"CREATE DATABASE {made[-1]}"))
        return {"TAU_DATABASE_URL": sibling(server, made[-1])}

    yield make
    for name in made:
        asyncio.run(execute_on(server, f"DROP DATABASE {name} WITH (FORCE)"))


def restore(backup: Path, fresh: DaemonProcess) -> None:
    """As the backup's answer and the README say."""
    if "TAU_DATABASE_URL" in fresh.env:
        target = f"--dbname={fresh.env['TAU_DATABASE_URL']}"
        subprocess.run(["pg_restore", "--no-owner", "--exit-on-error", target, backup], check=True)
        return
    fresh.home.mkdir(mode=0o700)
    subprocess.run(["install", "-m", "600", backup, fresh.home / "tau.db"], check=True)


def is_whole(file: Path) -> bool:
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        broken = connection.execute("PRAGMA foreign_key_check").fetchall()
        return connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)] and not broken


@pytest.mark.timeout(180)
def test_a_backup_under_load_restores_and_goes_on(
    make_daemon: Make, tmp_path: Path, store: Callable[[], dict[str, str]]
) -> None:
    daemon, until = make_daemon(**store()).start(), tmp_path / "go on"
    daemon.deploy(SOURCE)
    for name in ("slow", "again"):
        with daemon.client() as client:
            client.post(f"/pipelines/{name}/runs", json={"params": {"until": str(until)}})
            running = lambda n=name: client.get(f"/runs/{n}%40last").json()["status"] == "running"  # noqa: E731, B023
            eventually(running, within=20)
    backup = tmp_path / "tau.backup"
    with Load(daemon) as load:
        eventually(lambda: len(load.answered) > 10, within=30)
        before = list(load.answered)
        done = daemon.tau("db", "backup", str(backup), "--reason", "nightly")
        assert done.exit_code == 0, done.stdout
        after = len(load.answered)
        eventually(lambda: len(load.answered) > after + 3, within=30)
    assert done.json["bytes"] == backup.stat().st_size
    with daemon.client() as client:
        [entry] = client.get("/audit", params={"action": "db.backup"}).json()["entries"]
    assert (entry["reason"], entry["detail"]["file"]) == ("nightly", str(backup))
    until.touch()
    daemon.stop()

    fresh = make_daemon("fresh", **store())
    restore(backup, fresh)
    if not fresh.env:
        assert is_whole(fresh.home / "tau.db")
        until.unlink()
    fresh.start()
    with fresh.client() as client:
        # What was answered before the backup is in it, and comes to its end here.
        for run in before:
            told = client.get(f"/runs/{run['id']}", params={"wait": 30}).json()
            assert told["status"] in ("success", "crashed"), told
        # Who executed them is gone: by their leases where daemons share a store.
        crashed = lambda: client.get("/runs/slow%40last").json()["status"] == "crashed"  # noqa: E731
        eventually(crashed, within=90)
        retried = lambda: client.get("/runs/again%40last").json()  # noqa: E731
        eventually(lambda: retried()["status"] == "success", within=90)
        assert retried()["attempt"] == 2
        assert retried()["result"] == 2
    assert fresh.run("quick", n=-1)["result"] == {"n": -1}
    again = fresh.tau("deploy", str(_changed(tmp_path)))
    assert again.exit_code == 0, again.stdout
    assert fresh.tau("status").json["runs"]["total"] > len(before)
    fresh.stop()
    if not fresh.env:
        assert is_whole(fresh.home / "tau.db")


def _changed(folder: Path) -> Path:
    file = folder / "file.py"
    file.write_text(SOURCE + "\n# another version\n")
    return file


def test_a_backup_of_a_remote_daemon_needs_an_absolute_path(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    as_remote = {"TAU_HOST": daemon.url, "TAU_API_KEY": daemon.key}
    refused = daemon.tau("db", "backup", "tau.backup", **as_remote)
    assert (refused.exit_code, refused.json["error"]["code"]) == (2, "usage.invalid")
    assert "absolute" in refused.json["error"]["message"]
    place = daemon.home / "far.backup"
    done = daemon.tau("db", "backup", str(place), **as_remote)
    assert done.exit_code == 0, done.stdout
    assert is_whole(place)
