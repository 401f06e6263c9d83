"""`tau list` as a whole process, beside a Typer program that makes one GET to the same daemon."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.figures import Figure, Goal, Samples
from benchmarks.server import BIN, ROOT, Daemon
from benchmarks.worker_alone import SOURCE

WARM_UPS, ROUNDS = 3, 30
PIPELINES = 5
LAUNCHER = f"""\
import sys
sys.path.insert(0, {str(ROOT)!r})
from benchmarks.typer_peer import app
app()
"""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder, Daemon() as daemon:
        for number in range(PIPELINES):
            daemon.deploy(SOURCE.replace("trivial", f"trivial_{number}"), f"trivial_{number}.py")
        peer = Path(folder) / "peer"
        peer.write_text(LAUNCHER)
        env = daemon.env | {
            "PEER_URL": f"http://127.0.0.1:{daemon.port}",
            "PEER_KEY": daemon.key,
            "TAU_AUTOSTART": "0",
        }
        rounds = [
            (*_time([BIN / "tau", "list"], env), *_time([sys.executable, peer, "list"], env))
            for _ in range(WARM_UPS + ROUNDS)
        ][WARM_UPS:]
    wall, cpu, peer_wall, peer_cpu = (Samples(column) for column in zip(*rounds, strict=True))
    goal = Goal(ratio_at_most=1.25)
    return [
        Figure("tau list, a whole process", "ms", wall, peer_wall, "Typer and one GET", goal),
        Figure("tau list, its CPU", "ms", cpu, peer_cpu, "Typer and one GET"),
    ]


def _time(command: Sequence[str | Path], env: dict[str, str]) -> tuple[float, float]:
    """Milliseconds of wall time and of CPU from start to end of a process."""
    begin = time.perf_counter()
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    lasted = (time.perf_counter() - begin) * 1e3
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, command
    return lasted, (used.ru_utime + used.ru_stime) * 1e3
