"""Bad days: the store is locked, its disk is full, its server is gone, the clock is set.

What was acknowledged is kept, what runs goes on, what can't be done now is said to be so, and all
of it passes by itself.
"""

import resource
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.daemon.test_doctor import examine, ill
from tests.faults.witness import Witness
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.database import PostgresServer
from tests.fixtures.waiting import eventually

from tau.core.database import BUSY_TIMEOUT_S, integrity_check

Make = Callable[..., DaemonProcess]

MEGABYTE = 1024 * 1024
RECOVERS_WITHIN_S = 5.0
BUSY_S = 2 * BUSY_TIMEOUT_S
LOCKED_S = 10.0

LOCKER = """
import sqlite3, sys
store = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
store.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
store.execute("ROLLBACK")
"""


@contextmanager
def write_lock(store: Path) -> Iterator[None]:
    """Another process that holds SQLite's write lock meanwhile."""
    command = [sys.executable, "-c", LOCKER, str(store)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        try:
            yield
        finally:
            other.stdin.close()


def ask(client: httpx.Client, name: str, **params: Any) -> str | None:
    """The id of a run that was accepted; None where it was refused as it has to be."""
    answer = client.post(f"/pipelines/{name}/runs", json={"params": params})
    if answer.status_code == 202:
        return str(answer.json()["id"])
    check_refusal(answer)
    return None


def check_refusal(answer: httpx.Response) -> None:
    """Nothing but the plain word that the store is not there, and when to come back."""
    assert answer.status_code == 503, answer.text
    problem = answer.json()
    assert (problem["code"], problem["retry"]) == ("store.unavailable", "after_wait")
    assert int(answer.headers["Retry-After"]) >= 1
    assert "sqlite" not in answer.text
    assert "database is locked" not in answer.text


def check_reads(client: httpx.Client, run_id: str) -> None:
    for path in (f"/runs/{run_id}", "/runs", "/errors", "/pipelines", "/status"):
        answer = client.get(path)
        assert answer.status_code == 200, f"{path}: {answer.text}"


def check_ends(daemon: DaemonProcess, run_ids: list[str], witness: Witness) -> None:
    """Each of these runs has succeeded at the first attempt, and has done its work once."""
    with daemon.client() as client:
        for run_id in run_ids:
            run = client.get(f"/runs/{run_id}", params={"wait": 30}).json()
            assert (run["status"], run["attempt"]) == ("success", 1), run
    completions = witness.completions()
    assert {run_id: completions[run_id] for run_id in run_ids} == dict.fromkeys(run_ids, 1)
    assert not witness.started_twice()


def check_log(text: str, *, lines: int) -> None:
    """Troubles are told when they begin and when they end, and none is a surprise."""
    assert "Traceback" not in text, text[-4000:]
    assert 0 < text.count("trying again") <= lines, text[-4000:]
    assert text.count("over after") > 0


# --- the write lock of SQLite ----------------------------------------------------------------


def test_another_process_holds_the_write_lock(make_daemon: Make, tmp_path: Path) -> None:
    daemon, witness = make_daemon().start(), Witness(tmp_path / "witness")
    daemon.deploy(witness.source)
    store = daemon.home / "tau.db"
    with daemon.client() as client:
        accepted = [ask(client, "once", ms=ms) for ms in (10, 1000, 2500, 4000, 8000)]
        eventually(lambda: len({e.run_id for e in witness.effects()}) >= 4)
        with write_lock(store), ThreadPoolExecutor() as pool:
            until = time.monotonic() + LOCKED_S
            writers = [pool.submit(write, daemon, until, str(n)) for n in range(3)]
            reader = pool.submit(read, daemon, until, str(accepted[0]))
            command = pool.submit(daemon.tau, "run", "once", "--detach")
            assert sum(writer.result() for writer in writers) >= 3
            assert reader.result() > 10
        by_command = command.result()
        if by_command.exit_code != 0:  # it asks again while it may, and says so then
            assert by_command.json["error"]["code"] == "store.unavailable"
        assert "database is locked" not in by_command.stdout + by_command.stderr
        accepted.append(eventually(lambda: ask(client, "once"), within=RECOVERS_WITHIN_S))
        # A client that asks again with its key finds what was refused or accepted before.
        for n in range(3):
            accepted.append(once(client, str(n)))
            assert accepted[-1] == once(client, str(n))
    check_ends(daemon, [run_id for run_id in accepted if run_id], witness)
    daemon.stop()
    text = (daemon.home / "test.log").read_text()
    check_log(text, lines=8)
    assert "database is locked" not in text
    assert integrity_check(store) == "ok"


def write(daemon: DaemonProcess, until: float, key: str) -> int:
    """Ask for one run again and again while nobody can write; how often that was refused."""
    refused = 0
    with daemon.client() as client:
        while time.monotonic() < until:
            asked_at = time.monotonic()
            assert once(client, key) is None
            assert time.monotonic() - asked_at < BUSY_S + 1
            refused += 1
    return refused


def read(daemon: DaemonProcess, until: float, run_id: str) -> int:
    """Ask for all that can be read meanwhile; how often."""
    count = 0
    with daemon.client() as client:
        while time.monotonic() < until:
            asked_at = time.monotonic()
            check_reads(client, run_id)
            assert time.monotonic() - asked_at < BUSY_TIMEOUT_S
            count += 1
    return count


def test_a_short_lock_is_waited_for(make_daemon: Make, tmp_path: Path) -> None:
    daemon, witness = make_daemon().start(), Witness(tmp_path / "witness")
    daemon.deploy(witness.source)
    script = LOCKER.replace("sys.stdin.read()", "import time; time.sleep(0.4)")
    accepted = []
    with daemon.client() as client:
        for _ in range(5):
            command = [sys.executable, "-c", script, str(daemon.home / "tau.db")]
            with subprocess.Popen(command, stdout=subprocess.PIPE) as other:
                assert other.stdout is not None
                other.stdout.readline()
                accepted.append(ask(client, "once"))
    assert None not in accepted
    check_ends(daemon, [run_id for run_id in accepted if run_id], witness)
    assert "trying again" not in (daemon.home / "test.log").read_text()


# --- a full disk -----------------------------------------------------------------------------


class SmallDisk:
    """A daemon whose home has little room, and who fills and frees it."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self.daemon = daemon

    def start(self) -> DaemonProcess:
        raise NotImplementedError

    def fill(self) -> None:
        raise NotImplementedError

    def free(self) -> None:
        raise NotImplementedError


class Tmpfs(SmallDisk):
    """A file system of its own, in the daemon's own namespace: it goes with the process."""

    def start(self) -> DaemonProcess:
        home = self.daemon.home
        home.mkdir(mode=0o700)
        mount = f"mount -t tmpfs -o size=12m,mode=700 tmpfs {home} && cd {home}"
        script = f"{mount} && exec {BIN / 'taud'} start --port 0"
        with home.with_suffix(".log").open("ab") as log:
            self.daemon.process = subprocess.Popen(
                ["unshare", "-rm", "sh", "-c", script],
                env=self.daemon.environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.daemon.home = Path(f"/proc/{self.daemon.process.pid}/root{home}")
        eventually(self.daemon.is_up, within=30)
        return self.daemon

    def fill(self) -> None:
        with open(self.daemon.home / "filler", "wb", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(4096))
            except OSError:
                return

    def free(self) -> None:
        (self.daemon.home / "filler").unlink()


class FileLimit(SmallDisk):
    """A limit on the size of files, which is one for the store's file alone."""

    def start(self) -> DaemonProcess:
        return self.daemon.start()

    def fill(self) -> None:
        # SQLite overwrites what it has: only a file that has to grow meets the limit.
        size = (self.daemon.home / "tau.db-wal").stat().st_size
        self._limit(size)

    def free(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        assert self.daemon.process is not None
        limits = (size, resource.RLIM_INFINITY)
        resource.prlimit(self.daemon.process.pid, resource.RLIMIT_FSIZE, limits)


def may_mount() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0


@pytest.mark.parametrize("kind", [Tmpfs, FileLimit])
def test_a_full_disk(make_daemon: Make, tmp_path: Path, kind: type[SmallDisk]) -> None:
    if kind is Tmpfs and not may_mount():
        pytest.skip("no file system can be mounted here")
    witness = Witness(tmp_path / "witness")
    disk = kind(make_daemon())
    daemon = disk.start()
    daemon.deploy(witness.source)
    with daemon.client() as client:
        accepted = [ask(client, "once", ms=ms) for ms in (3000, 1500, 500)]
        eventually(lambda: len({e.run_id for e in witness.effects()}) == 3)
        disk.fill()
        for _ in range(500):
            run_id = ask(client, "once", padding="x" * 2000)
            if run_id is None:
                break
            accepted.append(run_id)
        else:
            pytest.fail("the disk never was full")
        eventually(lambda: len(witness.completions()) >= 3)
        check_reads(client, str(accepted[0]))
        assert ask(client, "once", padding="x" * 2000) is None
        if kind is Tmpfs:
            assert "disk" in ill(examine(daemon))
        disk.free()
        accepted.append(eventually(lambda: ask(client, "once"), within=RECOVERS_WITHIN_S))
    check_ends(daemon, [run_id for run_id in accepted if run_id], witness)
    for name in ("tau.db", "tau.db-wal"):  # out of a name space that ends with the daemon
        shutil.copyfile(daemon.home / name, tmp_path / name)
    with closing(sqlite3.connect(tmp_path / "tau.db")) as store:
        assert store.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


# --- a server that crashes -------------------------------------------------------------------


def test_postgresql_crashes_while_runs_are_under_way(
    make_daemon: Make, tmp_path: Path, own_postgres: PostgresServer
) -> None:
    witness = Witness(tmp_path / "witness")
    daemon = make_daemon(TAU_DATABASE_URL=own_postgres.url).start()
    daemon.deploy(witness.source)
    accepted: list[str] = []
    with daemon.client() as client:
        for turn in range(4):
            wanted = {f"{turn}-{n}": None for n in range(6)}
            for number, key in enumerate(wanted):
                accepted.append(eventually(lambda k=key, n=number: once(client, k, ms=300 * n)))
            own_postgres.stop()
            assert refused(client)
            own_postgres.start()
            eventually(lambda: client.get("/runs").status_code == 200, within=3)
    assert len(set(accepted)) == 24
    check_ends(daemon, accepted, witness)
    check_log((daemon.home / "test.log").read_text(), lines=4 * 6)


def once(client: httpx.Client, key: str, **params: Any) -> str | None:
    """Ask for a run under an Idempotency-Key."""
    answer = client.post(
        "/pipelines/once/runs", json={"params": params}, headers={"Idempotency-Key": key}
    )
    if answer.status_code != 202:
        check_refusal(answer)
        return None
    return str(answer.json()["id"])


def refused(client: httpx.Client) -> bool:
    """Reads and writes are, while there is no server."""
    for answer in (client.get("/runs"), client.post("/pipelines/once/runs", json={})):
        check_refusal(answer)
    return client.get(str(client.base_url.copy_with(path="/healthz"))).status_code == 200
