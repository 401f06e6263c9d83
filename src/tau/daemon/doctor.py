"""`taud doctor`: looks at all that a daemon of this home stands on, and changes nothing.

Each check answers whether it is well, in a sentence, and what to do where it is not. Works with
and without a running daemon: what only the daemon may open, the daemon is asked for.
"""

import os
import shutil
import sqlite3
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from tau.client.home import DaemonInfo, Home, find_home
from tau.client.http import Connection
from tau.client.target import local_target
from tau.core import config
from tau.core.config import Settings
from tau.daemon import strays
from tau.daemon.home import has_room
from tau.errors import RunNotFound, TauError
from tau.pipeline.types import ACTIVE_STATUSES

FIXED_SQLITE = (3, 51, 3)
LEAST_PYTHON = (3, 11)
LOW_SPACE_BYTES = 256 * 1024 * 1024
CLOCK_JUMP_S = 5.0
ANSWER_S = 5.0
STRAY_LOOKS, STRAY_PAUSE_S = 3, 0.3
ZONES = ("UTC", "Europe/Berlin", "America/New_York")
PRIVATE = {"daemon.json": 0o022, "credentials": 0o077, "node_id": 0o077, "secrets.key": 0o077}


@dataclass(frozen=True)
class Finding:
    """What a check has found; a hint says what to do."""

    ok: bool
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Patient:
    """What is looked at: a home, its settings where they can be read, its daemon if one runs."""

    home: Home
    settings: Settings | None
    trouble: TauError | None
    daemon: DaemonInfo | None

    def ask(self, path: str) -> dict[str, Any]:
        """What the daemon answers. Raises TauError."""
        assert self.daemon is not None  # noqa: S101
        target = local_target(self.home, self.daemon)
        connection = Connection(target, answer_timeout_s=ANSWER_S)
        try:
            return connection.get(path)
        finally:
            connection.close()


def doctor() -> dict[str, Any]:
    """All checks of this home: {ok, checks: [{name, ok, message, hint?}]}."""
    patient = _patient()
    checks = [_document(name, check, patient) for name, check in CHECKS.items()]
    return {"ok": all(check["ok"] for check in checks), "checks": checks}


def _patient() -> Patient:
    home, settings, trouble = find_home(), None, None
    try:
        settings = config.load(config.find_file(Path.cwd(), os.environ))
    except TauError as error:
        trouble = error
    return Patient(home, settings, trouble, home.find_daemon())


def _document(name: str, check: Callable[[Patient], Finding], patient: Patient) -> dict[str, Any]:
    try:
        found = check(patient)
    except TauError as error:
        found = Finding(False, error.message, error.hint)
    except OSError as error:
        found = Finding(False, f"It can't be looked at: {error}.")
    document = {"name": name, "ok": found.ok, "message": found.message}
    return document | ({"hint": found.hint} if found.hint else {})


def check_python(_patient: Patient) -> Finding:
    version = sys.version.split()[0]
    needed = ".".join(map(str, LEAST_PYTHON))
    return Finding(sys.version_info >= LEAST_PYTHON, f"{version}; Tau needs {needed} or newer.")


def check_sqlite(_patient: Patient) -> Finding:
    version = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= FIXED_SQLITE:
        return Finding(True, f"{version}.")
    return Finding(
        True,
        f"{version} has the WAL-reset bug that 3.51.3 has fixed: two connections that write or "
        "checkpoint at the same moment may corrupt a store. Tau's can't: one connection of one "
        "daemon writes, and it alone checkpoints.",
        "Keep other programs from writing to tau.db while a daemon runs.",
    )


def check_settings(patient: Patient) -> Finding:
    found = config.find_file(Path.cwd(), os.environ)
    if patient.trouble is not None:
        return Finding(False, patient.trouble.message, patient.trouble.hint)
    return Finding(True, f"{found}." if found else "No tau.toml: the defaults count.")


def check_home(patient: Patient) -> Finding:
    """Others must not read keys, nor write what clients believe."""
    path = patient.home.path
    if not path.exists():
        return Finding(True, f"{path} is made at the first start.")
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        return Finding(False, f"{path} can't be written to.", f"chown -R {os.getuid()} {path}")
    wrong = [_mode(path, 0o077)] + [_mode(path / name, bits) for name, bits in PRIVATE.items()]
    open_ones = [text for text in wrong if text]
    if open_ones:
        return Finding(
            False, f"Others have access: {', '.join(open_ones)}.", f"chmod -R go= {path}"
        )
    return Finding(True, f"{path} is its owner's alone.")


def _mode(path: Path, forbidden: int) -> str | None:
    """The path with its mode, where that lets others in."""
    if not path.exists():
        return None
    mode = stat.S_IMODE(path.stat().st_mode)
    return f"{path.name} has {mode:04o}" if mode & forbidden else None


def check_disk(patient: Patient) -> Finding:
    folder = patient.home.path
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    message = f"{free / 1024**3:.1f} GiB are free where {patient.home.path} is."
    hint = "Free some space, or keep less history: [retention] in tau.toml."
    if not has_room(folder):
        return Finding(False, f"The disk is full: {message} Writes are refused.", hint)
    return Finding(free >= LOW_SPACE_BYTES, message, hint if free < LOW_SPACE_BYTES else None)


