"""API keys on the wire; a key's text leaves the daemon once, when it is made."""

from typing import Annotated

from pydantic import BeforeValidator, Field, StringConstraints

from tau.core.auth import Scope
from tau.pipeline.durations import parse_duration
from tau.schemas.base import Change, FromRow, Output, UtcTime


class KeyCreate(Change):
    """A request for a key; `expires` is a span from now, in seconds or as text."""

    name: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
    scopes: Annotated[list[Scope], Field(min_length=1)]
    expires: Annotated[float, BeforeValidator(parse_duration), Field(gt=0, le=3.2e8)] | None = None


class KeyRow(FromRow):
    id: str
    name: str
    scopes: list[str]
    created_at: UtcTime
    expires_at: UtcTime | None = None
    revoked_at: UtcTime | None = None


class KeyList(Output):
    keys: list[KeyRow]
    total: int
    next_cursor: str | None = None


class KeyCreated(Output):
    """A new key; `key` is shown this once and stored nowhere."""

    id: str | None = None
    name: str
    scopes: list[str]
    key: str | None = None
    expires_at: UtcTime | None = None
    dry_run: bool = False
    next: list[str] | None = None


class KeyRevoked(Output):
    id: str
    name: str
    revoked: bool
    dry_run: bool
