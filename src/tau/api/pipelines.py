"""Deployments and pipelines."""

from typing import Annotated

from fastapi import Query, Response

from tau.api.deps import Deployer, IdempotencyKey, Reader, ServicesDep
from tau.api.routing import keyed_router
from tau.schemas.base import Change
from tau.schemas.environment import EnvironmentList
from tau.schemas.pipeline import (
    CodeRead,
    DeploymentCreate,
    DeploymentRead,
    PipelineList,
    PipelineRead,
)
from tau.schemas.version import DiffRead, Rollback, RollbackRead, UndeployRead, VersionList

router = keyed_router("pipelines")
Limit = Annotated[int, Query(ge=1, le=200)]


@router.post("/deployments", status_code=201)
async def deploy(
    request: DeploymentCreate,
    response: Response,
    actor: Deployer,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> DeploymentRead:
    """Deploy a file: 201 where a version was stored, 200 where nothing changed."""
    answer = await services.deployments.deploy(request, actor, idempotency_key=idempotency_key)
    if answer.dry_run or not answer.changed:
        response.status_code = 200
    return answer


@router.get("/environments")
async def list_environments(actor: Reader, services: ServicesDep) -> EnvironmentList:
    """The environments of files that have their own: what is being built, what is there."""
    return await services.environments.list()


@router.get("/pipelines")
async def list_pipelines(
    actor: Reader,
    services: ServicesDep,
    limit: Limit = 20,
    cursor: str | None = None,
    tag: str | None = None,
    full: bool = False,
) -> PipelineList:
    """The deployed pipelines, by name."""
    return await services.pipelines.list(limit=limit, cursor=cursor, tag=tag, full=full)


@router.get("/pipelines/{name}")
async def get_pipeline(
    name: str, actor: Reader, services: ServicesDep, full: bool = False
) -> PipelineRead:
    """One pipeline, by its name or its file's stem."""
    return await services.pipelines.get(name, full=full)


@router.get("/pipelines/{name}/code")
async def get_code(
    name: str, actor: Reader, services: ServicesDep, version: int | None = None
) -> CodeRead:
    """The source of a version."""
    return await services.pipelines.code(name, version=version)


@router.get("/pipelines/{name}/versions")
async def list_versions(
    name: str, actor: Reader, services: ServicesDep, limit: Limit = 20, cursor: str | None = None
) -> VersionList:
    """The versions of a pipeline, the newest first."""
    return await services.versions.list(name, limit=limit, cursor=cursor)


@router.get("/pipelines/{name}/diff")
async def diff_versions(
    name: str,
    actor: Reader,
    services: ServicesDep,
    start: Annotated[int | None, Query(alias="from", ge=1)] = None,
    end: Annotated[int | None, Query(alias="to", ge=1)] = None,
) -> DiffRead:
    """What changed from one version to another."""
    return await services.versions.diff(name, start=start, end=end)


@router.post("/pipelines/{name}/rollback")
async def rollback(
    name: str, request: Rollback, actor: Deployer, services: ServicesDep
) -> RollbackRead:
    """Make an older version the current one."""
    return await services.versions.rollback(name, request, actor)


@router.post("/pipelines/{name}/undeploy")
async def undeploy(
    name: str, request: Change, actor: Deployer, services: ServicesDep
) -> UndeployRead:
    """Take a pipeline out of service; its history stays."""
    return await services.versions.undeploy(name, request, actor)
