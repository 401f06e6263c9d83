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

_INTERPRETER = (sys.executable, "-P", "-m", __name__)
_END_OF_WORD = b"\0"
_READ_BYTES = 8192


@dataclass(frozen=True)
class Child:
    """A forked child, by its pid and the supervisor's non-blocking ends of its descriptors."""

    pid: int
    channel: int
    stdout: int
    stderr: int

    def prepare(self, attempt_dir: Path) -> None:
        """Name it the attempt, so that it gets ready for it. It leaves no mark there."""
        self._tell(os.fsencode(attempt_dir))

    def begin(self) -> None:
        """Let user code run: until then there is none in it."""
        self._tell(b"go")

    def _tell(self, word: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # who watches it will see that it is dead
            os.write(self.channel, word + _END_OF_WORD)

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
        _run(fresh_interpreter=fresh_interpreter)
    except BaseException:
        os.write(2, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(FAILED_SETUP)


def _run(*, fresh_interpreter: bool) -> NoReturn:
    """Get as ready as can be at each point, and run user code once that is allowed."""
    orders = _Orders()
    stage = None if fresh_interpreter else runtime.prepare(CHANNEL_FD)
    attempt_dir = Path(os.fsdecode(orders.next()))
    request = JobRequest.read(attempt_dir)
    _enter(request.env, attempt_dir)
    _limit(request.limits)
    orders.next()
    if stage is None or request.interpreter:
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)  # until the new image takes it
        os.set_inheritable(CHANNEL_FD, True)  # a stage was made of it
        command = [*(request.interpreter or _INTERPRETER), str(attempt_dir), str(CHANNEL_FD)]
        os.execve(command[0], command, request.env)  # noqa: S606 - no shell is wanted
    _dump_stacks_on_signal(attempt_dir)
    runtime.execute(stage, request, attempt_dir)


class _Orders:
    """What the supervisor says before user code runs; its silence for good ends this process."""

    def __init__(self) -> None:
        self._data = b""

    def next(self) -> bytes:
        while _END_OF_WORD not in self._data:
            data = os.read(CHANNEL_FD, _READ_BYTES)
            if not data:
                os._exit(NOTHING_TO_DO)
            self._data += data
        word, _, self._data = self._data.partition(_END_OF_WORD)
        return word


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
