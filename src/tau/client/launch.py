"""Starting a daemon in the background, once, however many clients ask for one at the same time."""

import errno
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from tau.client.home import DaemonInfo, Home, try_lock
from tau.client.http import Connection
from tau.client.target import Target
from tau.errors import ConfigurationError, DaemonStartFailed, TauError

DAEMON_MODULE = "tau.daemon.app"
START_TIMEOUT_S = 30.0

_POLL_S = 0.05
_LOG_LINES = 15
_LOG_BYTES = 16 * 1024
_LACKS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE, errno.EAGAIN,
     errno.ENOMEM}
)  # fmt: skip

_started: list[subprocess.Popen[bytes]] = []
"""Kept, so that one which ends before this process is reaped and none warns at its collection."""


def start_daemon(
    home: Home, *, arguments: Sequence[str] = (), within: float = START_TIMEOUT_S,
    module: str = DAEMON_MODULE,
) -> DaemonInfo:  # fmt: skip
    """Start `taud` in `home` and return once it answers; one that runs already is returned.

    Its working directory is the home and it writes to taud.log there. Raises DaemonStartFailed
    with the last lines of that log, and what the daemon itself reported as `cause`; or
    ConfigurationError where the home is not to be written to.
    """
    home.create()
    deadline = time.monotonic() + within
    try:
        with _only_one(home, deadline=deadline):
            running = home.find_daemon()
            if running and answers(running):
                return running
            return _launch(home, _command(module, arguments), deadline=deadline, within=within)
    except OSError as error:
        raise _of_system(home, error) from error


def answers(daemon: DaemonInfo) -> bool:
    """Whether it says that it is well."""
    connection = Connection(Target(daemon.url))
    try:
        return connection.health().get("status") == "ok"
    except TauError:
        return False
    finally:
        connection.close()


def _command(module: str, arguments: Sequence[str]) -> list[str]:
    # -P: the working directory is the home, and a json.py there must not be imported.
    return [sys.executable, "-P", "-m", module, "start", *arguments]


def _launch(home: Home, command: Sequence[str], *, deadline: float, within: float) -> DaemonInfo:
    log = os.open(home.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        begin = os.fstat(log).st_size
        process = subprocess.Popen(
            command, cwd=home.path, env=_environment(home), start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        )  # fmt: skip
    finally:
        os.close(log)
    _started.append(process)
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        daemon = home.find_daemon()
        if daemon and answers(daemon):
            return daemon
        if ended and not home.is_locked():
            raise _failed(home, f"it ended with exit code {process.returncode}", begin=begin)
        time.sleep(_POLL_S)
    raise _failed(home, f"it did not answer within {within:g} s", begin=begin)


def _environment(home: Home) -> Mapping[str, str]:
    # Its log is read for the error that it may end with, so that one has to be JSON.
    return os.environ | {"TAU_HOME": str(home.path), "TAU_OUTPUT": "json"}


@contextmanager
def _only_one(home: Home, *, deadline: float) -> Iterator[None]:
    """Held by the one that starts; the others wait for it, and then find what it has started."""
    path = home.path / "start.lock"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise DaemonStartFailed("Another client has been starting it for too long.")
            time.sleep(_POLL_S)
        yield
    finally:
        os.close(descriptor)


def _of_system(home: Home, error: OSError) -> TauError:
    """Why the system lets nothing be started: a lack that may pass, or a place that is wrong."""
    if error.errno in _LACKS:
        return DaemonStartFailed(f"The daemon did not start in {home.path}: {error.strerror}.")
    return ConfigurationError(
        f"The home {home.path} cannot be written to: {error.strerror}.",
        hint="Set TAU_HOME to a folder that you may write to.",
    )


def _failed(home: Home, reason: str, *, begin: int) -> DaemonStartFailed:
    lines = _log_tail(home, begin)
    facts: dict[str, Any] = {"log_file": str(home.log_file)}
    facts["log"] = [line for line in lines if not _error_of(line)]
    cause = next(filter(None, map(_error_of, reversed(lines))), None)
    if cause:
        facts["cause"] = cause
        reason = str(cause.get("message") or reason)
    hint = cause.get("hint") if cause else f"{home.log_file} says why."
    return DaemonStartFailed(
        f"The daemon did not start: {reason.rstrip('.')}.", hint=hint, next=["taud start"], **facts
    )


def _log_tail(home: Home, begin: int) -> list[str]:
    with open(home.log_file, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        file.seek(max(begin, end - _LOG_BYTES))
        text = file.read().decode("utf-8", "replace")
    return text.splitlines()[-_LOG_LINES:]


def _error_of(line: str) -> dict[str, Any] | None:
    """The error that the daemon printed as any command does, where the line is one."""
    try:
        document = json.loads(line)
    except ValueError:
        return None
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, dict) and "code" in error else None
