"""The daemon's settings on the wire."""

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from tau.schemas.base import Input, Output


class SettingRead(Output):
    """`from` is default, tau.toml:LINE, [env.NAME]:LINE, a variable's name or command line."""

    name: str
    value: Any = None
    origin: Annotated[str, Field(alias="from")]


class ConfigRead(Output):
    """`layers` lie over each other, the last on top; `environments` are all that the file has."""

    file: str | None = None
    environment: str
    layers: list[str]
    environments: list[str]
    settings: list[SettingRead]
    next: list[str] | None = None


class ConfigCheck(Input):
    """A file's text with the name to call it by; neither: the daemon's own file."""

    file: Annotated[str, StringConstraints(min_length=1, max_length=4096)] | None = None
    text: Annotated[str, StringConstraints(max_length=1_000_000)] | None = None
    environment: Annotated[str, StringConstraints(max_length=64)] | None = None


class ProblemRead(Output):
    message: str
    setting: str | None = None
    file: str | None = None
    line: int | None = None
    variable: str | None = None
    hint: str | None = None


class ConfigChecked(Output):
    valid: bool
    file: str | None = None
    environment: str
    environments: list[str]
    errors: list[ProblemRead] | None = None
    next: list[str] | None = None
