"""The daemon itself: health, status, the API's description."""

from typing import Any

from fastapi import Request, Response

from tau import __version__
from tau.api.deps import Reader, ServicesDep
from tau.api.routing import Router, keyed_router
from tau.schemas.status import HealthRead, ReadyRead, StatusRead

public = Router(tags=["system"])
router = keyed_router("system")
scraped = keyed_router("system", prefix="")


@public.get("/healthz")
async def health() -> HealthRead:
    """Whether the daemon answers."""
    return HealthRead(status="ok", version=__version__)


@public.get("/readyz")
async def readiness(services: ServicesDep) -> ReadyRead:
    """Whether it takes up runs; 503 with the reason where it does not."""
    await services.house.readiness.check()
    return ReadyRead(status="ready")


@scraped.get("/metrics", response_class=Response)
async def metrics(actor: Reader, services: ServicesDep) -> Response:
    """The daemon's numbers in Prometheus' text format."""
    text, content_type = await services.house.metrics.read()
    return Response(text, headers={"Content-Type": content_type})


@router.get("/status")
async def status(actor: Reader, services: ServicesDep) -> StatusRead:
    """What the daemon is and what it is doing."""
    return await services.status.read()


@router.get("/openapi.json", include_in_schema=False)
async def openapi(request: Request, actor: Reader) -> dict[str, Any]:
    """The OpenAPI document of this API."""
    document: dict[str, Any] = request.app.openapi()
    return document
