"""Whatever dies, attempts are adopted or proven dead, and user code starts at most once."""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fixtures.attempts import Listener, alive, job, marks, noted_pids, zygote_pids
from tests.fixtures.waiting import eventually, eventually_async

from tau.pipeline.protocol import LOCK_FILE, REQUEST_FILE, JobRequest
from tau.workers import attempt_files
from tau.workers.attempt_files import attempt_dir
from tau.workers.base import (
    Answer,
    AttemptLost,
    AttemptUnknown,
    LaunchRefused,
    WorkerStopped,
)
from tau.workers.local import LocalWorker

COUNTING = """
@pipeline
async def main(ctx):
    note("ran")
    note_pid()
    number = 0
    while not (FOLDER / "go").exists():
        ctx.log(f"number {number}")
        number += 1
        time.sleep(0.001)
    return number
"""


class Host:
    """A process with a worker that follows one attempt."""

    def __init__(self, folder: Path, home: Path, request: JobRequest) -> None:
        request.write(folder)
        self.journal = folder / "journal"
        command = [sys.executable, "-m", "tests.fixtures.worker_host"]
        self.process = subprocess.Popen([*command, str(home), str(folder), str(self.journal)])

    def entries(self, key: str) -> list[Any]:
        if not self.journal.exists():
            return []
        lines = self.journal.read_text().splitlines()
        return [entry for entry in map(json.loads, lines) if key in entry]

    def shoot(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def host(home: Path, tmp_path: Path) -> Iterator[Callable[[JobRequest], Host]]:
    hosts: list[Host] = []

    def start(request: JobRequest) -> Host:
        hosts.append(Host(tmp_path, home, request))
        return hosts[-1]

    yield start
    for each in hosts:
        each.shoot()


async def test_a_shot_daemon_loses_nothing(
    host: Callable[[JobRequest], Host], make_worker: Any, tmp_path: Path
) -> None:
    first = host(job(tmp_path, COUNTING))
    eventually(lambda: len(first.entries("lines")) > 3)
    first.shoot()
    heard = [line for entry in first.entries("lines") for line in entry["lines"]]
    offset = first.entries("offset")[-1]["offset"]

    listener = Listener()
    worker = await make_worker()
    adopting = asyncio.create_task(worker.adopt("run-1", 1, listener, offset=offset))
    await eventually_async(lambda: listener.starts and len(listener.lines) > 50)
    (tmp_path / "go").touch()
    record = await adopting

    assert record.status == "success"
    seqs = [json.loads(line)["seq"] for line in heard] + listener.seqs
    assert seqs == list(range(1, record.events + 1))
    assert record.result == record.events - 2  # hello and result
    (started,) = first.entries("supervisor")
    assert listener.starts == [(started["supervisor"], started["child"])]
    assert marks(tmp_path) == ["ran"]


async def test_an_attempt_that_ended_meanwhile_is_read_from_its_files(
    host: Callable[[JobRequest], Host], make_worker: Any, tmp_path: Path
) -> None:
    first = host(job(tmp_path, COUNTING))
    (supervisor,) = eventually(lambda: first.entries("supervisor"))
    first.shoot()
    (tmp_path / "go").touch()
    eventually(lambda: not alive([supervisor["supervisor"]]))

    listener = Listener()
    record = await (await make_worker()).adopt("run-1", 1, listener, offset=0)

    assert record.status == "success"
    assert listener.seqs == list(range(1, record.events + 1))


async def test_a_question_outlives_the_daemon_that_was_asked(
    host: Callable[[JobRequest], Host], make_worker: Any, tmp_path: Path
) -> None:
    first = host(job(tmp_path, "@pipeline\ndef main(ctx):\n    return len(ctx.secret('X'))"))
    eventually(lambda: first.entries("asked"))
    first.shoot()

    listener = Listener(
        {"secret": lambda args: Answer(args["name"] * 5, secret={"name": "x", "source": "store"})}
    )
    record = await (await make_worker()).adopt("run-1", 1, listener, offset=0)

    assert (record.status, record.result) == ("success", 5)


async def test_an_adopted_attempt_can_be_killed(
    host: Callable[[JobRequest], Host], make_worker: Any, tmp_path: Path
) -> None:
    first = host(job(tmp_path, COUNTING))
    eventually(lambda: noted_pids(tmp_path))
    first.shoot()

    worker = await make_worker()
    adopting = asyncio.create_task(worker.adopt("run-1", 1, Listener(), offset=0))
    await asyncio.sleep(0)
    await worker.kill("run-1", 1, status="cancelled", reason="enough")

    assert (await adopting).status == "cancelled"
    assert alive(noted_pids(tmp_path)) == []


async def test_the_deadline_holds_without_a_daemon(
    host: Callable[[JobRequest], Host], make_worker: Any, tmp_path: Path
) -> None:
    first = host(job(tmp_path, COUNTING, limits={"timeout_s": 1.0}))
    eventually(lambda: noted_pids(tmp_path))
    first.shoot()

    eventually(lambda: not alive(noted_pids(tmp_path)))
    record = await (await make_worker()).adopt("run-1", 1, Listener(), offset=0)

    assert record.status == "timeout"


async def test_a_stopped_worker_lets_go_and_another_adopts(
    make_worker: Any, tmp_path: Path
) -> None:
    worker, listener = await make_worker(), Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, COUNTING), listener))
    await eventually_async(lambda: len(listener.lines) > 10)

    await worker.stop()
    with pytest.raises(WorkerStopped):
        await running
    assert alive(noted_pids(tmp_path)) == noted_pids(tmp_path)

    again = Listener()
    other = await make_worker()
    adopting = asyncio.create_task(other.adopt("run-1", 1, again, offset=listener.offsets[-1]))
    await eventually_async(lambda: again.starts)
    (tmp_path / "go").touch()
    record = await adopting
    assert listener.seqs + again.seqs == list(range(1, record.events + 1))


