"""The local worker: one attempt after another, many at once, killed, timed out, forgotten."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.attempts import (
    PRELUDE_LINES,
    Listener,
    alive,
    job,
    marks,
    noted_pids,
    zygote_pids,
)
from tests.fixtures.waiting import eventually_async

from tau.errors import FileUnsafe
from tau.pipeline.protocol import SPOOL_FILE, TOMBSTONE_FILE
from tau.workers.attempt_files import attempt_dir
from tau.workers.base import LaunchRefused
from tau.workers.links import socket_path
from tau.workers.local import LocalWorker

HELLO = """
@pipeline
async def main(ctx):
    note("ran")
    ctx.log("hi", n=1)
    print("printed")
    os.write(1, b"raw \\x1b[31mred\\x1b[0m 1%\\r2%\\n")
    return {"cwd": os.getcwd(), "env": dict(os.environ), "umask": os.umask(0),
            "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
            "session": os.getsid(0) == os.getpid(), "stdin": sys.stdin.read()}
"""

QUICK = "@pipeline\nasync def main(ctx):\n    return 1"


@pytest.fixture(params=["fork", "spawn"])
async def any_worker(request: pytest.FixtureRequest, make_worker: Any) -> LocalWorker:
    found: LocalWorker = await make_worker(start_method=request.param)
    return found


async def test_runs_an_attempt(any_worker: LocalWorker, home: Path, tmp_path: Path) -> None:
    listener = Listener()
    env = {"ONLY": "this"}

    record = await any_worker.run(job(tmp_path, HELLO, env=env, fence=3), listener)

    assert (record.status, record.fence, record.exit_code) == ("success", 3, 0), record
    assert [event["k"] for event in listener.events_heard] == [
        "hello", "log", "log", "log", "result",
    ]  # fmt: skip
    assert sorted(listener.messages) == ["2%", "hi", "printed"]
    assert record.usage["cpu_s"] > 0
    assert record.usage["max_rss_mb"] > 5
    assert record.started_at < record.ended_at
    work = attempt_dir(home, "run-1", 1) / "work"
    found = record.result
    assert found["cwd"] == str(work)
    assert {"LC_CTYPE": "C.UTF-8"} | found["env"] == {"LC_CTYPE": "C.UTF-8"} | env
    assert (found["umask"], found["session"], found["stdin"]) == (0o077, True, "")
    assert len(listener.starts) == 1


async def test_the_child_has_only_its_descriptors(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    @pipeline
    async def main(ctx):
        return {fd: os.readlink(f"/proc/self/fd/{fd}").split(":")[0].rpartition("/")[2]
                for fd in map(str, range(20)) if os.path.islink(f"/proc/self/fd/{fd}")}
    """
    record = await worker.run(job(tmp_path, source), Listener())

    found = record.result
    assert [found[fd] for fd in "01234"] == ["null", "pipe", "pipe", "socket", "stack.txt"]
    assert "lock" not in found.values()
    assert "events.jsonl" not in found.values()


