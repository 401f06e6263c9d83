"""The store: what takes room, removing what is old, giving room back, copying it."""

from tau.api.deps import Admin, Reader, ServicesDep
from tau.api.routing import keyed_router
from tau.schemas.base import Change
from tau.schemas.store import (
    BackupCreate,
    BackupRead,
    Cleanup,
    CleanupRead,
    StoreStats,
    VacuumRead,
)

router = keyed_router("store")


@router.get("/db/stats")
async def store_stats(actor: Reader, services: ServicesDep) -> StoreStats:
    """What the store holds and takes."""
    return await services.house.store.stats()


@router.post("/db/cleanup")
async def clean_up(request: Cleanup, actor: Admin, services: ServicesDep) -> CleanupRead:
    """Remove old runs, for some seconds: where it is not `done`, ask again."""
    return await services.house.cleanup.cleanup(request, actor)


@router.post("/db/vacuum")
async def vacuum(request: Change, actor: Admin, services: ServicesDep) -> VacuumRead:
    """Give the room of what was removed back to the disk; answers when it is done."""
    return await services.house.store.vacuum(request, actor)


@router.post("/db/backup")
async def back_up(request: BackupCreate, actor: Admin, services: ServicesDep) -> BackupRead:
    """Copy the store into a file of this machine while everything goes on."""
    return await services.house.backups.create(request, actor)
