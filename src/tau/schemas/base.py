"""What all resources share on the wire: strict input, UTC times with Z, no nulls in answers."""

from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, StringConstraints


def format_time(value: datetime) -> str:
    """RFC 3339 in UTC, to the millisecond."""
    in_utc = value if value.tzinfo is UTC else value.astimezone(UTC)
    return in_utc.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"


UtcTime = Annotated[datetime, PlainSerializer(format_time, return_type=str)]
PipelineName = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_-]{0,62}$")]
Reason = Annotated[str, StringConstraints(max_length=2000)]
JsonObject = dict[str, Any]


class Input(BaseModel):
    """Base of what clients send: an unknown field is an error."""

    model_config = ConfigDict(extra="forbid")


class Change(Input):
    """What every change may say: why, and whether it is only to be tried."""

    dry_run: bool = False
    reason: Reason | None = None


class Output(BaseModel):
    """Base of what the daemon answers; fields that are None are left out."""


class FromRow(Output):
    """An answer that is read off a row of the store.

    No other reads attributes: a list of two kinds of row would try each row as the other kind,
    attribute by attribute, which took more than half of the time of a request.
    """

    model_config = ConfigDict(from_attributes=True)


class Cut(Output):
    """What was cut from an answer to keep it small, and the command that gets the whole."""

    path: str
    shown: int
    total: int
    get: str


class NamedWarning(Output):
    """Something the caller should know although the request was carried out."""

    code: str
    message: str


Next = Annotated[list[str], Field(default_factory=list)]
