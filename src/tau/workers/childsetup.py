"""Forks the child of an attempt and makes it what user code is to find."""

import contextlib
import faulthandler
import fcntl
import os
import resource
import signal
import socket
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from tau.pipeline import runtime
from tau.pipeline.protocol import WORK_DIR, JobRequest, Limits
from tau.pipeline.rehearsal import rehearse
from tau.workers import killtree, processes, stackdump
from tau.workers.attempt_files import STACK_FILE

CHANNEL_FD = 3
NOTHING_TO_DO, FAILED_SETUP = 0, 71
"""The exit codes of a child that was given no attempt, and of one that failed to get ready."""

_END_OF_PATH = b"\0"
_MAX_PATH_BYTES = 8192


@dataclass(frozen=True)
class Child:
    """A forked child, by its pid and the supervisor's non-blocking ends of its descriptors."""

    pid: int
    channel: int
    stdout: int
    stderr: int

    def begin(self, attempt_dir: Path) -> None:
        """Let it run that attempt: until then it waits, with no user code in it.

        One that has died meanwhile is not told, and is seen to be dead by who watches it.
        """
        with contextlib.suppress(BrokenPipeError):
            os.write(self.channel, os.fsencode(attempt_dir) + _END_OF_PATH)

    def dismiss(self) -> None:
        """End one that still waits."""
        killtree.send(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def fork_child(*, fresh_interpreter: bool, rehearsed: bool = False) -> Child:
    """Fork the child of an attempt that is still to be named. Raises OSError.

    Forked before the supervisor does anything, it shares most memory, and gets ready while the
    supervisor does. With `fresh_interpreter` user code gets an interpreter of its own; a
    `rehearsed` child goes through a run for nothing first, so that the real one is fast.
    """
    ours, theirs = (end.detach() for end in socket.socketpair())
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    supervisor = os.getpid()
    pid = os.fork()
    if pid == 0:
        _become_child(
            descriptors=(theirs, out_write, err_write),
            supervisor=supervisor,
            fresh_interpreter=fresh_interpreter,
            rehearsed=rehearsed,
        )
    for end in (theirs, out_write, err_write):
        os.close(end)
    for end in (ours, out_read, err_read):
        os.set_blocking(end, False)
    return Child(pid=pid, channel=ours, stdout=out_read, stderr=err_read)


def run_fresh(arguments: list[str]) -> NoReturn:
    """The child's way in where it got an interpreter of its own."""
    attempt_dir = Path(arguments[0])
    _dump_stacks_on_signal(attempt_dir)
    runtime.main(JobRequest.read(attempt_dir), int(arguments[1]), attempt_dir)


def _become_child(
    *,
    descriptors: tuple[int, int, int],
    supervisor: int,
    fresh_interpreter: bool,
    rehearsed: bool,
) -> NoReturn:
    code = FAILED_SETUP
    try:
        _take_descriptors(*descriptors)
        processes.reset_signals()
        os.setsid()
        os.umask(0o077)
        processes.set_parent_death_signal(signal.SIGKILL)
        if os.getppid() != supervisor:
            os._exit(FAILED_SETUP)  # it died before the parent-death signal was set
        if rehearsed:
            rehearse()
        attempt_dir = _wait_for_begin()
        if attempt_dir is None:
            code = NOTHING_TO_DO
        else:
            _run(attempt_dir, fresh_interpreter=fresh_interpreter)
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _wait_for_begin() -> Path | None:
    """The attempt to run, None where the supervisor has none."""
    path = b""
    while not path.endswith(_END_OF_PATH):
        data = os.read(CHANNEL_FD, _MAX_PATH_BYTES)
        if not data:
            return None
        path += data
    return Path(os.fsdecode(path.removesuffix(_END_OF_PATH)))


def _run(attempt_dir: Path, *, fresh_interpreter: bool) -> NoReturn:
    request = JobRequest.read(attempt_dir)
    _enter(request.env, attempt_dir)
    _limit(request.limits)
    if fresh_interpreter:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until the new image takes it
        command = [sys.executable, "-P", "-m", __name__, str(attempt_dir), str(CHANNEL_FD)]
        os.execve(sys.executable, command, request.env)  # noqa: S606 - no shell is wanted
    _dump_stacks_on_signal(attempt_dir)
    runtime.main(request, CHANNEL_FD, attempt_dir)


def _take_descriptors(channel: int, out: int, err: int) -> None:
    """0 nothing, 1 and 2 the log pipes, 3 the channel; no other descriptor stays open."""
    # Copies above the targets first, so that no step overwrites what a later one needs.
    nothing = os.open(os.devnull, os.O_RDONLY)
    sources = (nothing, out, err, channel)
    copies = [fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, 16) for source in sources]
    for target, copy in enumerate(copies):
        os.dup2(copy, target)
    processes.close_descriptors(keep=range(CHANNEL_FD + 1))


def _enter(env: dict[str, str], attempt_dir: Path) -> None:
    os.environ.clear()
    os.environ.update(env)
    time.tzset()
    os.chdir(attempt_dir / WORK_DIR)


def _limit(limits: Limits) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _lower(resource.RLIMIT_NOFILE, limits.open_files)
    if limits.memory_bytes is not None:
        _lower(resource.RLIMIT_AS, limits.memory_bytes)


def _lower(kind: int, value: int) -> None:
    hard = resource.getrlimit(kind)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (value, value))


def _dump_stacks_on_signal(attempt_dir: Path) -> None:
    """SIGUSR2 writes where every thread and every task stands into a file."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    file = os.open(attempt_dir / STACK_FILE, flags, 0o600)
    signal.signal(signal.SIGUSR2, lambda *_: stackdump.write_tasks(file))
    faulthandler.register(signal.SIGUSR2, file=file, all_threads=True, chain=True)


if __name__ == "__main__":
    run_fresh(sys.argv[1:])