async def test_a_listener_that_fails_leaves_the_attempt_to_the_next(
    worker: LocalWorker, tmp_path: Path
) -> None:
    class Failing(Listener):
        async def events(self, lines: Any, *, offset: int) -> None:
            raise OSError("the store is away")

    with pytest.raises(OSError, match="away"):
        await worker.run(job(tmp_path, COUNTING), Failing())

    (tmp_path / "go").touch()
    listener = Listener()
    record = await worker.adopt("run-1", 1, listener, offset=0)
    assert listener.seqs == list(range(1, record.events + 1))


@pytest.mark.parametrize("start_method", ["fork", "spawn"])
async def test_a_shot_supervisor_loses_the_attempt_and_takes_the_child_along(
    start_method: str, make_worker: Any, tmp_path: Path
) -> None:
    source = """
    @pipeline
    def main(ctx):
        note_pid()
        ctx.log("last words")
        wait_for("never")
    """
    worker, listener = await make_worker(start_method=start_method), Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, source), listener))
    await eventually_async(lambda: "last words" in listener.messages)

    os.kill(listener.starts[0][0], signal.SIGKILL)

    with pytest.raises(AttemptLost):
        await running
    await eventually_async(lambda: not alive(noted_pids(tmp_path)))


async def test_what_a_shot_supervisor_leaves_is_ended_too(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = """
    @pipeline
    def main(ctx):
        if os.fork() == 0:
            os.setsid()
            note_pid()
            time.sleep(60)
        time.sleep(60)
    """
    other = asyncio.create_task(worker.run(job(tmp_path, COUNTING, run_id="run-2"), Listener()))
    await eventually_async(lambda: len(noted_pids(tmp_path)) == 1)
    listener = Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, source), listener))
    await eventually_async(lambda: len(noted_pids(tmp_path)) == 2 and listener.starts)

    os.kill(listener.starts[0][0], signal.SIGKILL)

    with pytest.raises(AttemptLost):
        await running
    counting, escaped = noted_pids(tmp_path)
    await eventually_async(lambda: not alive([escaped]))
    assert alive([counting]) == [counting]
    (tmp_path / "go").touch()
    assert (await other).status == "success"


async def test_lost_attempts_never_start_again(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    listener = Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, COUNTING), listener))
    await eventually_async(lambda: marks(tmp_path) and listener.starts)
    os.kill(listener.starts[0][0], signal.SIGKILL)
    with pytest.raises(AttemptLost):
        await running

    with pytest.raises(AttemptLost):
        await worker.run(job(tmp_path, COUNTING), Listener())
    with pytest.raises(AttemptLost):
        await worker.adopt("run-1", 1, Listener(), offset=0)

    assert marks(tmp_path) == ["ran"]


async def test_a_shot_zygote_is_replaced(worker: LocalWorker, tmp_path: Path) -> None:
    listener = Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, COUNTING), listener))
    await eventually_async(lambda: listener.lines)
    (zygote,) = zygote_pids()

    os.kill(zygote, signal.SIGKILL)
    await eventually_async(lambda: not alive([zygote]))
    second = await worker.run(
        job(tmp_path, "@pipeline\ndef main(ctx):\n    return 2", run_id="run-2"), Listener()
    )

    assert second.result == 2
    (tmp_path / "go").touch()
    assert (await running).status == "success"
    assert marks(tmp_path) == ["ran"]