def check_store(patient: Patient) -> Finding:
    from tau.daemon.store_check import check_store_of

    if patient.settings is None:
        return Finding(False, "Not looked at: the settings tell where it is.")
    url, file = patient.settings.database.url, patient.home.path / "tau.db"
    if patient.daemon is not None and url is None:
        revision = patient.ask("/status")["store"]["revision"]
        return Finding(True, f"SQLite at revision {revision}, open in the daemon.")
    ok, message, hint = check_store_of(url, file)
    return Finding(ok, message, hint)


def check_daemon(patient: Patient) -> Finding:
    """One that runs answers; else its address is free for the next start."""
    if patient.daemon is not None:
        status = patient.ask("/status")
        return Finding(
            True, f"{status['version']} answers on {patient.daemon.url}, pid {patient.daemon.pid}."
        )
    if patient.home.is_locked():
        return Finding(
            False,
            "A daemon holds the lock of this home and does not say where it answers.",
            f"It is starting or stopping; {patient.home.log_file} tells more.",
        )
    if patient.settings is None:
        return Finding(True, "None runs.")
    from tau.daemon.server import bind, check_bind

    check_bind(patient.settings)
    where = patient.settings.daemon
    bind(where.host, where.port, free_port=False).close()
    return Finding(True, f"None runs; {where.host}:{where.port} is free.")


def check_clock(patient: Patient) -> Finding:
    missing = [zone for zone in ZONES if not _has_zone(zone)]
    if missing:
        return Finding(
            False, f"There is no time zone data for {', '.join(missing)}.", "pip install tzdata"
        )
    if patient.daemon is None:
        return Finding(True, f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC; time zones are known.")
    lived = strays.seconds_since_start(patient.daemon.pid)
    if lived is None:
        return Finding(True, "Time zones are known; the daemon's age is not told here.")
    began = datetime.fromisoformat(patient.daemon.started_at)
    jump = (datetime.now(UTC) - began).total_seconds() - lived
    if abs(jump) > CLOCK_JUMP_S:
        return Finding(
            False,
            f"The clock was set by {jump:+.0f} s since the daemon started.",
            "Ticks go by the new time, and none comes twice. Let NTP keep the clock.",
        )
    return Finding(True, "The clock goes as it did when the daemon started; time zones are known.")


def _has_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError):
        return False
    return True


def check_processes(patient: Patient) -> Finding:
    if not strays.is_known():
        return Finding(True, "Not looked for: this system has no /proc.")
    workers = strays.list_workers()
    zygotes = strays.list_orphaned_zygotes(patient.home.path, workers)
    if zygotes:
        return Finding(
            False, f"Zygotes whose daemon is gone: {_listed(zygotes)}.", f"kill {_listed(zygotes)}"
        )
    attempts = strays.list_supervised(patient.home.path, workers)
    if patient.daemon is None:
        message = "No process of this home is left over."
        if attempts:
            message = f"{len(attempts)} attempts go on, and are adopted at the next start."
        return Finding(True, message)
    unknown = _unknown(patient, attempts)
    if unknown:
        return Finding(
            False,
            f"Supervisors of runs that the daemon does not execute: {_listed(unknown)}.",
            f"kill -9 {_listed(unknown)}",
        )
    return Finding(True, f"{len(attempts)} attempts execute, all known to the daemon.")


def _unknown(patient: Patient, attempts: list[strays.Supervised]) -> list[int]:
    """The supervisors of runs that have ended, or that are not in the store at all.

    One that has just reported its end needs a moment to go.
    """
    for look in range(STRAY_LOOKS):
        if look:
            time.sleep(STRAY_PAUSE_S)
            alive = {worker.pid for worker in strays.list_workers()}
            attempts = [attempt for attempt in attempts if attempt.pid in alive]
        attempts = [attempt for attempt in attempts if not _executes(patient, attempt.run_id)]
        if not attempts:
            break
    return [attempt.pid for attempt in attempts]


def _executes(patient: Patient, run_id: str) -> bool:
    try:
        return patient.ask(f"/runs/{run_id}")["status"] in ACTIVE_STATUSES
    except RunNotFound:
        return False


def _listed(pids: list[int]) -> str:
    return " ".join(map(str, sorted(pids)))


def check_uv(_patient: Patient) -> Finding:
    found = shutil.which("uv") or ("the uv package" if find_spec("uv") else None)
    if found:
        return Finding(True, f"{found}.")
    return Finding(
        True,
        "Not found: pipelines with dependencies of their own can't be given an environment.",
        "pip install uv",
    )


CHECKS: dict[str, Callable[[Patient], Finding]] = {
    "python": check_python,
    "sqlite": check_sqlite,
    "settings": check_settings,
    "home": check_home,
    "disk": check_disk,
    "store": check_store,
    "daemon": check_daemon,
    "clock": check_clock,
    "processes": check_processes,
    "uv": check_uv,
}
