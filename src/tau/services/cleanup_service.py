"""Removing old runs when somebody asks for it, by the rules that the daemon has for each hour."""

import time
from datetime import datetime, timedelta

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database
from tau.core.ids import IdFactory
from tau.repositories.audit_repo import AuditRepository
from tau.schemas.store import Cleanup, CleanupRead
from tau.services.housekeeping_service import HousekeepingService

ONE_REQUEST_S = 15.0
"""After so long a request is answered; whoever asked asks again for the rest."""


class CleanupService:
    def __init__(
        self, db: Database, clock: Clock, ids: IdFactory, *, housekeeping: HousekeepingService
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._housekeeping = housekeeping

    async def cleanup(self, request: Cleanup, actor: Actor) -> CleanupRead:
        """Remove the runs that ended longer ago than so many days, or say which would go."""
        days = request.days or self._housekeeping.days
        before = self._clock.now() - timedelta(days=days)
        if request.dry_run:
            count, oldest = await self._housekeeping.count_old(before)
            return CleanupRead(
                days=days, before=before, removed=count, oldest=oldest, dry_run=True,
                next=[f"tau db cleanup --days {days} --yes"],
            )  # fmt: skip
        until = time.monotonic() + ONE_REQUEST_S
        removed, done = await self._housekeeping.remove_before(before, until=until)
        await self._audit(request, actor, before, removed)
        return CleanupRead(
            days=days, before=before, removed=removed, done=done,
            next=["tau db stats", "tau db vacuum"],
        )  # fmt: skip

    async def _audit(self, request: Cleanup, actor: Actor, before: datetime, removed: int) -> None:
        async with self._db.transaction() as session:
            await AuditRepository(session).add(
                self._ids.new(),
                "db.cleanup",
                target="store",
                actor=actor,
                now=self._clock.now(),
                reason=request.reason,
                detail={"before": before.isoformat(), "runs": removed},
            )
