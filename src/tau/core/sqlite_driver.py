"""aiosqlite with one hop to its thread for each statement, where SQLAlchemy's use of it takes five.

For each statement SQLAlchemy opens a cursor, executes, fetches and closes, and each of these
waits for the connection's thread: 0.3 ms, most of it waiting. Here the thread does all of it at
once, a BEGIN travels with the statement after it, and nobody waits for a reader's ROLLBACK.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import aiosqlite

Parameters = Iterable[Any]
_BEGINS = frozenset({"BEGIN", "BEGIN IMMEDIATE"})


class OneHopCursor:
    """A cursor that holds all rows of its statement once that was executed."""

    def __init__(self, connection: "OneHopConnection") -> None:
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
            await self._connection.in_thread(self._run, operation, parameters)
        return self

    async def executemany(self, operation: str, parameters: Sequence[Parameters]) -> Self:
        await self._connection.in_thread(self._run_many, operation, parameters)
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


class OneHopConnection(aiosqlite.Connection):
    """An aiosqlite connection for SQLAlchemy; `is_reader` says that it never writes."""

    def __init__(self, path: str, *, is_reader: bool) -> None:
        super().__init__(lambda: sqlite3.connect(path, isolation_level=None), iter_chunk_size=64)
        self._thread.daemon = True
        self._is_reader = is_reader
        self._begin: str | None = None

    def cursor(self) -> Any:
        return OneHopCursor(self)

    def begin_with_next(self, statement: str) -> None:
        """Start a transaction together with its first statement."""
        self._begin = statement

    async def in_thread(self, function: Any, *args: Any) -> None:
        """Run in the connection's thread, after the BEGIN that waits."""
        begin, self._begin = self._begin, None
        await self._execute(  # type: ignore[no-untyped-call]
            _after_begin, self._conn, begin, function, *args
        )

    async def commit(self) -> None:
        if self._begin is None:
            await super().commit()
        self._begin = None

    async def rollback(self) -> None:
        """Of a reader it only has to come before the next statement, which it does in the queue."""
        if self._begin is not None:
            self._begin = None
        elif self._is_reader and self._running:
            self._tx.put_nowait((None, self._conn.rollback))
        else:
            await super().rollback()


def _after_begin(raw: sqlite3.Connection, begin: str | None, function: Any, *args: Any) -> None:
    if begin is not None:
        raw.execute(begin)
    function(raw, *args)
