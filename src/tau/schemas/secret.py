"""Secrets on the wire: a value comes in once and never goes out again."""

from pydantic import SecretStr

from tau.schemas.base import Change, FromRow, NamedWarning, Output, UtcTime


class SecretSet(Change):
    """A secret's value, as text."""

    value: SecretStr


class SecretRow(FromRow):
    """A stored secret; `pipelines` are the first of those whose code names it."""

    name: str
    version: int
    set_at: UtcTime
    set_by: str
    agent: str | None = None
    pipelines: list[str] | None = None
    more_pipelines: int | None = None


class SecretMissing(Output):
    """A name that pipelines ask for and that is set nowhere."""

    name: str
    pipelines: list[str]


class SecretList(Output):
    secrets: list[SecretRow]
    total: int
    missing: list[SecretMissing] | None = None
    next_cursor: str | None = None
    next: list[str] | None = None


class SecretChanged(Output):
    """What became of a secret that was set; the same value again changes nothing."""

    name: str
    version: int
    changed: bool
    dry_run: bool
    pipelines: list[str] | None = None
    warnings: list[NamedWarning] | None = None
    next: list[str] | None = None


class SecretDeleted(Output):
    """`pipelines` name it still; `in_environment` says that the daemon's variable counts now."""

    name: str
    deleted: bool
    dry_run: bool
    pipelines: list[str] | None = None
    in_environment: bool | None = None
    next: list[str] | None = None


class SecretsRotated(Output):
    """How many secrets have been encrypted anew, and the id of the key that they have now."""

    rotated: int
    key_id: str | None = None
    dry_run: bool
    next: list[str] | None = None
