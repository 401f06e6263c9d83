"""Versions of a pipeline, and moving between them, on the wire."""

from typing import Annotated, Any

from pydantic import Field

from tau.schemas.base import Change, Output, UtcTime
from tau.schemas.run import RequestedBy


class VersionRow(Output):
    """A version in a list."""

    version: int
    current: bool
    sha256: str
    file: str
    deployed_at: UtcTime
    deployed_by: RequestedBy


class VersionList(Output):
    pipeline: str
    versions: list[VersionRow]
    total: int
    next_cursor: str | None = None
    next: list[str] | None = None


class DiffRead(Output):
    """What changed from one version to another: the text, and what the decorator says."""

    pipeline: str
    from_: Annotated[int, Field(serialization_alias="from")]
    to: int
    changed: bool
    added: int
    removed: int
    diff: str
    spec: dict[str, dict[str, Any]] | None = None


class Rollback(Change):
    """A request to make an older version the current one; the one before it by default."""

    to: Annotated[int, Field(ge=1)] | None = None


class RollbackRead(Output):
    pipeline: str
    version: int
    previous_version: int
    changed: bool
    dry_run: bool
    next: list[str] | None = None


class UndeployRead(Output):
    """What went out of service; history stays, and a later deploy goes on numbering."""

    pipeline: str
    undeployed: bool
    dry_run: bool
    version: int
    runs: int
    cancelled: list[str] | None = None
    running: list[str] | None = None
    next: list[str] | None = None
