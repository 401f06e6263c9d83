"""The API's one router: everything below /api/v1 needs a key, by construction."""

from fastapi import APIRouter, Depends

from tau.api import keys, pipelines, runs, schedules, system
from tau.api.deps import authenticate

PREFIX = "/api/v1"

api_router = APIRouter(prefix=PREFIX, dependencies=[Depends(authenticate)])
for part in (
    system.router,
    pipelines.router,
    runs.router,
    schedules.router,
    keys.router,
):
    api_router.include_router(part)

public_router = system.public
