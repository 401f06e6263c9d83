"""The daemon itself: health, status, the API's description."""

from typing import Any

from fastapi import Request

from tau import __version__
from tau.api.deps import Reader, ServicesDep
from tau.api.routing import Router, keyed_router
from tau.schemas.status import HealthRead, StatusRead

public = Router(tags=["system"])
router = keyed_router("system")


@public.get("/healthz")
async def health() -> HealthRead:
    """Whether the daemon answers; the one route without a key."""
    return HealthRead(status="ok", version=__version__)


@router.get("/status")
async def status(actor: Reader, services: ServicesDep) -> StatusRead:
    """What the daemon is and what it is doing."""
    return await services.status.read()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, actor: Reader) -> dict[str, Any]:
    """The OpenAPI document of this API."""
    document: dict[str, Any] = request.app.openapi()
    return document