async def test_files_are_for_their_owner_alone(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    await worker.run(job(tmp_path, HELLO), Listener())

    directory = attempt_dir(home, "run-1", 1)
    for path in [directory, *directory.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


async def test_limits_of_the_child(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    import resource
    @pipeline
    def main(ctx):
        return [resource.getrlimit(kind)[0] for kind in
                (resource.RLIMIT_CORE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)]
    """
    limits = {"open_files": 77, "memory_bytes": 1 << 30}

    record = await worker.run(job(tmp_path, source, limits=limits), Listener())

    assert record.result == [0, 77, 1 << 30]


async def test_a_failure_is_told(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    @pipeline
    def main(ctx):
        raise KeyError("email")
    """
    record = await worker.run(job(tmp_path, source), Listener())

    assert (record.status, record.reason) == ("failed", "KeyError: 'email'")
    assert record.failure is not None
    assert record.failure["frames"][-1]["code"] == 'raise KeyError("email")'


async def test_an_exit_code_after_the_result_is_only_noted(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = """
    @pipeline
    async def main(ctx):
        os._exit = lambda code: os.kill(os.getpid(), signal.SIGKILL)
        return 1
    """
    record = await worker.run(job(tmp_path, source), Listener())

    assert (record.status, record.result) == ("success", 1)
    assert record.reason == "the process was killed by SIGKILL after the pipeline had returned"


async def test_a_timeout_ends_the_whole_tree(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    def hang():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        note_pid()
        time.sleep(60)

    @pipeline
    def main(ctx):
        note_pid()
        if os.fork() == 0:
            hang()
        if os.fork() == 0:
            os.setsid()
            hang()
        if os.fork() == 0:
            os.setsid()
            if os.fork() == 0:
                hang()
            os._exit(0)
        subprocess.Popen(["sleep", "60"], start_new_session=True)
        time.sleep(60)
    """
    limits = {"timeout_s": 1.0, "grace_s": 0.2}

    record = await worker.run(job(tmp_path, source, limits=limits), Listener())

    assert (record.status, record.reason) == ("timeout", "no end within 1 s")
    assert len(noted_pids(tmp_path)) == 4
    assert alive(noted_pids(tmp_path)) == []
    assert record.leftovers == 4  # three of python's, one that sleeps


@pytest.mark.parametrize(
    ("how", "code"),
    [("time.sleep(60)", "time.sleep(60)"), ("await asyncio.sleep(60)", "await asyncio.sleep(60)")],
)
async def test_a_timeout_says_where_it_hung(
    how: str, code: str, worker: LocalWorker, tmp_path: Path
) -> None:
    source = f"""
    async def inner():
        {how}

    @pipeline
    async def main(ctx):
        await inner()
    """
    record = await worker.run(job(tmp_path, source, limits={"timeout_s": 0.5}), Listener())

    assert record.failure is not None
    assert record.failure["type"] == "Timeout"
    frames = record.failure["frames"]
    assert [(frame["function"], frame["code"]) for frame in frames] == [
        ("main", "await inner()"),
        ("inner", code),
    ]
    assert frames[-1]["file"] == "main.py"
    assert frames[-1]["line"] == PRELUDE_LINES + 3


async def test_kill_ends_it_as_asked(any_worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    @pipeline
    def main(ctx):
        note_pid()
        time.sleep(60)
    """
    listener = Listener()
    running = asyncio.create_task(any_worker.run(job(tmp_path, source), listener))
    await eventually_async(lambda: noted_pids(tmp_path))

    await any_worker.kill("run-1", 1, status="cancelled", reason="asked by ada")
    await any_worker.kill("run-1", 1, status="failed", reason="too late")

    record = await running
    assert (record.status, record.reason) == ("cancelled", "asked by ada")
    assert alive(noted_pids(tmp_path)) == []


async def test_a_kill_before_the_supervisor_has_attached_counts(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = "@pipeline\ndef main(ctx):\n    time.sleep(60)"
    (zygote,) = zygote_pids()
    os.kill(zygote, signal.SIGSTOP)
    running = asyncio.create_task(worker.run(job(tmp_path, source), Listener()))
    await asyncio.sleep(0)

    await worker.kill("run-1", 1, status="cancelled", reason="changed my mind")
    os.kill(zygote, signal.SIGCONT)

    assert (await running).status == "cancelled"


async def test_what_waits_for_its_turn_is_killed_without_a_start(
    make_worker: Any, tmp_path: Path
) -> None:
    worker = await make_worker(capacity=1)
    first = job(tmp_path, "@pipeline\ndef main(ctx):\n    wait_for('go')\n    return 1")
    second = job(tmp_path, "@pipeline\ndef main(ctx):\n    note('ran')", run_id="run-2")
    running = asyncio.create_task(worker.run(first, Listener()))
    waiting = asyncio.create_task(worker.run(second, Listener()))
    await asyncio.sleep(0)

    await worker.kill("run-2", 1, status="cancelled", reason="no need")
    (tmp_path / "go").touch()

    assert (await running).result == 1
    assert (await waiting).status == "cancelled"
    assert marks(tmp_path) == []


async def test_fifty_at_once(worker: LocalWorker, tmp_path: Path) -> None:
    source = "@pipeline\nasync def main(ctx):\n    print(ctx.run_id)\n    return os.getpid()"
    listeners = [Listener() for _ in range(50)]
    jobs = [job(tmp_path, source, run_id=f"run-{n}") for n in range(50)]

    records = await asyncio.gather(
        *(worker.run(each, listener) for each, listener in zip(jobs, listeners, strict=True))
    )

    assert {record.status for record in records} == {"success"}
    assert len({record.result for record in records}) == 50
    assert [listener.messages for listener in listeners] == [[f"run-{n}"] for n in range(50)]
    assert alive([record.result for record in records]) == []


async def test_a_second_run_of_an_attempt_starts_nothing(
    worker: LocalWorker, tmp_path: Path
) -> None:
    first, second = Listener(), Listener()
    before = await worker.run(job(tmp_path, HELLO), first)

    after = await worker.run(job(tmp_path, HELLO), second)

    assert marks(tmp_path) == ["ran"]
    assert after == before
    assert second.lines == first.lines


async def test_an_attempt_is_followed_once(worker: LocalWorker, tmp_path: Path) -> None:
    request = job(tmp_path, "@pipeline\ndef main(ctx):\n    wait_for('go')")
    running = asyncio.create_task(worker.run(request, Listener()))
    await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="followed already"):
        await worker.run(request, Listener())

    (tmp_path / "go").touch()
    assert (await running).status == "success"


async def test_refused_means_that_it_never_starts(
    make_worker: Any, home: Path, tmp_path: Path
) -> None:
    worker = await make_worker(attach_timeout=0.5)
    await worker.run(job(tmp_path, QUICK, run_id="run-0"), Listener())  # the zygote is up then
    (zygote,) = zygote_pids()
    os.kill(zygote, signal.SIGSTOP)

    with pytest.raises(LaunchRefused):
        async with asyncio.timeout(5):
            await worker.run(job(tmp_path, HELLO), Listener())

    directory = attempt_dir(home, "run-1", 1)
    assert (directory / TOMBSTONE_FILE).exists()
    assert await _supervise(directory) == 3
    assert not (directory / SPOOL_FILE).exists()
    assert marks(tmp_path) == []


async def test_a_zygote_that_hangs_is_replaced(make_worker: Any, tmp_path: Path) -> None:
    worker = await make_worker(attach_timeout=0.5)
    await worker.run(job(tmp_path, QUICK, run_id="run-0"), Listener())  # the zygote is up then
    (zygote,) = zygote_pids()
    os.kill(zygote, signal.SIGSTOP)
    with pytest.raises(LaunchRefused):
        await worker.run(job(tmp_path, HELLO), Listener())

    record = await worker.run(job(tmp_path, HELLO, run_id="run-2"), Listener())

    assert record.status == "success"
    assert zygote not in zygote_pids()


async def test_what_a_request_is_refused_with_reaches_the_child(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = "@pipeline\ndef main(ctx):\n    ctx.secret('X')"

    record = await worker.run(job(tmp_path, source), Listener())

    assert record.status == "failed"
    assert "can't be asked for" in (record.reason or "")


async def test_forget_deletes_what_was_left(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    source = "@pipeline\ndef main(ctx):\n    os.makedirs('a/b')\n    os.chmod('a', 0)"
    await worker.run(job(tmp_path, source), Listener())

    worker.forget("run-1", 1)

    await worker.stop()
    assert list((home / "runs").iterdir()) == []
    assert list((home / "trash").iterdir()) == []


async def test_what_was_refused_can_be_asked_for_again_at_once(
    make_worker: Any, tmp_path: Path
) -> None:
    worker = await make_worker(attach_timeout=0.5)
    await worker.run(job(tmp_path, QUICK, run_id="run-0"), Listener())  # the zygote is up then
    (zygote,) = zygote_pids()
    os.kill(zygote, signal.SIGSTOP)
    with pytest.raises(LaunchRefused):
        await worker.run(job(tmp_path, HELLO), Listener())

    worker.forget("run-1", 1)
    record = await worker.run(job(tmp_path, HELLO), Listener())

    assert record.status == "success"
    assert marks(tmp_path) == ["ran"]


async def test_forgetting_a_running_attempt_ends_it(worker: LocalWorker, tmp_path: Path) -> None:
    source = "@pipeline\ndef main(ctx):\n    note_pid()\n    time.sleep(60)"
    running = asyncio.create_task(worker.run(job(tmp_path, source), Listener()))
    await eventually_async(lambda: noted_pids(tmp_path))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)

    worker.forget("run-1", 1)

    await eventually_async(lambda: not alive(noted_pids(tmp_path)))


async def test_a_home_with_a_long_path(tmp_path: Path) -> None:
    home = tmp_path / ("long-" * 20) / "home"
    worker = LocalWorker(home)
    await worker.start()
    try:
        assert len(str(socket_path(home))) < 100
        assert socket_path(home) == socket_path(home)
        record = await worker.run(job(tmp_path, HELLO), Listener())
    finally:
        await worker.stop()
        socket_path(home).parent.rmdir()
    assert record.status == "success"


def test_a_socket_folder_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    home = tmp_path / ("long-" * 20)
    folder = socket_path(home).parent
    folder.chmod(0o755)
    try:
        with pytest.raises(FileUnsafe):
            socket_path(home)
    finally:
        folder.rmdir()


async def test_logs_over_the_cap_keep_their_tail(worker: LocalWorker, tmp_path: Path) -> None:
    source = """
    @pipeline
    async def main(ctx):
        for n in range(10_000):
            print("line", n)
        async with ctx.step("after"):
            pass
    """
    limits = {"log_bytes": 200_000, "log_tail_bytes": 20_000}
    listener = Listener()

    record = await worker.run(job(tmp_path, source, limits=limits), listener)

    (truncated,) = listener.of("truncated")
    assert truncated["dropped"] == record.dropped
    assert len(listener.messages) + record.dropped == 10_000
    assert listener.messages[0] == "line 0"
    assert listener.messages[-1] == "line 9999"
    assert sum(map(len, listener.lines)) < 240_000
    assert len(listener.of("step_end")) == 1
    assert listener.seqs == list(range(1, record.events + 1))


async def test_no_daemon_to_ask_is_an_error_for_the_child(home: Path, tmp_path: Path) -> None:
    request = job(tmp_path, "@pipeline\ndef main(ctx):\n    return ctx.secret('X')")
    directory = attempt_dir(home, "run-1", 1)
    (directory / "work").mkdir(parents=True)
    request.write(directory)

    code = await _supervise(directory)

    assert code == 0
    assert "secret: No daemon is attached" in (directory / "exit.json").read_text()


async def test_a_second_supervisor_starts_nothing(
    worker: LocalWorker, home: Path, tmp_path: Path
) -> None:
    source = "@pipeline\ndef main(ctx):\n    note('ran')\n    wait_for('go')\n    return 1"
    running = asyncio.create_task(worker.run(job(tmp_path, source), Listener()))
    await eventually_async(lambda: marks(tmp_path))
    directory = attempt_dir(home, "run-1", 1)

    during = await _supervise(directory)
    (tmp_path / "go").touch()
    record = await running
    after = await _supervise(directory)
    (directory / "exit.json").unlink()
    without_record = await _supervise(directory)

    assert (during, after, without_record) == (3, 3, 3)
    assert (record.status, record.result) == ("success", 1)
    assert marks(tmp_path) == ["ran"]


async def _supervise(directory: Path) -> int:
    command = [sys.executable, "-m", "tau.workers.supervisor", str(directory)]
    process = await asyncio.create_subprocess_exec(*command)
    return await process.wait()
