"""What the daemon tidies up by itself."""

from tau.core.clock import Clock
from tau.core.database import Database
from tau.repositories.idempotency_repo import IdempotencyRepository


class HousekeepingService:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    async def forget_old_keys(self) -> None:
        """Drop idempotency keys that have served their day."""
        async with self._db.transaction() as session:
            await IdempotencyRepository(session).remove_old(now=self._clock.now())
