"""The directory of one attempt: where it lies, its lock, and the marks that decide who may start.

<home>/runs/<run_id>/<attempt>/ holds what `tau.pipeline.protocol` names. Whoever holds the lock
decides: a supervisor starts user code once (the spool is its mark), anyone else may bury the
attempt with a tombstone, after which no supervisor starts it.
"""

import contextlib
import fcntl
import os
from pathlib import Path

from tau.pipeline.protocol import (
    EXIT_FILE,
    LOCK_FILE,
    SPOOL_FILE,
    TOMBSTONE_FILE,
    WORK_DIR,
    ExitRecord,
    JobRequest,
)

STACK_FILE = "stack.txt"
"""Where the child's interpreter dumps its stacks at a timeout or a fatal signal."""

SUPERVISOR_LOG_FILE = "supervisor.log"
"""A supervisor's own failure, if it ever has one."""

_MARKS = frozenset({TOMBSTONE_FILE, EXIT_FILE, SPOOL_FILE})


def attempt_dir(home: Path, run_id: str, attempt: int) -> Path:
    return home / "runs" / run_id / str(attempt)


def create(directory: Path, request: JobRequest) -> bool:
    """Lay out a new attempt, readable by its owner alone; False where it exists already."""
    for parent in (directory.parent.parent, directory.parent):
        with contextlib.suppress(FileExistsError):
            os.mkdir(parent, 0o700)
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        return False
    os.mkdir(directory / WORK_DIR, 0o700)
    request.write(directory)
    return True


def try_lock(directory: Path) -> int | None:
    """The attempt's lock as a descriptor, or None while another process holds it.

    Raises FileNotFoundError where the attempt has no directory.
    """
    lock = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    return lock


def has_started(directory: Path) -> bool:
    """Whether a supervisor has come to the point of starting user code."""
    return (directory / SPOOL_FILE).exists()


def lock_to_start(directory: Path) -> int | None:
    """The lock of an attempt whose user code was never started and may be now, else None.

    A forgotten attempt's directory may be replaced by a new one meanwhile, whose lock this is not:
    so the marks are read first, and the lock is compared with the directory's after that.
    """
    try:
        lock = try_lock(directory)
        if lock is None or not _MARKS.isdisjoint(os.listdir(directory)):
            return None
        is_same = os.path.samestat(os.fstat(lock), os.stat(directory / LOCK_FILE))
    except FileNotFoundError:
        return None  # forgotten before it began
    return lock if is_same else None


def mark_started(directory: Path) -> int:
    """Say that user code is about to start: makes the spool and answers its descriptor.

    Called with the lock held. Raises FileExistsError where it was made before.
    """
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    return os.open(directory / SPOOL_FILE, flags, 0o600)


def bury(directory: Path) -> None:
    """Forbid every later start of this attempt; called with the lock held."""
    (directory / TOMBSTONE_FILE).touch(mode=0o600)


def write_exit(directory: Path, record: ExitRecord) -> None:
    """Make the outcome durable: whole or not at all, also across a power cut."""
    partial = directory / (EXIT_FILE + ".partial")
    with open(partial, "wb") as file:
        file.write(record.to_json())
        file.flush()
        os.fsync(file.fileno())
    partial.rename(directory / EXIT_FILE)
    folder = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_from_child(path: Path, *, limit: int) -> bytes:
    """What the child left in a file, at most `limit` bytes; empty where it left none.

    User code may have put anything there: a pipe must not block us, nor a link lead us away.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return b""
    try:
        return os.pread(descriptor, limit, 0)
    except OSError:
        return b""
    finally:
        os.close(descriptor)


def supervisor_trouble(directory: Path) -> str | None:
    """Why a supervisor failed by itself, where it could still say so."""
    try:
        text = (directory / SUPERVISOR_LOG_FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    lines = text.strip().splitlines()
    return f"The attempt's supervisor failed: {lines[-1]}" if lines else None
