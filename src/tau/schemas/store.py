"""The store on the wire: what it holds, what was removed, given back and copied."""

from typing import Annotated

from pydantic import Field, StringConstraints

from tau.schemas.base import Change, Output, UtcTime


class TableSize(Output):
    """Rows as counters or estimates tell them; bytes with indexes."""

    name: str
    rows: int | None = None
    bytes: int | None = None


class OldestRun(Output):
    run: str
    id: str
    created_at: UtcTime


class StoreStats(Output):
    kind: str
    revision: str
    bytes: int
    wal_bytes: int | None = None
    estimated: bool
    oldest_run: OldestRun | None = None
    tables: list[TableSize]
    next: list[str] | None = None


class Cleanup(Change):
    """`days` is the retention's own where it is not said."""

    days: Annotated[int, Field(ge=1, le=36_500)] | None = None


class CleanupRead(Output):
    """`removed` runs, or those that would be; not `done`: ask again for the rest."""

    days: int
    before: UtcTime
    removed: int
    oldest: UtcTime | None = None
    done: bool = True
    dry_run: bool | None = None
    next: list[str] | None = None


class VacuumRead(Output):
    before_bytes: int
    after_bytes: int | None = None
    freed_bytes: int | None = None
    seconds: float | None = None
    dry_run: bool | None = None
    next: list[str] | None = None


class BackupCreate(Change):
    """`file` is a place on the daemon's machine."""

    file: Annotated[str, StringConstraints(pattern=r"^[^\x00]+$", max_length=4096)]
    force: bool = False


class BackupRead(Output):
    file: str
    host: str
    kind: str
    format: str
    revision: str
    bytes: int | None = None
    seconds: float | None = None
    restore: list[str]
    dry_run: bool | None = None
    next: list[str] | None = None
