"""A run that prints 40,000 lines: how soon they are stored, and how fast they are read."""

import time

from benchmarks.figures import Figure, Samples
from benchmarks.server import Daemon
from benchmarks.wire import Connection

LINES = 40_000
ROUNDS, READS = 3, 20

SOURCE = f"""\
import time
from tau import pipeline

@pipeline
async def talkative(ctx):
    begin = time.time()
    for number in range({LINES}):
        print(f"line {{number}}: one of many that a pipeline says while it works")
    return {{"printing_s": time.time() - begin, "ended_at": time.time()}}
"""


def measure() -> list[Figure]:
    with Daemon() as daemon, daemon.connect() as connection:
        daemon.deploy(SOURCE, "talkative.py")
        printing, storing = [], []
        for _ in range(ROUNDS):
            run = daemon.run("talkative", connection)
            storing.append(time.time() - run["result"]["ended_at"])
            printing.append(run["result"]["printing_s"])
        path = f"/api/v1/runs/{run['id']}/logs"
        page = _reads(connection, path)
        search = _reads(connection, f"{path}?grep=line%2012345:")
    return [
        Figure("40,000 lines: to print them", "s", Samples(printing)),
        Figure("40,000 lines: from there to stored", "s", Samples(storing)),
        Figure("40,000 lines: the newest page", "ms", page),
        Figure("40,000 lines: a search", "ms", search),
    ]


def _reads(connection: Connection, path: str) -> Samples:
    times = []
    for _ in range(READS + 1):
        begin = time.perf_counter()
        answer = connection.call("GET", path)
        times.append((time.perf_counter() - begin) * 1e3)
        assert answer["logs"], answer
    return Samples(times[1:])
