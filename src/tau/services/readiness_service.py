"""Whether the daemon takes up runs: what a load balancer or a supervisor asks."""

import asyncio
from collections.abc import Callable

from tau.core.database import Database
from tau.errors import DaemonNotReady, DaemonStopping, StoreUnavailable

PATIENCE_S = 2.0


class ReadinessService:
    """Tells no details: who asks has shown no key."""

    def __init__(self, db: Database, *, claims: Callable[[], bool]) -> None:
        self._db, self._claims = db, claims
        self._draining = False

    def drain(self) -> None:
        """From now on the daemon only finishes what it has."""
        self._draining = True

    async def check(self) -> None:
        """Raises DaemonStopping, DaemonNotReady, StoreUnavailable."""
        if self._draining:
            raise DaemonStopping("The daemon is stopping: it takes up no more runs.")
        if not self._claims():
            raise DaemonNotReady("The dispatcher does not run.")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._db.ping()
        except (StoreUnavailable, TimeoutError) as error:
            raise StoreUnavailable("The store can't be reached.") from error
