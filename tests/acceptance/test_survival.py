"""A daemon that dies, stops or is started twice: nothing is lost, nothing is left over."""

import json
import os
import signal
import sqlite3
import stat
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.sources import HELLO, SLEEP
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]

TICKS = """
import time
from tau import pipeline

@pipeline
def ticks(ctx):
    for n in range(ctx.params["count"]):
        print("tick", n)
        time.sleep(0.02)
    return {"secret": len(ctx.secret("HOME")), "state": dict(ctx.state)}
"""

WAITS = """
import os, time
from tau import pipeline

@pipeline
def waits(ctx):
    print("waiting")
    while not os.path.exists(ctx.params["go"]):
        time.sleep(0.01)
"""


def begun(daemon: DaemonProcess, count: int) -> bool:
    """Whether that many attempts have started user code."""
    found = list((daemon.home / "runs").glob("*/*/events.jsonl"))
    return sum(1 for path in found if path.stat().st_size > 100) >= count


def start_run(daemon: DaemonProcess, name: str, **params: object) -> str:
    with daemon.client() as client:
        return str(client.post(f"/pipelines/{name}/runs", json={"params": params}).json()["id"])


def finished(daemon: DaemonProcess, run_id: str) -> dict[str, object]:
    with daemon.client() as client:
        document: dict[str, object] = client.get(f"/runs/{run_id}", params={"wait": 25}).json()
    return document


