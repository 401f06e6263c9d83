"""Which errors of the drivers mean that the store can't take it now, and how that is told.

Nobody is to read a driver's own words for what an operator can act on: a lock, a full disk, a
server that is not there. Everything else passes as it is, since it is a bug of ours.
"""

import sqlite3
from typing import Any

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tau.errors import StoreUnavailable

RETRY_AFTER_S = 1

_LOCKED = "Another process holds the store's write lock."
_FULL = "The disk of the store is full."
_UNREADABLE = "The disk of the store refuses to be read or written."
_CROWDED = "The store has too many writes to do; this one was not tried."
_AWAY = "The store's server does not answer."
_HINTS = {
    _LOCKED: "Tau has waited for it. Whatever else has the store's file open is to let go of it.",
    _FULL: "Free some space; Tau goes on by itself.",
    _UNREADABLE: "taud doctor looks at the disk and at the store.",
    _CROWDED: "Try again.",
    _AWAY: "Tau tries again by itself; check the server and [database] url.",
}
_SQLITE = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _UNREADABLE,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
}
_SQLSTATES = {
    "08": _AWAY,  # connection exceptions
    "40": "Other transactions were in the way.",
    "53100": _FULL,
    "53": "The store's server has no resources left.",
    "57P": _AWAY,  # it shuts down, has crashed, is starting up
    "58": _UNREADABLE,
    "25006": "The store's server is read-only now.",
}


class mapped_errors:  # noqa: N801
    """Turns a driver's refusal into StoreUnavailable; other errors pass as they are."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        message = None if error is None else refusal(error)
        if message is not None:
            raise StoreUnavailable(
                message, hint=_HINTS.get(message), retry_after_s=RETRY_AFTER_S
            ) from error


def refusal(error: BaseException) -> str | None:
    """What a driver's error says of the store's state, in our words; None for any other error."""
    if isinstance(error, PoolTimeout):
        return _CROWDED
    # The drivers' connects raise what the network or the server said, not wrapped by anything.
    if isinstance(error, OSError):
        return f"The store can't be reached: {error}."
    if isinstance(error, DBAPIError):
        return _of_driver(error)
    return _of_state(error) if type(error).__module__.startswith("asyncpg.") else None


def _of_driver(error: DBAPIError) -> str | None:
    cause = error.orig
    code = getattr(cause, "sqlite_errorcode", None)
    if code is not None and (known := _SQLITE.get(code & 0xFF)):
        return known
    if found := _of_state(cause):
        return found
    if error.connection_invalidated:
        return _AWAY
    if isinstance(error, OperationalError | InterfaceError):
        return f"The store does not take this now: {_first_line(cause)}"
    return None


def _of_state(cause: Any) -> str | None:
    """By the SQLSTATE; the longest prefix that is known counts."""
    state = getattr(cause, "sqlstate", None) or ""
    return next((_SQLSTATES[state[:n]] for n in (5, 3, 2) if state[:n] in _SQLSTATES), None)


def _first_line(cause: BaseException | None) -> str:
    return (str(cause).splitlines() or [type(cause).__name__])[0]
