"""Whether a store that no daemon of ours has open is whole, and which revision it has."""

import asyncio
import sqlite3
from pathlib import Path

from tau.core.database import Database, integrity_check
from tau.core.migrations import HEAD, file_revision, find_revision, known_revisions


def check_store_of(url: str | None, file: Path) -> tuple[bool, str, str | None]:
    """Ok, a sentence, and what to do. Raises StoreUnavailable, ConfigurationError."""
    if url is not None:
        return _by_revision("PostgreSQL", asyncio.run(_revision(url)))
    if not file.exists():
        return True, f"{file} is made at the first start.", None
    try:
        verdict, revision = integrity_check(file), file_revision(file)
    except sqlite3.Error as error:
        verdict, revision = str(error), None
    if verdict != "ok":
        hint = "Keep a copy of the file, then restore a backup or recover it with sqlite3."
        return False, f"{file} is damaged: {verdict}.", hint
    return _by_revision("SQLite, whole,", revision)


async def _revision(url: str) -> str | None:
    database = Database(url)
    try:
        return await find_revision(database)
    finally:
        await database.close()


def _by_revision(kind: str, revision: str | None) -> tuple[bool, str, str | None]:
    if revision == HEAD:
        return True, f"{kind} at revision {revision}.", None
    if revision is None:
        return True, f"{kind} is empty; the next start makes its tables.", None
    if revision not in known_revisions():
        hint = "Upgrade Tau, or restore the backup made before the newer version started."
        return False, f"{kind} at revision {revision}; this Tau knows up to {HEAD}.", hint
    return True, f"{kind} at revision {revision}; the next start brings it to {HEAD}.", None
