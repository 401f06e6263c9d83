"""Liveness of the daemons that share a store: leases, and the runs of those that were lost.

A lease is of a daemon, not of a run: one small write every few seconds. Who could not renew it
ends its attempts before the lease is over; the others take its runs only after that, so that
two attempts of one run never overlap.
"""

import random
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from tau.core.clock import Clock
from tau.core.counters import Counters
from tau.core.database import Database
from tau.core.signals import NEW_WORK, Signals
from tau.pipeline.protocol import ExitRecord
from tau.pipeline.types import RunStatus
from tau.repositories.claim_repo import ClaimRepository
from tau.repositories.worker_repo import LostRun, WorkerRepository
from tau.services.notice_service import NoticeService
from tau.services.outcome import Claim, fingerprint, retry_delay

LEASE = timedelta(seconds=30)
REAP_GRACE = timedelta(seconds=10)
RENEW_S = 5.0
SELF_FENCE_S = 20.0
"""After so long without a renewal a daemon ends what it executes: well before its lease is over."""


class LeaseService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        worker: dict[str, Any],
        signals: Signals,
        counters: Counters | None = None,
        notices: NoticeService | None = None,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._clock, self._random = db, clock, random
        self._notices = notices
        self._worker = worker
        self._signals, self._counters = signals, counters or Counters()

    async def renew(self) -> None:
        """Say that this daemon lives. Raises StoreUnavailable."""
        async with self._db.transaction() as session:
            workers = WorkerRepository(session)
            now = await workers.now(self._clock.now())
            await workers.renew(self._worker, until=now + LEASE)

    async def release(self) -> None:
        """The orderly end: others need not wait for the lease."""
        async with self._db.transaction() as session:
            workers = WorkerRepository(session)
            await workers.release(self._worker["id"], now=await workers.now(self._clock.now()))

    async def reap(self) -> int:
        """Retry or end the runs of daemons that were lost; how many."""
        async with self._db.read() as session:
            workers = WorkerRepository(session)
            now = await workers.now(self._clock.now())
            lost = await workers.list_lost(now=now, grace=REAP_GRACE)
        taken = 0
        for run in lost:
            taken += await self._take(run)
        return taken

    async def taken(self, claims: Sequence[Claim]) -> set[str]:
        """Which of these claims' runs others have taken meanwhile."""
        if not claims:
            return set()
        async with self._db.read() as session:
            return await WorkerRepository(session).list_taken(
                [(claim.run_id, claim.fence) for claim in claims], owner=self._worker["id"]
            )

    async def _take(self, lost: LostRun) -> bool:
        now = self._clock.now()
        reason = f"the daemon on {lost.host or 'an unknown host'} that executed it was lost"
        record = ExitRecord(
            run_id=lost.id,
            attempt=lost.attempt,
            fence=lost.fence,
            status=RunStatus.CRASHED,
            reason=reason,
        )
        status, next_at = RunStatus.CRASHED, now
        if lost.cancel_reason is not None:
            status, reason = RunStatus.CANCELLED, lost.cancel_reason
        elif lost.attempt < lost.max_attempts:
            status = RunStatus.RETRYING
            next_at = now + retry_delay(lost.spec, lost.attempt, jitter=self._random())
        crashed = status is RunStatus.CRASHED
        async with self._db.transaction() as session:
            taken = await WorkerRepository(session).take(
                lost,
                status=status,
                reason=reason,
                fingerprint=fingerprint(lost.pipeline_name, record) if crashed else None,
                finished=now if status.is_final else None,
                next_at=next_at,
            )
            if taken:
                await ClaimRepository(session).end_attempt(
                    lost.id,
                    lost.attempt,
                    status=RunStatus.CRASHED,
                    reason=record.reason,
                    pid=None,
                    began=None,
                    finished=now,
                    exit_code=None,
                    signal=None,
                    failure=None,
                    usage=None,
                )
                if crashed and self._notices is not None:
                    await self._notices.lost(session, lost.id)
                session.after_commit(lambda: self._wake(lost.id))
        if taken and status.is_final:
            self._counters.runs[status] += 1
        return taken

    def _wake(self, run_id: str) -> None:
        self._signals.notify(run_id)
        self._signals.notify(NEW_WORK)
