"""Requests per second of the list endpoints over keep-alive connections."""

from benchmarks.figures import Figure, Goal, Samples
from benchmarks.server import Daemon, Hello
from benchmarks.wire import rate, request
from benchmarks.worker_alone import SOURCE

CONNECTIONS, SECONDS = 8, 2.0
WARM_UPS, ROUNDS = 1, 5
PIPELINES, RUNS = 5, 20


def measure() -> list[Figure]:
    with Hello() as hello, Daemon() as daemon:
        _fill(daemon)
        hello_data = request("GET", "/hello", port=hello.port)
        rounds = [
            (
                _rate(daemon, "/api/v1/pipelines"),
                _rate(daemon, "/api/v1/runs"),
                rate(hello.port, hello_data, connections=CONNECTIONS, seconds=SECONDS),
            )
            for _ in range(WARM_UPS + ROUNDS)
        ][WARM_UPS:]
    pipelines, runs, floor = (Samples(column) for column in zip(*rounds, strict=True))
    beside, goal = "FastAPI hello world", Goal(at_least=900)
    return [
        Figure(f"list {PIPELINES} pipelines", "requests/s", pipelines, floor, beside, goal),
        Figure(f"list {RUNS} runs", "requests/s", runs, floor, beside),
    ]


def _fill(daemon: Daemon) -> None:
    with daemon.connect() as connection:
        for number in range(PIPELINES):
            name = f"trivial_{number}"
            daemon.deploy(SOURCE.replace("trivial", name), f"{name}.py")
            for _ in range(RUNS // PIPELINES):
                daemon.run(name, connection)


def _rate(daemon: Daemon, path: str) -> float:
    data = request("GET", path, port=daemon.port, key=daemon.key)
    return rate(daemon.port, data, connections=CONNECTIONS, seconds=SECONDS)