def test_killing_the_daemon_loses_no_running_attempt(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(TICKS)
    ids = [start_run(daemon, "ticks", count=100) for _ in range(3)]
    eventually(lambda: begun(daemon, 3))
    daemon.kill()
    daemon.start()
    for run_id in ids:
        run = finished(daemon, run_id)
        assert (run["status"], run["attempt"]) == ("success", 1)
        with daemon.client() as client:
            logs = client.get(f"/runs/{run_id}/logs", params={"limit": 1000}).json()
        assert [line["message"] for line in logs["logs"]] == [f"tick {n}" for n in range(100)]
    assert not list((daemon.home / "runs").iterdir())


def test_an_attempt_that_ends_while_the_daemon_is_away_keeps_its_outcome(
    make_daemon: Make,
) -> None:
    daemon = make_daemon().start()
    daemon.deploy(TICKS.replace('len(ctx.secret("HOME"))', "1").replace("dict(ctx.state)", "1"))
    run_id = start_run(daemon, "ticks", count=20)
    eventually(lambda: begun(daemon, 1))
    daemon.kill()
    eventually(lambda: list((daemon.home / "runs").glob("*/*/exit.json")))
    eventually(lambda: not daemon.descendants())
    daemon.start()
    run = finished(daemon, run_id)
    assert (run["status"], run["result"]) == ("success", {"secret": 1, "state": 1})


def test_a_supervisor_that_was_shot_is_a_crash_with_a_reason(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(SLEEP)
    run_id = start_run(daemon, "sleeper")
    eventually(lambda: begun(daemon, 1))
    with daemon.client() as client:
        eventually(lambda: client.get(f"/runs/{run_id}").json()["status"] == "running")
    attempt = daemon.home / "runs" / run_id / "1"
    holders = [
        process
        for process in daemon.descendants()
        if any(f.path == str(attempt / "lock") for f in process.open_files())
    ]
    assert len(holders) == 1
    holders[0].kill()
    run = finished(daemon, run_id)
    assert run["status"] == "crashed"
    assert run["reason"]
    eventually(lambda: len(daemon.descendants()) <= 2)


def test_queued_runs_survive(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_EXECUTOR__SLOTS="1").start()
    daemon.deploy(HELLO)
    daemon.deploy(SLEEP, "sleep.py")
    first = start_run(daemon, "sleeper", seconds=1)
    waiting = [start_run(daemon, "hello", n=n) for n in range(5)]
    daemon.kill()
    daemon.start()
    assert finished(daemon, first)["status"] == "success"
    assert [finished(daemon, run_id)["status"] for run_id in waiting] == ["success"] * 5


def test_stop_leaves_what_runs_to_be_adopted(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_DAEMON__DRAIN="0.2").start()
    daemon.deploy(TICKS)
    run_id = start_run(daemon, "ticks", count=150)
    eventually(lambda: begun(daemon, 1))
    assert daemon.stop(signal.SIGTERM) == 0
    assert not (daemon.home / "daemon.json").exists()
    daemon.start()
    assert finished(daemon, run_id)["status"] == "success"


def stored(daemon: DaemonProcess, run_id: str) -> tuple[str, int]:
    """Status and attempt of a run, looked up while no daemon is there."""
    with closing(sqlite3.connect(daemon.home / "tau.db")) as store:
        query = "SELECT status, attempt FROM runs WHERE id = ?"
        status, attempt = store.execute(query, (run_id,)).fetchone()
    return status, attempt


def test_stop_waits_for_what_ends_in_time(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_DAEMON__DRAIN="60").start()
    daemon.deploy(TICKS)
    run_id = start_run(daemon, "ticks", count=50)
    eventually(lambda: begun(daemon, 1))
    assert daemon.stop(signal.SIGTERM) == 0
    assert stored(daemon, run_id) == ("success", 1)
    assert not daemon.descendants()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_hurries(make_daemon: Make, tmp_path: Path, number: int) -> None:
    daemon, go = make_daemon(TAU_DAEMON__DRAIN="600").start(), tmp_path / "go"
    daemon.deploy(WAITS)
    run_id = start_run(daemon, "waits", go=str(go))
    eventually(lambda: begun(daemon, 1))
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    # Draining: what is asked for now is accepted, and left for the next daemon.
    later = eventually(lambda: queued_while_it_drains(daemon))
    assert daemon.process.poll() is None
    daemon.process.send_signal(number)
    assert daemon.process.wait(10) == 0
    assert stored(daemon, run_id) == ("running", 1)
    assert stored(daemon, later) == ("queued", 0)
    go.touch()
    daemon.start()
    for each in (run_id, later):
        run = finished(daemon, each)
        assert (run["status"], run["attempt"]) == ("success", 1)


def queued_while_it_drains(daemon: DaemonProcess) -> str | None:
    """A run that is asked for, where that shows that no run is begun any more."""
    run_id = start_run(daemon, "waits", go="/")
    with daemon.client() as client:
        run = client.get(f"/runs/{run_id}", params={"wait": 0.5}).json()
    return run_id if run["status"] == "queued" else None


def test_stop_kill_ends_what_runs_and_leaves_no_process(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(SLEEP)
    run_id = start_run(daemon, "sleeper")
    eventually(lambda: begun(daemon, 1))
    answer = daemon_command(daemon, "stop", "--kill")
    assert answer["stopped"] is True
    eventually(lambda: not daemon.descendants())
    daemon.start()
    run = finished(daemon, run_id)
    assert (run["status"], "--kill" in str(run["reason"])) == ("cancelled", True)


def daemon_command(daemon: DaemonProcess, *words: str, code: int = 0) -> dict[str, object]:
    done = subprocess.run(
        [BIN / "taud", *words],
        env=daemon.environment(),
        cwd=daemon.home,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == code, done.stdout + done.stderr
    document: dict[str, object] = json.loads(done.stdout)
    return document


def test_one_daemon_per_home(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    for words in (["start", "--port", "0"], ["start", "--daemon"]):
        error = daemon_command(daemon, *words, code=9)["error"]
        assert isinstance(error, dict)
        assert error["code"] == "daemon.already_running"
    shown = daemon_command(daemon, "status")
    assert (shown["running"], shown["url"]) == (True, daemon.url)


def test_status_and_stop_without_a_daemon(make_daemon: Make) -> None:
    daemon = make_daemon()
    daemon.home.mkdir()
    assert daemon_command(daemon, "status")["running"] is False
    error = daemon_command(daemon, "stop", code=8)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "daemon.not_running"


def test_files_of_the_home_are_private(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(HELLO)
    daemon.run("hello")
    assert stat.S_IMODE(daemon.home.stat().st_mode) == 0o700
    for name in ("credentials", "daemon.json", "node_id"):
        assert stat.S_IMODE((daemon.home / name).stat().st_mode) == 0o600


def test_the_key_is_kept_and_never_written_elsewhere(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    key = daemon.key
    daemon.deploy(HELLO)
    daemon.run("hello")
    shown = [
        " ".join(process.cmdline()) + json.dumps(process.environ())
        for process in daemon.descendants()
    ]
    assert len(shown) >= 2
    assert not [text for text in shown if key in text]
    for path in daemon.home.rglob("*"):
        if path.is_file() and path.name != "credentials":
            assert key.encode() not in path.read_bytes(), path
    daemon.kill()
    daemon.start()
    assert daemon.key == key


@pytest.mark.parametrize("mode", [0o644, 0o640])
def test_a_key_that_others_can_read_is_refused(make_daemon: Make, mode: int) -> None:
    daemon = make_daemon().start()
    daemon.stop()
    os.chmod(daemon.home / "credentials", mode)
    error = daemon_command(daemon, "start", "--port", "0", code=6)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "security.unsafe_file"


@pytest.mark.parametrize(
    ("arguments", "settings", "code", "exit_code"),
    [
        (["--host", "::"], "", "security.bind_refused", 2),
        (["--host", "192.0.2.1", "--allow-remote"], "", "security.bind_refused", 2),
        ([], "[daemon]\nprot = 1\n", "config.invalid", 2),
        ([], "[database]\nurl = 'mysql://x/y'\n", "config.invalid", 2),
        ([], "[database]\nurl = 'postgresql://u@127.0.0.1:1/x'\n", "store.unavailable", 7),
    ],
)
def test_a_start_that_is_refused(
    make_daemon: Make, arguments: list[str], settings: str, code: str, exit_code: int
) -> None:
    daemon = make_daemon()
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "tau.toml").write_text(settings)
    words = ("start", "--port", "0", *arguments)
    error = daemon_command(daemon, *words, code=exit_code)["error"]
    assert isinstance(error, dict)
    assert error["code"] == code
    if settings.startswith("[daemon]"):
        assert error["line"] == 2
        assert Path(str(error["file"])) == daemon.home / "tau.toml"


def test_a_taken_port(make_daemon: Make) -> None:
    first = make_daemon("first").start()
    port = str(first.info()["port"])  # type: ignore[index]
    second = make_daemon("second")
    second.home.mkdir(mode=0o700)
    error = daemon_command(second, "start", "--port", port, code=7)["error"]
    assert isinstance(error, dict)
    assert error["code"] == "daemon.start_failed"
    second.start("--port", port, "--free-port")
    assert second.info()["port"] != int(port)  # type: ignore[index]


def test_a_hundred_at_once_leave_no_process(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(HELLO)
    ids = [start_run(daemon, "hello", n=n) for n in range(100)]
    runs = [finished(daemon, run_id) for run_id in ids]
    assert {run["status"] for run in runs} == {"success"}
    assert [run["result"]["params"] for run in runs] == [{"n": n} for n in range(100)]  # type: ignore[index]
    eventually(lambda: len(daemon.descendants()) == 2)
    assert daemon.process is not None
    tree = psutil.Process(daemon.process.pid).children(recursive=True)
    eventually(lambda: not [p for p in tree if p.is_running() and p.status() == "zombie"])
    assert not list((daemon.home / "runs").iterdir())
