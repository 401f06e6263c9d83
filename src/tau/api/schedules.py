"""Schedules of pipelines."""

from tau.api.deps import Deployer, Reader, ServicesDep
from tau.api.pipelines import Limit
from tau.api.routing import keyed_router
from tau.schemas.schedule import ScheduleChange, ScheduleChanged, ScheduleList

router = keyed_router("schedules")


@router.get("/schedules")
async def list_schedules(
    actor: Reader, services: ServicesDep, limit: Limit = 20, cursor: str | None = None
) -> ScheduleList:
    """The schedules of all deployed pipelines, with their next ticks."""
    return await services.schedules.list(limit=limit, cursor=cursor)


@router.post("/pipelines/{name}/schedule")
async def change_schedule(
    name: str, request: ScheduleChange, actor: Deployer, services: ServicesDep
) -> ScheduleChanged:
    """Set, rule, switch or clear a pipeline's schedule."""
    return await services.schedules.change(name, request, actor)
