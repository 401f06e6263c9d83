"""The daemon's settings: shown, and others tried before a restart."""

from tau.api.deps import Admin, ServicesDep
from tau.api.routing import keyed_router
from tau.schemas.config import ConfigCheck, ConfigChecked, ConfigRead

router = keyed_router("config")


@router.get("/config")
async def show_config(actor: Admin, services: ServicesDep) -> ConfigRead:
    """Every setting, where it came from; secrets masked."""
    return services.house.config.show()


@router.post("/config/validate")
async def validate_config(
    request: ConfigCheck, actor: Admin, services: ServicesDep
) -> ConfigChecked:
    """Whether a restart with this file would do."""
    return services.house.config.check(request)
