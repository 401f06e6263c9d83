"""Runs: asking for one, waiting for it, reading what happened."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Header, Query, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from tau.api.deps import IdempotencyKey, Reader, Runner, ServicesDep
from tau.api.pipelines import Limit
from tau.api.routing import keyed_router
from tau.pipeline.types import Level, RunStatus
from tau.schemas.base import Change
from tau.schemas.run import (
    ErrorList,
    InspectRead,
    LogList,
    ParamsCheck,
    RunCreate,
    RunList,
    RunPlan,
    RunRead,
)

router = keyed_router("runs")


@router.post("/pipelines/{name}/runs", status_code=202)
async def create_run(
    name: str,
    request: RunCreate,
    response: Response,
    actor: Runner,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> RunRead | RunPlan | ParamsCheck:
    """Queue a run; it is durable when this answers. Or only plan or check it: 200."""
    if request.dry_run or request.validate_only:
        response.status_code = 200
        return await services.runs.plan(name, request)
    run = await services.runs.create(name, request, actor, idempotency_key=idempotency_key)
    response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run


@router.post("/runs/{reference}/retry", status_code=202)
async def retry_run(
    reference: str,
    request: Change,
    response: Response,
    actor: Runner,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> RunRead | RunPlan:
    """A new run of the current version with an ended run's params and interval."""
    run = await services.runs.retry(reference, request, actor, idempotency_key=idempotency_key)
    if isinstance(run, RunPlan):
        response.status_code = 200
    else:
        response.headers["Location"] = f"/api/v1/runs/{run.id}"
    return run


@router.post("/runs/{reference}/cancel")
async def cancel_run(
    reference: str, request: Change, actor: Runner, services: ServicesDep
) -> RunRead:
    """End a run and its processes; one that executes may take its grace to be gone."""
    run_id = await services.runs.cancel(reference, request, actor)
    run = await services.traces.get(run_id)
    return run.model_copy(update={"dry_run": True}) if request.dry_run else run


@router.get("/runs")
async def list_runs(
    actor: Reader,
    services: ServicesDep,
    pipeline: str | None = None,
    status: Annotated[list[RunStatus] | None, Query()] = None,
    limit: Limit = 20,
    cursor: str | None = None,
    full: bool = False,
) -> RunList:
    """Runs, the newest first."""
    return await services.traces.list(
        pipeline=pipeline, statuses=status or [], limit=limit, cursor=cursor, full=full
    )


@router.get("/runs/{reference}")
async def get_run(
    reference: str,
    actor: Reader,
    services: ServicesDep,
    wait: Annotated[float, Query(ge=0, le=30)] = 0,
) -> RunRead:
    """One run; with `wait`, once it is final or that many seconds have passed."""
    if wait:
        reference = await services.runs.wait(reference, seconds=wait)
    return await services.traces.get(reference)


@router.get("/runs/{reference}/inspect")
async def inspect_run(
    reference: str, actor: Reader, services: ServicesDep, full: bool = False
) -> InspectRead:
    """A run's trace for diagnosis."""
    return await services.traces.inspect(reference, full=full)


@router.get("/runs/{reference}/logs")
async def list_logs(
    reference: str,
    actor: Reader,
    services: ServicesDep,
    level: Level | None = None,
    grep: Annotated[str | None, Query(max_length=200)] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
) -> LogList:
    """The newest matching log lines; the cursor pages to older ones."""
    return await services.logs.list(reference, level=level, grep=grep, limit=limit, cursor=cursor)


async def _run_id(reference: str, actor: Reader, services: ServicesDep) -> str:
    """Resolved before the stream starts, so that a wrong reference is still an error answer."""
    return await services.runs.wait(reference, seconds=0)


@router.get("/runs/{reference}/events", response_class=EventSourceResponse)
async def stream_events(
    run_id: Annotated[str, Depends(_run_id)],
    services: ServicesDep,
    last_event_id: Annotated[str | None, Header(alias="Last-Event-ID")] = None,
) -> AsyncIterator[ServerSentEvent]:
    """A run's events as they are stored; ends with `end` once the run is final."""
    async for item in services.logs.follow(run_id, last_event_id=last_event_id):
        yield ServerSentEvent(data=item.data, event=item.event, id=item.id)


@router.get("/errors")
async def list_errors(
    actor: Reader,
    services: ServicesDep,
    pipeline: str | None = None,
    since: str | None = None,
    limit: Limit = 20,
    full: bool = False,
) -> ErrorList:
    """Failures of the past, those of one kind as one group."""
    return await services.traces.errors(pipeline=pipeline, since=since, limit=limit, full=full)
