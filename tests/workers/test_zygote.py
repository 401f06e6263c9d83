"""The zygote's spare: used, replaced when it dies, gone with its zygote, and not to be noticed."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests.fixtures.attempts import Listener, alive, job, zygote_pids
from tests.fixtures.waiting import eventually_async

from tau.workers.local import LocalWorker

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks need Linux")

QUICK = "@pipeline\nasync def main(ctx):\n    return os.getpid()"


async def find_spare() -> tuple[int, int]:
    """The pids of the supervisor and the child that wait."""

    def found() -> tuple[int, int] | None:
        for zygote in zygote_pids():
            for supervisor in psutil.Process(zygote).children():
                with contextlib.suppress(psutil.NoSuchProcess):  # it ended meanwhile
                    for child in supervisor.children():
                        if child.status() == psutil.STATUS_SLEEPING:
                            return supervisor.pid, child.pid
        return None

    spare: tuple[int, int] = await eventually_async(found)
    return spare


async def test_one_waits_and_takes_the_next_attempt(worker: LocalWorker, tmp_path: Path) -> None:
    spare = await find_spare()
    listener = Listener()

    record = await worker.run(job(tmp_path, QUICK), listener)

    assert (record.status, record.result) == ("success", spare[1])
    assert listener.starts == [spare]
    assert (await find_spare())[0] not in spare


@pytest.mark.parametrize("which", ["supervisor", "child"])
async def test_a_dead_one_is_replaced(which: str, worker: LocalWorker, tmp_path: Path) -> None:
    supervisor, child = await find_spare()
    os.kill(supervisor if which == "supervisor" else child, signal.SIGKILL)
    await eventually_async(lambda: not alive([supervisor, child]))

    record = await worker.run(job(tmp_path, QUICK), Listener())

    assert record.status == "success"
    assert record.result != child


async def test_it_ends_with_its_zygote(make_worker: Any, tmp_path: Path) -> None:
    worker = await make_worker()
    spare = await find_spare()

    await worker.stop()

    await eventually_async(lambda: not alive(spare))


async def test_it_ends_with_a_zygote_that_is_shot(worker: LocalWorker) -> None:
    spare = await find_spare()

    for zygote in zygote_pids():
        os.kill(zygote, signal.SIGKILL)

    await eventually_async(lambda: not alive(spare))


async def test_two_of_them_are_not_equally_random(worker: LocalWorker, tmp_path: Path) -> None:
    source = "import random\n@pipeline\nasync def main(ctx):\n    return random.random()"
    found = []
    for number in range(2):
        await find_spare()
        found.append(await worker.run(job(tmp_path, source, run_id=f"run-{number}"), Listener()))

    assert found[0].result != found[1].result


async def test_user_code_finds_what_it_finds_in_a_fresh_interpreter(
    make_worker: Any, home: Path, tmp_path: Path
) -> None:
    source = """
    import linecache, logging, resource, warnings
    loop = asyncio.new_event_loop()
    loop.close()

    @pipeline
    async def main(ctx):
        handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
        return {
            "signals": {str(n): "call" if callable(h) else str(h) for n, h in handlers.items()},
            "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ())),
            "warnings": [str(each) for each in warnings.filters],
            "descriptors": sorted(os.listdir("/proc/self/fd"), key=int),
            "threads": threading.active_count(),
            "argv": sys.argv,
            "cwd": os.getcwd() == os.path.realpath("."),
            "umask": os.umask(0o077),
            "environment": sorted(set(os.environ) - {"LC_CTYPE"}),
            "module": sys.modules["main"].__name__,
            "rehearsal": "tau_rehearsal" in sys.modules or "tau_rehearsal.py" in linecache.cache,
            "streams": [type(sys.stdout).__name__, sys.stdin.read()],
            "handlers": [type(each).__name__ for each in logging.getLogger().handlers],
            "limits": resource.getrlimit(resource.RLIMIT_CORE),
            "nice": os.nice(0),
        }
    """
    spawning = await make_worker(start_method="spawn")
    fresh = await spawning.run(job(tmp_path, source, run_id="run-1"), Listener())
    await spawning.stop()
    forking = await make_worker(start_method="fork")
    await find_spare()

    forked = await forking.run(job(tmp_path, source, run_id="run-2"), Listener())

    assert fresh.status == forked.status == "success", (fresh.failure, forked.failure)
    assert forked.result == fresh.result
