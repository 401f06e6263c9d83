"""One small process per attempt: starts the child, watches it, writes how it ended.

It outlives the daemon. Only a kill message, the deadline or the child's own end ends an attempt:
SIGTERM and SIGINT are ignored.
"""

import contextlib
import os
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from tau.pipeline.protocol import (
    MAX_MESSAGE_BYTES,
    OUTCOME_FILE,
    SPOOL_FILE,
    ExitRecord,
    JobRequest,
)
from tau.workers import attempt_files, killtree, processes
from tau.workers.attempt_files import STACK_FILE, SUPERVISOR_LOG_FILE
from tau.workers.spool import Spool
from tau.workers.verdict import Evidence, judge, usage_of_children
from tau.workers.watch import REAP_S, Watch

DONE, NOT_STARTED, BROKEN = 0, 3, 70

_STORE_S, _STORE_PAUSE_S = 60.0, 0.5
_MAX_DUMP_BYTES = 256 * 1024


def supervise(attempt_dir: Path, *, fresh_interpreter: bool) -> NoReturn:
    """Run one attempt to its end in this process, and end the process.

    Starts nothing where another supervisor has the lock, or where any mark of a start is found.
    """
    processes.leave_parent()
    wake_fd = processes.wake_on_child_signals()
    child = _fork_child(fresh_interpreter=fresh_interpreter)
    _supervise(attempt_dir, child, wake_fd)


def supervise_on_order(orders: int) -> NoReturn:
    """Get all ready for an attempt, and run the one whose directory comes through the pipe.

    The end of the pipe, or of the child that is ready, is the end of the process.
    """
    processes.leave_parent()
    wake_fd = processes.wake_on_child_signals()
    child = _fork_child(fresh_interpreter=False, rehearsed=True)
    ready = {descriptor for descriptor, _ in _poll(orders, wake_fd)}
    if wake_fd in ready:
        os._exit(NOT_STARTED)
    path = os.read(orders, MAX_ORDER_BYTES)
    os.close(orders)
    if not path:
        os._exit(NOT_STARTED)
    _supervise(Path(os.fsdecode(path)), child, wake_fd)


def main(arguments: list[str]) -> NoReturn:
    """`python -m tau.workers.supervisor ATTEMPT_DIR`: where no zygote can fork it."""
    processes.close_descriptors(keep=(0, 1, 2))
    processes.ignore_terminal_signals()
    supervise(Path(arguments[0]), fresh_interpreter=True)


def _poll(*descriptors: int) -> list[tuple[int, int]]:
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return poll.poll()


def _fork_child(*, fresh_interpreter: bool, rehearsed: bool = False) -> Child:
    """A waiting child; without one this process ends, and nothing of the attempt was started."""
    try:
        return fork_child(fresh_interpreter=fresh_interpreter, rehearsed=rehearsed)
    except OSError:
        os._exit(NOT_STARTED)


def _supervise(attempt_dir: Path, child: Child, wake_fd: int) -> NoReturn:
    """The attempt from lock to outcome."""
    code = BROKEN
    try:
        # Kept until the process ends: who sees the connection's end may count on both.
        watch = _watch(attempt_dir, child, wake_fd)
        code = NOT_STARTED if watch is None else DONE
    except Exception:  # the last place that can tell of it
        log = attempt_dir / SUPERVISOR_LOG_FILE
        with contextlib.suppress(OSError):
            log.write_text(traceback.format_exc(), encoding="utf-8")
        killtree.end_descendants(killtree.Reaper(), within=REAP_S)
    finally:
        os._exit(code)


def _watch(attempt_dir: Path, child: Child, wake_fd: int) -> Watch | None:
    """See the attempt through; None where it is not to be started, which the child then is not."""
    try:
        lock = attempt_files.try_lock(attempt_dir)
    except FileNotFoundError:
        return None  # forgotten before it began
    if lock is None or not attempt_files.may_start(attempt_dir):
        return None
    spool = Spool(attempt_dir / SPOOL_FILE)  # from here on the attempt counts as started
    started_at = time.time()
    child.begin(attempt_dir)
    request = JobRequest.read(attempt_dir)
    watch = Watch(request, child, spool=spool, wake_fd=wake_fd)
    watch.until_all_have_ended()
    _store(attempt_dir, _conclude(watch, attempt_dir, started_at))
    watch.control.poke()
    watch.control.finish()
    os.close(lock)  # before the connection ends: who sees that end finds the lock free
    return watch


def _conclude(watch: Watch, attempt_dir: Path, started_at: float) -> ExitRecord:
    """The outcome, with its secrets hidden; the spool is complete then."""
    outcome = attempt_files.read_from_child(attempt_dir / OUTCOME_FILE, limit=2 * MAX_MESSAGE_BYTES)
    if outcome and watch.intake.last is None:
        watch.intake.take_outcome(outcome)
    watch.intake.finish()
    dump = attempt_files.read_from_child(attempt_dir / STACK_FILE, limit=_MAX_DUMP_BYTES)
    request, redactor, usage = watch.request, watch.redactor, usage_of_children()
    found = judge(
        Evidence(
            request=request,
            end=watch.ending.end,
            last=watch.intake.last,
            wait_status=watch.reaper.wait_status,
            usage=usage,
            dump=dump.decode("utf-8", "replace"),
            fatal_dump=watch.intake.fatal_dump,
        )
    )
    return ExitRecord(
        run_id=request.run_id,
        attempt=request.attempt,
        fence=request.fence,
        status=found.status,
        reason=found.reason and redactor.redact_text(found.reason),
        exit_code=found.exit_code,
        signal=found.signal,
        started_at=started_at,
        ended_at=time.time(),
        result=redactor.redact_known(found.result),
        state=found.state,  # goes back to the pipeline: a change would corrupt its data
        failure=found.failure and redactor.redact_failure(found.failure),
        usage=usage,
        events=watch.spool.events,
        malformed=watch.intake.malformed,
        dropped=watch.spool.dropped,
        leftovers=watch.leftovers,
    )


def _store(attempt_dir: Path, record: ExitRecord) -> None:
    """Write the outcome, with patience for a full disk: without it the attempt counts as lost."""
    deadline = time.monotonic() + _STORE_S
    while True:
        try:
            attempt_files.write_exit(attempt_dir, record)
            return
        except FileNotFoundError:
            return  # the attempt was forgotten meanwhile: nobody waits for it
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_STORE_PAUSE_S)


if __name__ == "__main__":
    main(sys.argv[1:])
