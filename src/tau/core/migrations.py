"""Brings the store to this version's schema at start; refuses a store that is newer."""

from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from tau.core.database import Database, open_read_only
from tau.core.refusals import mapped_errors
from tau.errors import StoreNewerThanCode

HEAD = "0006"
"""The newest revision; a test holds it against the migration scripts."""


async def upgrade(database: Database) -> str:
    """Apply what is missing, in one transaction; the revision that the store then has.

    Alembic is imported only where there is something to do: it costs a fifth of a second.
    """
    current = await find_revision(database)
    if current == HEAD:
        return HEAD
    if current is not None and current not in known_revisions():
        raise StoreNewerThanCode(
            f"The store is at revision {current}; this Tau knows up to {HEAD}.",
            store_revision=current,
            code_revision=HEAD,
        )
    with mapped_errors():
        async with database.engine.begin() as connection:
            await connection.run_sync(_upgrade)
    return HEAD


async def find_revision(database: Database) -> str | None:
    """The store's revision; None for an empty store. Raises StoreUnavailable."""
    with mapped_errors():
        async with database.engine.connect() as connection:
            revision = await connection.run_sync(current_revision)
            await connection.rollback()
    return revision


def file_revision(path: Path) -> str | None:
    """The revision of a SQLite file that no daemon has open. Raises sqlite3.Error."""
    with closing(open_read_only(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_master WHERE name='alembic_version'")
        if tables.fetchone() is None:
            return None
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(row[0]) if row else None


def current_revision(connection: Connection) -> str | None:
    """The store's revision; None for an empty store."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return None if revision is None else str(revision)


def known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory.from_config(_config()).walk_revisions()}


def _upgrade(connection: Connection) -> None:
    from alembic import command

    if connection.dialect.name == "postgresql":
        # Two daemons that start at once: the second one waits and then finds nothing to do.
        connection.execute(text("SELECT pg_advisory_xact_lock(823541)"))
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> Any:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts_path()).replace("%", "%%"))
    return config


def scripts_path() -> Path:
    """Inside the package when installed from a wheel, beside it in an editable install."""
    package = Path(str(files("tau")))
    packed = package / "_alembic"
    return packed if packed.is_dir() else package.parents[1] / "alembic"
