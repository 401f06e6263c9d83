"""Runs per second with 100 trivial runs triggered at once, and the CPU that each of them takes."""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.bare import BareZygote
from benchmarks.figures import Figure, Goal, Samples
from benchmarks.processes import cpu_of, zygote_of
from benchmarks.server import ROOT, Daemon, environment, wait
from benchmarks.wire import Connection
from benchmarks.worker_alone import SOURCE

RUNS, CONNECTIONS = 100, 10
WARM_UPS, ROUNDS = 1, 7
SETTLE_S = 0.5
UNFINISHED = "status=queued&status=starting&status=running"


def measure() -> list[Figure]:
    with BareZygote() as bare, _WorkerAlone() as worker, Daemon() as daemon:
        daemon.deploy(SOURCE, "trivial.py")
        rounds = [
            (*_run_all(daemon), worker.rate(), _fork_all(bare)) for _ in range(WARM_UPS + ROUNDS)
        ][WARM_UPS:]
    columns = [Samples(column) for column in zip(*rounds, strict=True)]
    rate, daemon_cpu, zygote_cpu, attempt_cpu, alone, bare_rate = columns
    goal = Goal(at_least=60, aim=90)
    return [
        Figure("trivial runs, 100 at once", "per s", rate, alone, "LocalWorker alone", goal),
        Figure("trivial runs, 100 at once", "per s", rate, bare_rate, "bare fork-and-supervise"),
        Figure("CPU a run, daemon", "ms", daemon_cpu),
        Figure("CPU a run, zygote", "ms", zygote_cpu),
        Figure("CPU a run, supervisor and child", "ms", attempt_cpu),
    ]


def _run_all(daemon: Daemon) -> tuple[float, float, float, float]:
    """Runs per second from the first request to the answer that none is left; CPU a run."""
    zygote = zygote_of(daemon.process.pid)
    before = cpu_of(daemon.process.pid), cpu_of(zygote)
    connections = [daemon.connect() for _ in range(CONNECTIONS)]
    begin = time.perf_counter()
    for number in range(RUNS):
        path = "/api/v1/pipelines/trivial/runs"
        connections[number % CONNECTIONS].send("POST", path, {})
    made = [connections[number % CONNECTIONS].receive() for number in range(RUNS)]
    wait(connections[0], max(run["id"] for run in made))
    while _is_any_left(connections[0]):
        time.sleep(0.005)
    lasted = time.perf_counter() - begin
    for connection in connections:
        connection.socket.close()
    time.sleep(SETTLE_S)  # the zygote collects the last supervisors, the daemon their files
    own = cpu_of(daemon.process.pid) - before[0]
    theirs = cpu_of(zygote) - before[1]
    return RUNS / lasted, own.own / RUNS, theirs.own / RUNS, theirs.children / RUNS


def _is_any_left(connection: Connection) -> bool:
    answer = connection.call("GET", f"/api/v1/runs?limit=1&{UNFINISHED}")
    return bool(answer["total"])


def _fork_all(bare: BareZygote) -> float:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        fifo = Path(folder) / "fifo"
        os.mkfifo(fifo)
        end = os.open(fifo, os.O_RDWR)
        begin = time.perf_counter()
        bare.ask(RUNS, fifo)
        bare.wait()
        lasted = time.perf_counter() - begin
        os.close(end)
    return RUNS / lasted


class _WorkerAlone:
    """`benchmarks.worker_alone` as a process."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker_alone"],
            env=environment(), cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> "_WorkerAlone":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=30)

    def rate(self) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{RUNS}\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())
