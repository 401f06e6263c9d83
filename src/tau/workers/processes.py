"""What Tau asks of the system for its processes: prctl, signals, descriptors, spawning."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence

SUPPORTS_FORK = sys.platform == "linux"
"""Whether a zygote may fork attempts: it takes a parent-death signal and a subreaper."""

_PASSED_VARIABLES = (
    "PATH", "HOME", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH",
)  # fmt: skip
_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True) if SUPPORTS_FORK else None


def _prctl(option: int, value: int) -> None:
    if _libc is None:
        return  # such a platform is weaker here: process groups alone find the descendants
    if _libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def set_parent_death_signal(signal_number: int) -> None:
    """The kernel sends this process the signal when the thread that forked it ends.

    Cleared by a change of credentials, and late where the parent has died already: ask for
    `os.getppid()` afterwards.
    """
    _prctl(_PR_SET_PDEATHSIG, signal_number)


def become_subreaper() -> None:
    """Orphaned descendants become children of this process, however far they ran."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def thread_count() -> int:
    """The kernel's threads of this process, those of native libraries included."""
    return len(os.listdir("/proc/self/task"))


def close_descriptors(*, keep: Sequence[int]) -> None:
    """Close every descriptor of this process but those."""
    for name in os.listdir("/dev/fd"):
        if int(name) not in keep:
            with contextlib.suppress(OSError):  # the listing's own descriptor is gone by now
                os.close(int(name))


def new_session() -> None:
    """Leave the terminal's session; one that leads a session already has left it."""
    with contextlib.suppress(PermissionError):
        os.setsid()


def ignore_terminal_signals() -> None:
    """What a terminal or a service manager sends to all processes does not end this one.

    Whatever else the parent of this one ignored is as it is by default again, but SIGPIPE and
    SIGXFSZ, which any Python ignores.
    """
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)


def reset_signals() -> None:
    """What a fresh interpreter would find, in a fork of a process that used this module."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def let_go_of_standard_streams() -> None:
    """Who reads the daemon's output is not to wait for the end of this process."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for target in (0, 1, 2):
        os.dup2(nothing, target)
    os.close(nothing)


def wake_on_child_signals() -> int:
    """A descriptor that becomes readable whenever a child of this process has changed."""
    read, write = os.pipe()
    for end in (read, write):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # only a handled signal wakes the loop
    signal.set_wakeup_fd(write, warn_on_full_buffer=False)
    return read


def clean_environment() -> dict[str, str]:
    """What an interpreter of Tau's own needs; a child's environment is its request's alone."""
    return {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}


def spawn_module(
    module: str,
    arguments: Sequence[str],
    *,
    env: Mapping[str, str],
    descriptor: int | None = None,
) -> int:
    """Start `python -m module` with only stderr inherited and answer its pid.

    `descriptor` becomes number 3 there. The caller reaps the process, or never asks for it.
    """
    actions: list[tuple[int, ...] | tuple[int, int, str, int, int]] = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
    ]
    source = None
    if descriptor is not None:
        # A number of its own: dup2 onto itself would leave close-on-exec set.
        source = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
        actions.append((os.POSIX_SPAWN_DUP2, source, 3))
    try:
        command = [sys.executable, "-P", "-m", module, *arguments]
        return os.posix_spawn(sys.executable, command, env, file_actions=actions)
    finally:
        if source is not None:
            os.close(source)


def boot_time() -> float:
    """Seconds on a clock that nobody sets and that goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
