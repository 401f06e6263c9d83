"""Attempts through `LocalWorker` without a store and an API: what the processes alone allow.

A process: for each line N on stdin it runs N attempts at once and prints how many a second.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import uvloop

from tau.core.config import ExecutorSettings
from tau.daemon.executor import child_environment
from tau.pipeline.protocol import JobRequest
from tau.workers.base import Answer
from tau.workers.local import LocalWorker

SOURCE = """\
from tau import pipeline

@pipeline
async def trivial(ctx):
    return {"records_processed": 1}
"""


class _Listener:
    """Takes what attempts tell and keeps nothing of it."""

    async def started(self, *, supervisor_pid: int, child_pid: int | None) -> None:
        return None

    async def events(self, lines: Sequence[bytes], *, offset: int) -> None:
        return None

    async def request(self, op: str, args: dict[str, Any]) -> Answer:
        raise AssertionError(op)


class _Attempts:
    """Starts attempts of one file, each of a run of its own."""

    def __init__(self, worker: LocalWorker, source: Path) -> None:
        self._worker, self._source = worker, source
        self._env = child_environment(ExecutorSettings(), os.environ)
        self._last = 0

    async def run(self, count: int) -> None:
        await asyncio.gather(*(self._one() for _ in range(count)))

    async def _one(self) -> None:
        self._last += 1
        run_id = f"{self._last:026d}"
        request = JobRequest(
            kind="run", run_id=run_id, attempt=1, fence=1, source_path=str(self._source),
            file_name=self._source.name, pipeline="trivial", env=self._env,
        )  # fmt: skip
        record = await self._worker.run(request, _Listener())
        assert record.status == "success", record
        self._worker.forget(run_id, 1)


async def _serve(home: Path) -> None:
    source = home / "trivial.py"
    source.write_text(SOURCE)
    worker = LocalWorker(home, capacity=ExecutorSettings().slots)
    await worker.start()
    attempts = _Attempts(worker, source)
    while line := await asyncio.to_thread(sys.stdin.readline):
        begin = time.perf_counter()
        await attempts.run(int(line))
        print(int(line) / (time.perf_counter() - begin), flush=True)
    await worker.stop()


if __name__ == "__main__":
    with (
        tempfile.TemporaryDirectory(prefix="tau-bench-") as folder,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_serve(Path(folder)))
