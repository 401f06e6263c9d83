"""A store that fails once, at its n-th statement or commit, as its driver would say it."""

from typing import Any, Literal

from sqlalchemy import event

from tau.core.database import Database

Kind = Literal["statement", "commit", "after commit"]


class Fault:
    """Raises at the n-th occasion after `arm`, once.

    "commit": the transaction did not go through; "after commit": it did, and nobody is told.
    """

    def __init__(self, database: Database, kind: Kind) -> None:
        self._kind = kind
        self._left = 0
        self.fired = False
        for engine in {database._writer, database._reader, database._glancer}:
            self._error = engine.dialect.loaded_dbapi.OperationalError
            if kind == "statement":
                event.listen(engine.sync_engine, "do_execute", self._execute)
                event.listen(engine.sync_engine, "do_executemany", self._execute)
            else:
                self._wrap_commit(engine.sync_engine.dialect)

    def arm(self, n: int) -> None:
        self._left, self.fired = n, False

    def disarm(self) -> None:
        self._left = 0

    def _execute(self, *_: Any) -> None:
        if self._is_due():
            raise self._error("a fault, before the statement")

    def _wrap_commit(self, dialect: Any) -> None:
        commit = dialect.do_commit

        def do_commit(connection: Any) -> None:
            due = self._is_due()
            if due and self._kind == "commit":
                raise self._error("a fault, before the commit")
            commit(connection)
            if due:
                raise self._error("a fault, after the commit")

        dialect.do_commit = do_commit

    def _is_due(self) -> bool:
        self._left -= 1
        self.fired = self.fired or self._left == 0
        return self._left == 0
