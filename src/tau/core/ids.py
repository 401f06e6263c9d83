"""Ids: ULIDs, so that sorting by id is sorting by time, also within a millisecond."""

from datetime import UTC, datetime
from typing import Protocol

from ulid import ULID


class IdFactory(Protocol):
    """Makes ids whose text order is their order of creation."""

    def new(self) -> str:
        """26 characters of Crockford base 32, lower case."""
        ...


class UlidFactory:
    """ULIDs of the system clock, strictly rising within this process."""

    def __init__(self) -> None:
        self._last = ULID.from_int(0)

    def new(self) -> str:
        fresh = ULID()
        if fresh <= self._last:
            fresh = ULID.from_int(int(self._last) + 1)
        self._last = fresh
        return str(fresh).lower()


def first_at(moment: datetime) -> str:
    """The lowest id of that time: whatever was made before has a lower one."""
    moment = max(moment, datetime.fromtimestamp(0, UTC))
    return str(ULID.from_bytes(ULID.from_datetime(moment).bytes[:6] + bytes(10))).lower()


def created_at(identifier: str) -> datetime:
    """The time that a ULID holds, to the millisecond."""
    return ULID.from_str(identifier.upper()).datetime
