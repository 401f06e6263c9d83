"""aiosqlite as SQLAlchemy needs it to be fast: few waits for the connection's thread.

For each statement SQLAlchemy opens a cursor, executes, fetches and closes, and with aiosqlite
each of these waits for another thread: 0.3 ms, nearly all of it waiting, and more on an idle
machine whose processors have to wake up. Here:

- a cursor does all of that in one go, and a BEGIN travels with the statement after it;
- what is known to be short runs at once in the caller's thread: statements of the one writer,
  and reads that were asked for as a `glance`. They take microseconds;
- what may take long goes to the thread: commits (they wait for the disk), other reads, many rows
  at once, and waiting for a lock that another process holds.
"""

import sqlite3
import time
from collections.abc import Iterable, Sequence
from enum import Enum
from types import TracebackType
from typing import Any, Self

import aiosqlite

Parameters = Iterable[Any]
_BEGINS = frozenset({"BEGIN", "BEGIN IMMEDIATE"})
_MANY_ROWS = 64
_LOCK_PAUSE_S = 0.01


class Use(Enum):
    """What a connection is for, and so where its statements run."""

    WRITE = "write"
    READ = "read"
    GLANCE = "glance"


class Cursor:
    """A cursor that holds all rows of its statement once that was executed."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._rows: list[Any] = []
        self.description: Any = None
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    async def execute(self, operation: str, parameters: Parameters = ()) -> Self:
        if operation in _BEGINS:
            self._connection.begin_with_next(operation)
        else:
            await self._connection.run(self._run, operation, parameters, is_long=False)
        return self

    async def executemany(self, operation: str, parameters: Sequence[Parameters]) -> Self:
        is_long = len(parameters) > _MANY_ROWS
        await self._connection.run(self._run_many, operation, parameters, is_long=is_long)
        return self

    async def fetchall(self) -> list[Any]:
        rows, self._rows = self._rows, []
        return rows

    async def close(self) -> None:
        self._rows = []

    def _run(self, raw: sqlite3.Connection, operation: str, parameters: Parameters) -> None:
        cursor = raw.execute(operation, tuple(parameters))
        if cursor.description is not None:
            self._rows = cursor.fetchall()
        self._take(cursor)

    def _run_many(
        self, raw: sqlite3.Connection, operation: str, parameters: Sequence[Parameters]
    ) -> None:
        self._take(raw.executemany(operation, [tuple(row) for row in parameters]))

    def _take(self, cursor: sqlite3.Cursor) -> None:
        self.description = cursor.description
        self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        cursor.close()


class Connection(aiosqlite.Connection):
    """An aiosqlite connection for SQLAlchemy, of which one transaction at a time makes use.

    `busy_s` is how long a writer waits for the lock of another process.
    """

    def __init__(self, path: str, *, use: Use, busy_s: float) -> None:
        super().__init__(
            lambda: sqlite3.connect(path, isolation_level=None, check_same_thread=False),
            iter_chunk_size=64,
        )
        self._thread.daemon = True
        self._use, self._busy_s = use, busy_s
        self._begin: str | None = None

    def cursor(self) -> Any:
        return Cursor(self)

    def begin_with_next(self, statement: str) -> None:
        """Start a transaction together with its first statement."""
        self._begin = statement

    async def run(self, function: Any, *args: Any, is_long: bool) -> None:
        """Execute here or in the thread, after the BEGIN that waits."""
        begin, self._begin = self._begin, None
        if self._use is Use.READ:
            await self._in_thread(_after_begin, begin, function, *args)
            return
        if begin is not None:
            await self._start(begin)
        if is_long:
            await self._in_thread(function, *args)
        else:
            function(self._conn, *args)

    async def run_alone(self, *statements: str) -> None:
        """Execute statements that stand outside of any transaction, one by one in the thread."""
        for statement in statements:
            await self._in_thread(_run_alone, statement)

    async def commit(self) -> None:
        if self._begin is None:
            await super().commit()
        self._begin = None

    async def rollback(self) -> None:
        if self._begin is not None:
            self._begin = None
        elif self._use is Use.READ and self._running:
            # Nobody has to wait for it: the queue keeps it before the next statement.
            self._tx.put_nowait((None, self._conn.rollback))
        elif self._use is Use.GLANCE:
            self._conn.rollback()
        else:
            await super().rollback()

    async def _start(self, begin: str) -> None:
        try:
            self._conn.execute(begin)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            await self._in_thread(_begin_patiently, begin, self._busy_s)

    async def _in_thread(self, function: Any, *args: Any) -> None:
        await self._execute(function, self._conn, *args)  # type: ignore[no-untyped-call]


def _after_begin(raw: sqlite3.Connection, begin: str | None, function: Any, *args: Any) -> None:
    if begin is not None:
        raw.execute(begin)
    function(raw, *args)


def _run_alone(raw: sqlite3.Connection, statement: str) -> None:
    raw.execute(statement).fetchall()


def _begin_patiently(raw: sqlite3.Connection, begin: str, busy_s: float) -> None:
    """Wait for a lock that another process holds. Its own timeout would block the caller."""
    deadline = time.monotonic() + busy_s
    while True:
        try:
            raw.execute(begin)
            return
        except sqlite3.OperationalError as error:
            is_busy = error.sqlite_errorcode == sqlite3.SQLITE_BUSY
            if not is_busy or time.monotonic() > deadline:
                raise
        time.sleep(_LOCK_PAUSE_S)
