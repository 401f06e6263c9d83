"""Deployments and pipelines."""

from typing import Annotated

from fastapi import Query, Response

from tau.api.deps import Deployer, IdempotencyKey, Reader, ServicesDep
from tau.api.routing import Router
from tau.schemas.pipeline import (
    CodeRead,
    DeploymentCreate,
    DeploymentRead,
    PipelineList,
    PipelineRead,
)

router = Router(tags=["pipelines"])
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


@router.get("/pipelines")
async def list_pipelines(
    actor: Reader,
    services: ServicesDep,
    limit: Limit = 20,
    cursor: str | None = None,
    tag: str | None = None,
) -> PipelineList:
    """The deployed pipelines, by name."""
    return await services.pipelines.list(limit=limit, cursor=cursor, tag=tag)


@router.get("/pipelines/{name}")
async def get_pipeline(name: str, actor: Reader, services: ServicesDep) -> PipelineRead:
    """One pipeline, by its name or its file's stem."""
    return await services.pipelines.get(name)


@router.get("/pipelines/{name}/code")
async def get_code(
    name: str, actor: Reader, services: ServicesDep, version: int | None = None
) -> CodeRead:
    """The source of a version."""
    return await services.pipelines.code(name, version=version)
