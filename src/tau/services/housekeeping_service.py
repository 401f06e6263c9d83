"""What the daemon tidies up by itself: request keys that have served, messages that were
delivered, runs of long ago, and environments that nobody needs.

Removal goes in steps of a few milliseconds each with a pause after it, so that whoever wants to
write meanwhile waits for one step at most. It may end anywhere and goes on the next time.
"""

import asyncio
import math
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from tau.core.clock import Clock
from tau.core.config import RetentionSettings
from tau.core.database import Database
from tau.core.ids import first_at
from tau.repositories.history_repo import EndedRun, HistoryRepository
from tau.repositories.idempotency_repo import IdempotencyRepository
from tau.repositories.outbox_repo import OutboxRepository
from tau.services.environment_service import EnvironmentService

RUNS_AT_ONCE = 100
EVENTS_AT_ONCE = 500
KEYS_AT_ONCE = 500
MESSAGES_AT_ONCE = 500
DELIVERED_KEPT = timedelta(days=7)
UNDELIVERED_KEPT = timedelta(days=30)
UNSENDABLE_AFTER = timedelta(days=3)
"""Twice as long as a message is tried: whom it is for is not there any more."""
PAUSE_S = 0.005


class HousekeepingService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        retention: RetentionSettings,
        environments: EnvironmentService,
    ) -> None:
        self._db, self._clock, self._retention = db, clock, retention
        self._environments = environments

    @property
    def days(self) -> int:
        """How long runs are kept."""
        return self._retention.days

    async def tidy_up(self) -> None:
        """All of it."""
        await self.forget_old_keys()
        await self.remove_old_messages()
        await self.remove_old_runs()
        await self._environments.remove_unused()

    async def remove_old_messages(self) -> int:
        """Drop what was delivered a week ago, and what was given up a month ago; how many."""
        now, total, removed = self._clock.now(), 0, MESSAGES_AT_ONCE
        async with self._db.transaction() as session:
            await OutboxRepository(session).give_up(due_before=now - UNSENDABLE_AFTER, now=now)
        while removed == MESSAGES_AT_ONCE:
            async with self._db.transaction() as session:
                removed = await OutboxRepository(session).remove_old(
                    delivered_before=now - DELIVERED_KEPT,
                    before=now - UNDELIVERED_KEPT,
                    limit=MESSAGES_AT_ONCE,
                )
            total += removed
            await asyncio.sleep(PAUSE_S)
        return total

    async def forget_old_keys(self) -> None:
        """Drop idempotency keys that have served their day."""
        removed = KEYS_AT_ONCE
        while removed == KEYS_AT_ONCE:
            async with self._db.transaction() as session:
                keys = IdempotencyRepository(session)
                removed = await keys.remove_old(now=self._clock.now(), limit=KEYS_AT_ONCE)
            await asyncio.sleep(PAUSE_S)

    async def remove_old_runs(self) -> int:
        """Remove the ended runs that are too old or too many, the oldest first; how many.

        A pipeline's newest run and its last success stay. The totals of lists count what is
        kept; the numbers of runs go on from the newest one.
        """
        kept: dict[str, set[str]] = {}
        ended_before = self._clock.now() - timedelta(days=self._retention.days)
        removed, _ = await self._remove_by_age(kept, ended_before)
        async with self._db.read() as session:
            large = await HistoryRepository(session).list_large(
                runs=self._retention.runs_per_pipeline
            )
        for pipeline_id, newest in large:
            up_to = newest - self._retention.runs_per_pipeline
            removed += await self._remove_by_count(pipeline_id, up_to, kept)
        return removed

    async def count_old(self, ended_before: datetime) -> tuple[int, datetime | None]:
        """How many runs `remove_before` would remove, and when the first of them ended."""
        count, oldest = 0, None
        async with self._db.read() as session:
            history = HistoryRepository(session)
            found = await history.count_old(
                ended_before=ended_before, created_before=first_at(ended_before)
            )
            for pipeline_id, runs, first in found:
                kept = await history.list_kept(pipeline_id)
                count += runs - await history.count_ended(kept, ended_before=ended_before)
                oldest = min(oldest or first, first)
        return count, oldest if count else None

    async def remove_before(self, ended_before: datetime, *, until: float) -> tuple[int, bool]:
        """Remove what ended before a time, until a moment of the monotonic clock (seconds).

        How many, and whether that was all.
        """
        return await self._remove_by_age({}, ended_before, until=until)

    async def _remove_by_age(
        self, kept: dict[str, set[str]], ended_before: datetime, *, until: float = math.inf
    ) -> tuple[int, bool]:
        created_before = first_at(ended_before)
        removed, after = 0, ""
        while time.monotonic() < until:
            async with self._db.read() as session:
                found = await HistoryRepository(session).list_old(
                    ended_before=ended_before,
                    created_before=created_before,
                    after=after,
                    limit=RUNS_AT_ONCE,
                )
            removed += await self._remove(found, kept)
            if len(found) < RUNS_AT_ONCE:
                return removed, True
            after = found[-1].id
        return removed, False

    async def _remove_by_count(
        self, pipeline_id: str, up_to: int, kept: dict[str, set[str]]
    ) -> int:
        removed = after = 0
        while True:
            async with self._db.read() as session:
                found = await HistoryRepository(session).list_beyond(
                    pipeline_id, up_to=up_to, after=after, limit=RUNS_AT_ONCE
                )
            if not found:
                return removed
            after = found[-1].number
            removed += await self._remove(found, kept)

    async def _remove(self, runs: Sequence[EndedRun], kept: dict[str, set[str]]) -> int:
        """Remove these but the kept ones: first their events, then all else at once.

        What is kept was looked up once for each pipeline: a newer success only frees an older.
        """
        async with self._db.read() as session:
            for pipeline_id in {run.pipeline_id for run in runs} - kept.keys():
                kept[pipeline_id] = await HistoryRepository(session).list_kept(pipeline_id)
        run_ids = [run.id for run in runs if run.id not in kept[run.pipeline_id]]
        if not run_ids:
            return 0
        removed = EVENTS_AT_ONCE
        while removed == EVENTS_AT_ONCE:
            async with self._db.transaction() as session:
                removed = await HistoryRepository(session).remove_events(
                    run_ids, limit=EVENTS_AT_ONCE
                )
            await asyncio.sleep(PAUSE_S)
        async with self._db.transaction() as session:
            count = await HistoryRepository(session).remove_runs(run_ids)
        await asyncio.sleep(PAUSE_S)
        return count
