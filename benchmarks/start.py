"""From the start of the daemon's process to its first answer: warm, and in an empty home."""

import tempfile
from pathlib import Path

from benchmarks.figures import Figure, Goal, Samples
from benchmarks.server import Daemon, Hello

WARM_UPS, ROUNDS, FIRST_ROUNDS = 1, 7, 3


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        home = Path(folder) / "home"
        rounds = [(_daemon(home), _hello()) for _ in range(WARM_UPS + ROUNDS)][WARM_UPS:]
        firsts = [_daemon(Path(folder) / f"empty-{n}") for n in range(FIRST_ROUNDS)]
    warm, hello = (Samples(column) for column in zip(*rounds, strict=True))
    beside = "FastAPI hello world"
    return [
        Figure("start to first answer, warm", "ms", warm, hello, beside, Goal(at_most=1500)),
        Figure("first start in an empty home", "ms", Samples(firsts), hello, beside),
    ]


def _daemon(home: Path) -> float:
    with Daemon(home) as daemon:
        return daemon.first_answer_ms


def _hello() -> float:
    with Hello() as hello:
        return hello.first_answer_ms
