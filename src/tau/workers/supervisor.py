"""One small process per attempt: starts the child, watches it, writes how it ended.

It outlives the daemon. Only a kill message, the deadline or the child's own end ends an attempt:
SIGTERM and SIGINT are ignored.
"""

import contextlib
import os
import select
import sys
import time
import traceback
from pathlib import Path
from typing import NoReturn

from tau.pipeline.protocol import MAX_MESSAGE_BYTES, OUTCOME_FILE, ExitRecord, JobRequest
from tau.workers import attempt_files, killtree, processes
from tau.workers.attempt_files import STACK_FILE, SUPERVISOR_LOG_FILE
from tau.workers.childsetup import Child, fork_child
from tau.workers.spool import Spool
from tau.workers.verdict import Evidence, judge, usage_of_children
from tau.workers.watch import REAP_S, Watch

DONE, NOT_STARTED, BROKEN = 0, 3, 70

MAX_ORDER_BYTES = 8192
"""More than the longest path; one write of the zygote is one read here."""

_STORE_S, _STORE_PAUSE_S = 60.0, 0.5
_MAX_DUMP_BYTES = 256 * 1024


def supervise(attempt_dir: Path, *, fresh_interpreter: bool) -> NoReturn:
    """Run one attempt to its end in this process, and end the process.

    Starts nothing where another supervisor has the lock, or where any mark of a start is found.
    """
    wake_fd = _leave_parent()
    child = _fork_child(fresh_interpreter=fresh_interpreter)
    _supervise(attempt_dir, child, wake_fd)


def supervise_on_order(orders: int) -> NoReturn:
    """Have a child ready, then do the same for the directory that comes through the pipe.

    The end of the pipe, or of the child, is the end of the process.
    """
    wake_fd = _leave_parent()
    child = _fork_child(fresh_interpreter=False, rehearsed=True)
    attempt_dir = _wait_for_order(orders, wake_fd)
    if attempt_dir is None:
        child.dismiss()
        os._exit(NOT_STARTED)
    os.close(orders)
    _supervise(attempt_dir, child, wake_fd)


def main(arguments: list[str]) -> NoReturn:
    """`python -m tau.workers.supervisor ATTEMPT_DIR`: where no zygote can fork it."""
    processes.close_descriptors(keep=(0, 1, 2))
    processes.ignore_terminal_signals()
    supervise(Path(arguments[0]), fresh_interpreter=True)


def _leave_parent() -> int:
    """Become a process of its own, and answer the descriptor that tells of its children's ends."""
    processes.new_session()
    processes.become_subreaper()
    processes.let_go_of_standard_streams()
    os.umask(0o077)
    return processes.wake_on_child_signals()


def _fork_child(*, fresh_interpreter: bool, rehearsed: bool = False) -> Child:
    """A waiting child; without one this process ends, and nothing was started."""
    try:
        return fork_child(fresh_interpreter=fresh_interpreter, rehearsed=rehearsed)
    except OSError:
        os._exit(NOT_STARTED)


def _wait_for_order(orders: int, wake_fd: int) -> Path | None:
    """The directory of the attempt to run; None where the zygote, or the child, has ended."""
    poll = select.poll()
    for descriptor in (orders, wake_fd):
        poll.register(descriptor, select.POLLIN)
    if any(descriptor == wake_fd for descriptor, _ in poll.poll()):
        return None
    path = os.read(orders, MAX_ORDER_BYTES)
    return Path(os.fsdecode(path)) if path else None


def _supervise(attempt_dir: Path, child: Child, wake_fd: int) -> NoReturn:
    code = BROKEN
    try:
        # Kept until the process ends: who sees the connection's end may count on both.
        watch = watch_attempt(attempt_dir, child, wake_fd)
        code = NOT_STARTED if watch is None else DONE
    except Exception:  # the last place that can tell of it
        log = attempt_dir / SUPERVISOR_LOG_FILE
        with contextlib.suppress(OSError):
            log.write_text(traceback.format_exc(), encoding="utf-8")
        killtree.end_descendants(killtree.Reaper(), within=REAP_S)
    finally:
        os._exit(code)


def watch_attempt(attempt_dir: Path, child: Child, wake_fd: int) -> Watch | None:
    """The attempt from lock to outcome; None where it is not to be started."""
    child.prepare(attempt_dir)
    lock = attempt_files.lock_to_start(attempt_dir)
    if lock is None:
        child.dismiss()
        return None
    request = JobRequest.read(attempt_dir)
    spool = Spool(attempt_files.mark_started(attempt_dir), request.limits)
    started_at = time.time()
    child.begin()
    watch = Watch(request, child, spool=spool, wake_fd=wake_fd)
    watch.until_all_have_ended()
    _store(attempt_dir, _conclude(watch, attempt_dir, started_at))
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