async def test_signals_of_a_terminal_end_neither_zygote_nor_supervisor(
    worker: LocalWorker, tmp_path: Path
) -> None:
    listener = Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, COUNTING), listener))
    await eventually_async(lambda: listener.lines)
    supervisor, (zygote,) = listener.starts[0][0], zygote_pids()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(zygote, number)
        os.kill(supervisor, number)

    assert os.getsid(zygote) == zygote
    assert os.getsid(supervisor) == supervisor
    heard = len(listener.lines)
    await eventually_async(lambda: len(listener.lines) > heard)
    (tmp_path / "go").touch()
    assert (await running).status == "success"
    assert zygote_pids() == [zygote]


async def test_adopting_what_was_laid_out_and_never_launched(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    attempt_files.create(attempt_dir(home, "run-1", 1), job(tmp_path, COUNTING))

    with pytest.raises(LaunchRefused):
        await worker.adopt("run-1", 1, Listener(), offset=0)


async def test_adopting_what_is_not_there(worker: LocalWorker) -> None:
    with pytest.raises(AttemptUnknown):
        await worker.adopt("run-1", 1, Listener(), offset=0)


async def test_forgetting_all_but_what_is_waited_for(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    listener = Listener()
    running = asyncio.create_task(worker.run(job(tmp_path, COUNTING, run_id="kept"), listener))
    await eventually_async(lambda: listener.lines)
    for run_id, attempt in (("kept", 2), ("ended", 1), ("ended", 2)):
        attempt_files.create(attempt_dir(home, run_id, attempt), job(tmp_path, COUNTING))
    (home / "runs" / "empty").mkdir()
    (home / "runs" / "a file").touch()

    worker.forget_all_but({("kept", 1)})

    def left() -> list[str]:
        return sorted(str(path.relative_to(home / "runs")) for path in home.glob("runs/*/[0-9]"))

    await eventually_async(lambda: left() == ["kept/1"])
    assert sorted(path.name for path in (home / "runs").iterdir()) == ["a file", "kept"]
    (tmp_path / "go").touch()
    assert (await running).status == "success"


def test_a_lock_of_another_directory_allows_no_start(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory of a refused attempt makes way for a new one while a late supervisor looks."""
    directory = attempt_dir(home, "run-1", 1)
    home.mkdir()
    (home / "runs").mkdir()
    attempt_files.create(directory, job(tmp_path, COUNTING))
    listdir = os.listdir

    def replaced(path: Path) -> list[str]:
        directory.rename(tmp_path / "grave")
        attempt_files.create(directory, job(tmp_path, COUNTING))
        (directory / LOCK_FILE).touch()
        return listdir(path)

    with monkeypatch.context() as patched:
        patched.setattr(os, "listdir", replaced)
        assert attempt_files.lock_to_start(directory) is None

    lock = attempt_files.lock_to_start(directory)
    assert lock is not None
    os.close(lock)


async def test_a_supervisor_that_fails_by_itself_says_why(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    directory = attempt_dir(home, "run-1", 1)
    attempt_files.create(directory, job(tmp_path, COUNTING))
    (directory / REQUEST_FILE).write_text("{")
    command = [sys.executable, "-m", "tau.workers.supervisor", str(directory)]

    assert await asyncio.to_thread(subprocess.call, command) == 70

    with pytest.raises(LaunchRefused, match="JSONDecodeError"):
        await worker.adopt("run-1", 1, Listener(), offset=0)
    assert marks(tmp_path) == []


@pytest.mark.parametrize("flood", ["os.write(1, b'x' * 99 + b'\\n')", "ctx.log('x' * 99)"])
async def test_a_flood_neither_fills_memory_nor_delays_the_deadline(
    flood: str, worker: LocalWorker, tmp_path: Path
) -> None:
    source = f"@pipeline\nasync def main(ctx):\n    while True:\n        {flood}"
    limits = {"timeout_s": 2.0, "log_bytes": 2_000_000, "log_tail_bytes": 200_000}
    listener, peak = Listener(), 0
    running = asyncio.create_task(worker.run(job(tmp_path, source, limits=limits), listener))
    await eventually_async(lambda: listener.starts)
    process = psutil.Process(listener.starts[0][0])
    async with asyncio.timeout(15):
        while not running.done():
            await asyncio.wait({running}, timeout=0.02)
            with contextlib.suppress(psutil.NoSuchProcess):
                peak = max(peak, process.memory_info().rss)
    record = await running

    assert record.status == "timeout"
    assert 10 << 20 < peak < 64 << 20
    assert record.dropped > 0
