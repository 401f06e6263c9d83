"""`taud doctor` as a process: what is well is said to be so, and each illness has its name."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.sources import SLEEP
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]
NAMES = [
    "python", "sqlite", "settings", "home", "disk", "store", "daemon", "clock", "processes", "uv",
]  # fmt: skip


def examine(daemon: DaemonProcess) -> dict[str, dict[str, Any]]:
    """The checks by name. It exits 0 whatever it finds."""
    cwd = daemon.home if daemon.home.exists() else daemon.home.parent
    done = subprocess.run(
        [BIN / "taud", "doctor"],
        env=daemon.environment(),
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    document = json.loads(done.stdout)
    checks = {check["name"]: check for check in document["checks"]}
    assert list(checks) == NAMES
    assert document["ok"] == all(check["ok"] for check in checks.values())
    assert all(check["message"] for check in checks.values())
    return checks


def ill(checks: dict[str, dict[str, Any]]) -> list[str]:
    return [name for name, check in checks.items() if not check["ok"]]


def listing(home: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in home.rglob("*")}


def free_port() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_a_home_that_is_not_there_yet(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT=free_port())
    checks = examine(daemon)
    assert ill(checks) == []
    assert not daemon.home.exists()
    assert sqlite3.sqlite_version in checks["sqlite"]["message"]
    has_bug = sqlite3.sqlite_version_info < (3, 51, 3)
    assert ("WAL-reset" in checks["sqlite"]["message"], "hint" in checks["sqlite"]) == (
        has_bug, has_bug,
    )  # fmt: skip


def test_a_daemon_at_work_and_after_its_end(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT=free_port()).start()
    daemon.deploy(SLEEP)
    with daemon.client() as client:
        run_id = client.post("/pipelines/sleeper/runs", json={}).json()["id"]
        eventually(lambda: client.get(f"/runs/{run_id}").json()["status"] == "running")
    checks = examine(daemon)
    assert ill(checks) == []
    assert "1 attempts execute" in checks["processes"]["message"]
    assert daemon.url in checks["daemon"]["message"]
    daemon.kill()
    checks = examine(daemon)
    assert ill(checks) == []
    assert "1 attempts go on" in checks["processes"]["message"]
    assert "whole" in checks["store"]["message"]
    daemon.start()
    daemon.stop()
    before = listing(daemon.home)
    assert ill(examine(daemon)) == []
    assert listing(daemon.home) == before


def test_what_others_may_read(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT=free_port()).start()
    daemon.stop()
    os.chmod(daemon.home / "credentials", 0o644)
    checks = examine(daemon)
    assert ill(checks) == ["home"]
    assert "credentials has 0644" in checks["home"]["message"]
    assert checks["home"]["hint"]


def test_stores_that_can_not_be_used(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT=free_port()).start()
    daemon.deploy(SLEEP)
    daemon.stop()
    store = daemon.home / "tau.db"
    with closing(sqlite3.connect(store)) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.commit()
    checks = examine(daemon)
    assert ill(checks) == ["store"]
    assert "9999" in checks["store"]["message"]
    whole = store.read_bytes()
    store.write_bytes(whole[:8192] + os.urandom(len(whole) - 8192))
    checks = examine(daemon)
    assert ill(checks) == ["store"]
    assert "damaged" in checks["store"]["message"]


def test_settings_and_servers_that_are_wrong(make_daemon: Make) -> None:
    daemon = make_daemon()
    daemon.home.mkdir(mode=0o700)
    settings = daemon.home / "tau.toml"
    settings.write_text("[daemon]\nprot = 1\n")
    assert ill(examine(daemon)) == ["settings", "store"]
    settings.write_text("[database]\nurl = 'postgresql://u@127.0.0.1:1/x'\n[daemon]\nport = 0\n")
    assert ill(examine(daemon)) == ["store"]
    settings.write_text("[daemon]\nhost = '192.0.2.1'\n")
    assert ill(examine(daemon)) == ["daemon"]


def test_a_port_that_is_taken(make_daemon: Make) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        daemon = make_daemon(TAU_PORT=str(other.getsockname()[1]))
        checks = examine(daemon)
    assert ill(checks) == ["daemon"]
    assert "--free-port" in checks["daemon"]["hint"]


def test_a_clock_that_was_set(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    announced = daemon.home / "daemon.json"
    document = json.loads(announced.read_text())
    began = datetime.fromisoformat(document["started_at"]) + timedelta(hours=1)
    announced.write_text(json.dumps(document | {"started_at": began.isoformat()}))
    checks = examine(daemon)
    assert ill(checks) == ["clock"]
    assert "-36" in checks["clock"]["message"]


@contextmanager
def unknown_supervisor(home: Path) -> Iterator[int]:
    """A process with the looks of a supervisor, on an attempt that no store knows."""
    attempt = home / "runs" / ("0" * 26) / "1"
    attempt.mkdir(parents=True)
    (attempt / "lock").touch()
    script = "import sys; lock = open(sys.argv[1]); print('up', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", script, attempt / "lock", "tau.workers.supervisor"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_processes_that_nobody_has_to_do_with(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT=free_port()).start()
    with unknown_supervisor(daemon.home) as pid:
        checks = examine(daemon)
        assert ill(checks) == ["processes"]
        assert str(pid) in checks["processes"]["message"]
    assert ill(examine(daemon)) == []
    assert daemon.process is not None
    [zygote] = psutil.Process(daemon.process.pid).children()
    zygote.send_signal(signal.SIGSTOP)
    try:
        daemon.kill()
        checks = examine(daemon)
        assert ill(checks) == ["processes"]
        assert str(zygote.pid) in checks["processes"]["message"]
    finally:
        zygote.kill()
    eventually(lambda: ill(examine(daemon)) == [])
