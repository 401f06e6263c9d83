"""What an idle home costs: memory (PSS over all its processes) and CPU."""

import time

from benchmarks.figures import Figure, Goal, Samples, one
from benchmarks.processes import cpu_of, pss_of, tree_of
from benchmarks.server import Daemon, Hello
from benchmarks.worker_alone import SOURCE

SETTLE_S, WINDOW_S, WINDOWS = 3.0, 5.0, 3
RUNS = 50


def measure() -> list[Figure]:
    with Hello() as hello, Daemon() as daemon:
        time.sleep(SETTLE_S)
        floor = one(pss_of(tree_of(hello.process.pid)))
        fresh = one(pss_of(tree_of(daemon.process.pid)))
        daemon.deploy(SOURCE, "trivial.py")
        with daemon.connect() as connection:
            for _ in range(RUNS):
                daemon.run("trivial", connection)
        time.sleep(SETTLE_S)
        used = one(pss_of(tree_of(daemon.process.pid)))
        cpu = Samples([_cpu_share(daemon.process.pid) for _ in range(WINDOWS)])
    beside, goal = "FastAPI hello world", Goal(at_most=120)
    return [
        Figure("idle memory, just started", "MB", fresh, floor, beside, goal),
        Figure(f"idle memory, after {RUNS} runs", "MB", used, floor, beside, goal),
        Figure("idle CPU", "%", cpu, goal=Goal(at_most=1)),
    ]


def _cpu_share(pid: int) -> float:
    """Percent of one core over the window, all processes of the home together."""
    pids = tree_of(pid)
    before = sum(cpu_of(member).own for member in pids)
    time.sleep(WINDOW_S)
    spent = sum(cpu_of(member).own for member in pids) - before
    return spent / (WINDOW_S * 1e3) * 100
