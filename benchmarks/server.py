"""Servers as processes: the real `taud` in a home of its own, and the hello world beside it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.wire import Connection

BIN = Path(sys.executable).parent
ROOT = Path(__file__).resolve().parent.parent
START_S = 60.0
POLL_S = 0.002


def environment(**more: str) -> dict[str, str]:
    """This process's, without settings of Tau's, and with bytecode in use."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("TAU_")}
    kept.pop("PYTHONDONTWRITEBYTECODE", None)
    return kept | more


class Server:
    """A process that listens on a port; `first_answer_ms` is from its start to /healthz's 200."""

    def __init__(self, command: Sequence[str | Path], env: dict[str, str], *, port: int) -> None:
        self.port = port
        begin = time.perf_counter()
        # A file, since a pipe could fill up; what the server says is wanted only if it fails.
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `stop`
        self.process = subprocess.Popen(
            command, env=env, cwd=ROOT, stdout=self._output, stderr=self._output
        )
        while not self._answers():
            if self.process.poll() is not None or time.perf_counter() > begin + START_S:
                self._output.seek(0)
                raise RuntimeError(f"{command} does not answer: {self._output.read().decode()}")
            time.sleep(POLL_S)
        self.first_answer_ms = (time.perf_counter() - begin) * 1e3

    def _answers(self) -> bool:
        try:
            with Connection(self.port) as connection:
                connection.call("GET", "/healthz")
        except OSError:
            return False
        return True

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        self._output.close()


class Daemon(Server):
    """`taud start` on a free port; a home that is given is kept, else one is made and deleted."""

    def __init__(self, home: Path | None = None, **settings: str) -> None:
        self._is_own = home is None
        self.home = home or Path(tempfile.mkdtemp(prefix="tau-bench-"))
        self.env = environment(TAU_HOME=str(self.home), **settings)
        port = free_port()
        super().__init__([BIN / "taud", "start", "--port", str(port)], self.env, port=port)
        self.key = str(json.loads((self.home / "credentials").read_text())["api_key"])

    def __enter__(self) -> "Daemon":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        if self._is_own:
            shutil.rmtree(self.home)

    def connect(self) -> Connection:
        return Connection(self.port, self.key)

    def deploy(self, source: str, file_name: str) -> None:
        with self.connect() as connection:
            body = {"file_name": file_name, "source": source}
            connection.call("POST", "/api/v1/deployments", body)

    def run(self, name: str, connection: Connection, **params: Any) -> dict[str, Any]:
        """Run to the end; the run document."""
        made = connection.call("POST", f"/api/v1/pipelines/{name}/runs", {"params": params})
        return wait(connection, made["id"])


class Hello(Server):
    """The smallest FastAPI application on the same server stack, the floor of a daemon."""

    def __init__(self) -> None:
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.hello", str(port)]
        super().__init__(command, environment(), port=port)

    def __enter__(self) -> "Hello":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def wait(connection: Connection, run_id: str) -> dict[str, Any]:
    """The run once it is final, which must be a success."""
    run: dict[str, Any] = {}
    while run.get("finished_at") is None:
        run = connection.call("GET", f"/api/v1/runs/{run_id}?wait=30")
    assert run["status"] == "success", run
    return run


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
