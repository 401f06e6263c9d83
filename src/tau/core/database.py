"""The only place that opens and commits transactions of the metadata store.

`db.transaction()` writes, `db.read()` reads. On SQLite a write transaction is BEGIN IMMEDIATE on
the one writer connection, which alone checkpoints; readers are query-only. Callbacks given to
`session.after_commit` run once the commit is durable and are dropped on rollback.
"""

import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

from sqlalchemy import event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine

from tau.core.refusals import mapped_errors
from tau.core.sqlite_driver import Connection, Use
from tau.errors import ConfigurationError, ExtraMissing

BUSY_TIMEOUT_S = 5.0
READERS = 4
WRITER_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA mmap_size=0",
    "PRAGMA cache_size=-16000",
)
READER_PRAGMAS = (
    "PRAGMA query_only=ON",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA mmap_size=0",
    "PRAGMA cache_size=-8000",
)

# It waits for those who read just now; its own statements never wait in here otherwise.
_EMPTY_THE_LOG = (
    "PRAGMA busy_timeout=2000",
    "PRAGMA wal_checkpoint(TRUNCATE)",
    "PRAGMA busy_timeout=0",
)


class ReadSession(AsyncSession):
    """A session that only reads."""


class Session(ReadSession):
    """A session inside a write transaction."""

    def after_commit(self, callback: Callable[[], None]) -> None:
        """Run `callback` once this transaction is durable; never if it is rolled back."""
        self.info.setdefault("after_commit", []).append(callback)


class Database:
    """The store's connections; made once by the composition root."""

    def __init__(self, url: str, *, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
        self.url = normalise_url(url)
        self.is_sqlite = self.url.startswith("sqlite")
        if self.is_sqlite:
            self._writer, self._reader, self._glancer = (
                _sqlite_engine(self.url, use, busy_s=busy_timeout_s)
                for use in (Use.WRITE, Use.READ, Use.GLANCE)
            )
        else:
            _require_driver()
            self._writer = self._reader = self._glancer = create_async_engine(
                self.url,
                pool_size=10,
                max_overflow=10,
                pool_timeout=busy_timeout_s,
                connect_args={"timeout": busy_timeout_s},
                hide_parameters=True,
            )

    @property
    def kind(self) -> str:
        return "sqlite" if self.is_sqlite else "postgresql"

    @property
    def engine(self) -> AsyncEngine:
        """The writer's engine, for migrations and tests."""
        return self._writer

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        """One unit of work that may write: committed at the end, rolled back on any error.

        Raises StoreUnavailable where the store can't take it now.
        """
        with mapped_errors():
            async with Session(self._writer, expire_on_commit=False) as session:
                async with session.begin():
                    yield session
                callbacks = session.info.pop("after_commit", ())
        for callback in callbacks:
            callback()

    @asynccontextmanager
    async def read(self) -> AsyncIterator[ReadSession]:
        """One consistent view for reading. Raises StoreUnavailable."""
        with mapped_errors():
            async with ReadSession(self._reader, autoflush=False) as session:
                yield session

    @asynccontextmanager
    async def glance(self) -> AsyncIterator[ReadSession]:
        """As `read`, for a few rows found by an index: on SQLite without a wait for a thread.

        Whatever might scan belongs into `read`: meanwhile nothing else is done here.
        """
        with mapped_errors():
            async with ReadSession(self._glancer, autoflush=False) as session:
                yield session

    async def ping(self) -> None:
        """Ask for next to nothing. Raises StoreUnavailable where it is not answered."""
        async with self.glance() as session:
            await session.execute(text("SELECT 1 FROM alembic_version"))

    @property
    def file(self) -> Path | None:
        """The file of a SQLite store."""
        return Path(make_url(self.url).database or "") if self.is_sqlite else None

    async def vacuum(self) -> None:
        """Give the room of removed rows back. On SQLite writers wait until it is done.

        Raises StoreUnavailable.
        """
        with mapped_errors():
            async with self._writer.connect() as connection:
                if self.is_sqlite:
                    raw = await connection.get_raw_connection()
                    driver = cast(Connection, raw.driver_connection)
                    await driver.run_alone("VACUUM", *_EMPTY_THE_LOG)
                    return
                alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
                await alone.execute(text("VACUUM (ANALYZE)"))

    async def close(self) -> None:
        for engine in {self._writer, self._reader, self._glancer}:
            await engine.dispose()


def normalise_url(url: str) -> str:
    """The URL with the async driver that Tau uses. Raises ConfigurationError."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise ConfigurationError("The database's url is not valid.", setting="database.url") from (
            error
        )
    backend = parsed.get_backend_name()
    drivers = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}
    if backend == "postgres":
        backend = "postgresql"
    if backend not in drivers:
        raise ConfigurationError(
            f"Tau's store is SQLite or PostgreSQL, not {backend}.",
            hint="postgresql://user:password@host/database, or no url for SQLite in the home.",
            setting="database.url",
        )
    return parsed.set(drivername=drivers[backend]).render_as_string(hide_password=False)


def find_password(url: str | None) -> str | None:
    """The password in a database's URL, if it has one."""
    try:
        password = make_url(url).password if url else None
    except ArgumentError:
        return None
    return str(password) if password else None


def _require_driver() -> None:
    """PostgreSQL's driver is an extra: most stores are SQLite. Raises ExtraMissing."""
    if find_spec("asyncpg") is None:
        raise ExtraMissing(
            "The store is PostgreSQL, and its driver asyncpg is not installed.",
            hint="pip install 'tau-pipelines[postgresql]' where the daemon runs.",
            extra="postgresql",
        )


def sqlite_url(path: Path) -> str:
    return f"sqlite+aiosqlite:///{path}"


def _sqlite_engine(url: str, use: Use, *, busy_s: float) -> AsyncEngine:
    path = make_url(url).database or ""

    async def connect() -> Connection:
        connection = Connection(path, use=use, busy_s=busy_s)
        await connection
        return connection

    # A session ends its transaction itself: a reset of the pool would be one wait more.
    engine = create_async_engine(
        url,
        async_creator=connect,
        pool_size=1 if use is Use.WRITE else READERS,
        max_overflow=0,
        # Whoever waits behind a write that waits for a lock waits no longer than that one.
        pool_timeout=busy_s if use is Use.WRITE else 30,
        pool_reset_on_return=None,
        # What is stored is not to be read in an error's text, and so in the log.
        hide_parameters=True,
    )
    writes = use is Use.WRITE
    # The writer waits for a lock in its thread: the database's own wait would block the loop.
    pragmas = [f"PRAGMA busy_timeout={int(busy_s * 1000)}"]
    pragmas += [*WRITER_PRAGMAS, "PRAGMA busy_timeout=0"] if writes else READER_PRAGMAS

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def start(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def open_read_only(path: Path) -> sqlite3.Connection:
    """SQLite's file of a store that no daemon has open; nothing is written, not even beside it."""
    # Without a log that was left over there is nothing to recover, and none is to be made.
    has_log = path.with_name(f"{path.name}-wal").exists()
    return sqlite3.connect(f"file:{path}?{'mode=ro' if has_log else 'immutable=1'}", uri=True)


def integrity_check(path: Path) -> str:
    """SQLite's quick_check of a store that nobody has open; "ok" or what is wrong."""
    with closing(open_read_only(path)) as connection:
        return str(connection.execute("PRAGMA quick_check").fetchone()[0])
