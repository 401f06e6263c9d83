"""From the sending of `POST …/runs` to the first line of the pipeline's function."""

import os
import select
import tempfile
import time
from pathlib import Path

from benchmarks.bare import BareZygote
from benchmarks.figures import Figure, Goal, Samples
from benchmarks.server import Daemon, wait
from benchmarks.wire import Connection

WARM_UPS, ROUNDS = 10, 100
PATIENCE_S = 30
PAUSE_S = 0.03  # what a run leaves to be cleaned up is not to disturb the next one

SOURCE = """\
import os
from tau import pipeline

@pipeline(params={"fifo": ""})
async def first_line(ctx):
    os.write(os.open(ctx.params["fifo"], os.O_WRONLY), b"x")
"""


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        fifo = Path(folder) / "fifo"
        os.mkfifo(fifo)
        end = os.open(fifo, os.O_RDWR)  # for writing too: never at its end
        try:
            with BareZygote() as bare, Daemon() as daemon, daemon.connect() as connection:
                daemon.deploy(SOURCE, "first_line.py")
                rounds = [
                    (*_trigger(connection, fifo, end), _fork(bare, fifo, end))
                    for _ in range(WARM_UPS + ROUNDS)
                ][WARM_UPS:]
        finally:
            os.close(end)
    first, answered, ended, floor = (Samples(column) for column in zip(*rounds, strict=True))
    goal = Goal(at_most=15, aim=8, ratio_at_most=3)
    return [
        Figure("trigger to first user line", "ms", first, floor, "bare fork-and-supervise", goal),
        Figure("trigger to its answer (durable)", "ms", answered),
        Figure("trigger to the run's stored end", "ms", ended),
    ]


def _trigger(connection: Connection, fifo: Path, end: int) -> tuple[float, float, float]:
    """Milliseconds to the byte, to the answer, and to the end of the run."""
    seen: dict[int, float] = {}
    body = {"params": {"fifo": str(fifo)}}
    begin = time.perf_counter()
    connection.send("POST", "/api/v1/pipelines/first_line/runs", body)
    awaited = {end, connection.socket.fileno()}
    while awaited:
        ready = select.select(list(awaited), [], [], PATIENCE_S)[0]
        assert ready, "the pipeline's first line was not reached"
        for descriptor in ready:
            seen[descriptor] = time.perf_counter()
            awaited.discard(descriptor)
    os.read(end, 1)
    wait(connection, connection.receive()["id"])
    done = time.perf_counter()
    time.sleep(PAUSE_S)
    times = (seen[end], seen[connection.socket.fileno()], done)
    first, answered, ended = ((moment - begin) * 1e3 for moment in times)
    return first, answered, ended


def _fork(bare: BareZygote, fifo: Path, end: int) -> float:
    begin = time.perf_counter()
    bare.ask(1, fifo)
    os.read(end, 1)
    lasted = (time.perf_counter() - begin) * 1e3
    bare.wait()
    time.sleep(PAUSE_S)
    return lasted
