"""Pipelines and deployments on the wire."""

from typing import Annotated, Any

from pydantic import StringConstraints

from tau.schemas.base import (
    Cut,
    Input,
    NamedWarning,
    Output,
    PipelineName,
    Reason,
    UtcTime,
)
from tau.schemas.environment import EnvironmentRead
from tau.schemas.run import RequestedBy
from tau.schemas.schedule import ScheduleRead


class DeploymentCreate(Input):
    """A file to deploy: all its pipelines, or one under another name.

    `origin` is the path the file was read from; it becomes the module's `__file__`, so that a
    pipeline on the same machine finds what lies beside it.
    """

    file_name: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    origin: Annotated[str, StringConstraints(max_length=4096)] | None = None
    source: str
    name: PipelineName | None = None
    schedule: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    dry_run: bool = False
    reason: Reason | None = None


class DeployedRead(Output):
    """What a deployment did, or would do, with one pipeline."""

    name: str
    version: int
    previous_version: int | None = None
    changed: bool
    line: int
    description: str | None = None
    tags: list[str] | None = None
    schedule: ScheduleRead | None = None


class DeploymentRead(Output):
    file: str
    sha256: str
    changed: bool
    dry_run: bool
    pipelines: list[DeployedRead]
    environment: EnvironmentRead | None = None
    warnings: list[NamedWarning] | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class LastRun(Output):
    run: str
    status: str
    finished_at: UtcTime | None = None


class PipelineRow(Output):
    """A pipeline in a list."""

    name: str
    version: int
    description: str | None = None
    tags: list[str] | None = None
    schedule: str | None = None
    last_run: LastRun | None = None
    runs: int


class PipelineFullRow(PipelineRow):
    """A pipeline in a list of which all was asked for."""

    file: str
    versions: int
    depends_on: list[str] | None = None
    retries: int
    timeout: float | None = None
    max_concurrent: int | None = None
    on_overlap: str
    params: Any | None = None
    secrets: list[str] | None = None
    deployed_at: UtcTime
    deployed_by: RequestedBy


class PipelineList(Output):
    pipelines: list[PipelineFullRow | PipelineRow]
    total: int
    next_cursor: str | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class PipelineRead(Output):
    """A pipeline as its current version says it."""

    name: str
    description: str | None = None
    version: int
    versions: int
    file: str
    line: int
    sha256: str
    function: str
    tags: list[str] | None = None
    schedule: ScheduleRead | None = None
    depends_on: list[str] | None = None
    retries: int
    retry_delay: float
    retry_backoff: float
    timeout: float | None = None
    max_concurrent: int | None = None
    on_overlap: str
    params: Any | None = None
    secrets: list[str] | None = None
    environment: EnvironmentRead | None = None
    deployed_at: UtcTime
    deployed_by: RequestedBy
    runs: int
    last_run: LastRun | None = None
    last_success_at: UtcTime | None = None
    truncated: list[Cut] | None = None
    next: list[str] | None = None


class CodeRead(Output):
    name: str
    version: int
    file: str
    sha256: str
    code: str
