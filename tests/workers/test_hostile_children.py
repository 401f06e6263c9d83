"""Children that do their worst are judged rightly, and nothing of them is left."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.attempts import Listener, alive, job, noted_pids
from tests.fixtures.waiting import eventually_async

from tau.workers.local import LocalWorker


@dataclass(frozen=True)
class Case:
    source: str
    status: str
    reason: str | None
    limits: dict[str, Any] = field(default_factory=dict)
    leftovers: int = 0


ESCAPES = """
def hang():
    note_pid()
    time.sleep(60)

def escape(times):
    for _ in range(times):
        if os.fork() != 0:
            if times == 2:
                os._exit(0)
            return
        os.setsid()
        times -= 1
    hang()
"""

CASES = {
    "ok": Case("@pipeline\ndef main(ctx):\n    note_pid()\n    return 7", "success", None),
    "exits": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    os._exit(3)",
        "crashed",
        "the process left with exit code 3 before the pipeline returned",
    ),
    "exits as if all were well": Case(
        "@pipeline\ndef main(ctx):\n    os._exit(0)",
        "crashed",
        "the process left with exit code 0 before the pipeline returned",
    ),
    "floods its output": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n"
        "    while True:\n        os.write(1, b'x' * 99 + b'\\n')",
        "timeout",
        "no end within 1 s",
        {"timeout_s": 1.0, "log_bytes": 500_000, "log_tail_bytes": 10_000},
    ),
    "closes the descriptors it was given": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    os.closerange(0, 4)\n    return 7",
        "success",
        None,
    ),
    "writes garbage on the channel": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n"
        "    for fd in range(3, 10):\n"
        "        try:\n            os.write(fd, b'\\x00\\xff{]\\n' * 100 + b'{\"k\":7}\\n[[[[')\n"
        "        except OSError:\n            pass\n"
        "    os.write(3, b'\\n')\n    return 7",
        "success",
        None,
    ),
    "allocates 4 GiB": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    bytearray(4 << 30)",
        "failed",
        "MemoryError",
        {"memory_bytes": 512 << 20},
    ),
    "spins": Case(
        "@pipeline\nasync def main(ctx):\n    note_pid()\n    while True:\n        pass",
        "timeout",
        "no end within 0.5 s",
        {"timeout_s": 0.5},
    ),
    "ignores SIGTERM": Case(
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "@pipeline\ndef main(ctx):\n    note_pid()\n    time.sleep(60)",
        "timeout",
        "no end within 0.5 s",
        {"timeout_s": 0.5, "grace_s": 0.3},
    ),
    "leaves a session of its own behind": Case(
        ESCAPES + "@pipeline\ndef main(ctx):\n    note_pid()\n    escape(1)\n"
        "    while len(open(FOLDER / 'pids').read().split()) < 2:\n        time.sleep(0.01)\n"
        "    return 7",
        "success",
        None,
        leftovers=1,
    ),
    "leaves a daemon behind": Case(
        ESCAPES + "@pipeline\ndef main(ctx):\n    note_pid()\n"
        "    if os.fork() == 0:\n        os.setsid()\n"
        "        if os.fork() == 0:\n            hang()\n        os._exit(0)\n"
        "    while len(open(FOLDER / 'pids').read().split()) < 2:\n        time.sleep(0.01)\n"
        "    return 7",
        "success",
        None,
        leftovers=1,
    ),
    "crashes in C": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    ctypes.string_at(0)",
        "crashed",
        "killed by SIGSEGV (segmentation fault)",
    ),
    "is killed by nobody we know": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    os.kill(os.getpid(), 9)",
        "crashed",
        "killed by SIGKILL, probably out of memory",
    ),
    "kills its group": Case(
        "@pipeline\ndef main(ctx):\n    note_pid()\n    os.killpg(0, signal.SIGTERM)\n"
        "    time.sleep(60)",
        "crashed",
        "killed by SIGTERM (terminated)",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_is_judged_and_leaves_nothing(name: str, worker: LocalWorker, tmp_path: Path) -> None:
    case, listener = CASES[name], Listener()

    record = await worker.run(job(tmp_path, case.source, limits=case.limits), listener)

    assert record.status == case.status, record
    assert (record.reason or "").startswith(case.reason or ""), record
    assert bool(record.reason) == bool(case.reason), record
    assert record.leftovers == case.leftovers
    assert record.result == (7 if case.status == "success" else None)
    supervisor, child = listener.starts[0]
    assert alive([*noted_pids(tmp_path), child]) == []
    await eventually_async(lambda: not alive([supervisor]))  # it may be a moment from its end
    assert listener.seqs == list(range(1, record.events + 1))


async def test_garbage_is_counted_and_reported_once(worker: LocalWorker, tmp_path: Path) -> None:
    listener = Listener()
    source = CASES["writes garbage on the channel"].source

    record = await worker.run(job(tmp_path, source), listener)

    assert record.malformed == 102
    assert sum(event["source"] == "supervisor" for event in listener.of("log")) == 1


async def test_a_crash_in_c_says_where(worker: LocalWorker, tmp_path: Path) -> None:
    record = await worker.run(job(tmp_path, CASES["crashes in C"].source), Listener())

    assert record.signal == "SIGSEGV"
    assert record.failure is not None
    assert record.failure["frames"][-1]["code"] == "ctypes.string_at(0)"


async def test_what_is_closed_off_comes_as_a_file_and_is_an_event(
    worker: LocalWorker, tmp_path: Path
) -> None:
    listener = Listener()

    await worker.run(job(tmp_path, CASES["closes the descriptors it was given"].source), listener)

    assert [event["value"] for event in listener.of("result")] == [7]


async def test_a_thread_that_goes_on_does_not_hold_the_result(
    worker: LocalWorker, tmp_path: Path
) -> None:
    source = """
    @pipeline
    def main(ctx):
        threading.Thread(target=time.sleep, args=(60,)).start()
        return 7
    """
    record = await worker.run(job(tmp_path, source), Listener())

    assert (record.status, record.result) == ("success", 7)
