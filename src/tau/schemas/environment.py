"""Environments of files that declare their own dependencies, on the wire."""

from tau.schemas.base import Output, UtcTime


class EnvironmentRead(Output):
    """The environment of a file on this daemon.

    `packages` counts what is in it, or would be; `installed` names it. One that is not `ready`
    is built at deploy or when a run needs it; `problem` says why that can't be done here.
    """

    hash: str | None = None
    python: str | None = None
    packages: int | None = None
    ready: bool
    built_in_s: float | None = None
    problem: str | None = None
    dependencies: list[str]
    requires_python: str | None = None
    installed: list[str] | None = None


class BuildRead(Output):
    """One that is being built: `phase` is waiting, resolving, creating or installing N packages."""

    hash: str
    phase: str
    since: UtcTime
    dependencies: list[str]


class ReadyRead(Output):
    """One that is there; `deployed` says whether a deployed pipeline names it."""

    hash: str
    python: str
    packages: int
    built_in_s: float
    used_at: UtcTime
    deployed: bool


class EnvironmentList(Output):
    building: list[BuildRead]
    environments: list[ReadyRead]
