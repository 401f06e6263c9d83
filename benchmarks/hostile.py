"""How long the API takes to answer while eleven hostile pipelines do their worst, all at once."""

import re
import time
from collections.abc import Callable

from tests.fixtures.hostile import HOSTILE, SETTINGS

from benchmarks.figures import Figure, Goal, Samples, one
from benchmarks.server import Daemon
from benchmarks.wire import Connection

QUIET_REQUESTS, PAUSE_S, ROUNDS = 300, 0.005, 3


def measure() -> list[Figure]:
    with Daemon(**SETTINGS) as daemon, daemon.connect() as connection:
        daemon.deploy(HOSTILE, "hostile.py")
        names = re.findall(r"^(?:async )?def (\w+)\(ctx\)", HOSTILE, re.M)
        quiet = _times(connection, lambda count: count < QUIET_REQUESTS)
        meanwhile: list[float] = []
        for _ in range(ROUNDS):
            for name in names:
                connection.call("POST", f"/api/v1/pipelines/{name}/runs", {})
            meanwhile += _times(connection, lambda _: not _are_over(connection, len(names)))
    during, before = Samples(meanwhile), Samples(quiet)
    goal = Goal(at_most=200)
    return [
        Figure("GET /runs, eleven hostile at once", "ms", during, before, "before them"),
        Figure("its p99", "ms", one(during.p99), one(before.p99), "before them", goal),
    ]


def _times(connection: Connection, goes_on: Callable[[int], bool]) -> list[float]:
    """Milliseconds of each of many requests, with a pause between them."""
    found: list[float] = []
    while goes_on(len(found)):
        begin = time.perf_counter()
        connection.call("GET", "/api/v1/runs")
        found.append((time.perf_counter() - begin) * 1e3)
        time.sleep(PAUSE_S)
    return found


def _are_over(connection: Connection, count: int) -> bool:
    newest = connection.call("GET", f"/api/v1/runs?limit={count}")["runs"]
    return all(row["status"] not in ("queued", "starting", "running") for row in newest)
