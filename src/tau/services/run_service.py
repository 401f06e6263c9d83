"""Asking for runs, and waiting for them."""

from datetime import datetime, timedelta

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database, Session
from tau.core.ids import IdFactory
from tau.core.signals import NEW_WORK, Signals
from tau.errors import QueueFull
from tau.models import Run
from tau.pipeline.types import RunStatus, Trigger
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.pipeline_repo import Deployed, PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.run import RunCreate, RunRead
from tau.services.idempotency import once, request_digest
from tau.services.lookup import get_pipeline, get_run
from tau.services.run_view import read_run

RECHECK_S = 1.0
"""A waiter looks again that often: another daemon's commit wakes nobody here."""


class RunService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        signals: Signals,
        queue_limit: int,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._signals = signals
        self._queue_limit = queue_limit

    async def create(
        self, name: str, request: RunCreate, actor: Actor, *, idempotency_key: str | None = None
    ) -> RunRead:
        """Queue a run of the current version; it is durable when this returns.

        Raises PipelineNotFound, QueueFull, IdempotencyKeyReused.
        """
        async with self._db.transaction() as session:
            found = await get_pipeline(session, name)
            answer = await once(
                session,
                idempotency_key,
                digest=request_digest(f"runs/{found.pipeline.id}", request),
                now=self._clock.now(),
                produce=lambda: self._queue(session, found, request, actor),
                answer_type=RunRead,
            )
            session.after_commit(lambda: self._signals.notify(NEW_WORK))
        return answer

    async def _queue(
        self, session: Session, found: Deployed, request: RunCreate, actor: Actor
    ) -> RunRead:
        now, runs = self._clock.now(), RunRepository(session)
        if await runs.count_queued() >= self._queue_limit:
            raise QueueFull(
                f"{self._queue_limit} runs are queued already.", retry_after_s=5, next=["tau runs"]
            )
        number = await PipelineRepository(session).next_run_number(found.pipeline.id)
        run = _new_run(self._ids.new(), found, number, request, actor, now)
        await runs.add(run)
        await AuditRepository(session).add(
            self._ids.new(),
            "run.create",
            target=f"{run.pipeline_name}#{number}",
            actor=actor,
            now=now,
            reason=request.reason,
        )
        return read_run(run, events=[], logs={})

    async def wait(self, reference: str, *, seconds: float) -> str:
        """The run's id, once it is final or the time is up."""
        deadline = self._clock.now() + timedelta(seconds=seconds)
        async with self._db.read() as session:
            run = await get_run(session, reference)
        while not RunStatus(run.status).is_final and not self._signals.closed:
            left = (deadline - self._clock.now()).total_seconds()
            if left <= 0:
                break
            waiter = self._signals.listen(run.id)
            run = await self._reload(run)
            if RunStatus(run.status).is_final:
                waiter.cancel()
                break
            await self._signals.wait(waiter, within=min(left, RECHECK_S))
        return run.id

    async def _reload(self, run: Run) -> Run:
        async with self._db.read() as session:
            return await RunRepository(session).find(run.id) or run


def _new_run(
    run_id: str,
    found: Deployed,
    number: int,
    request: RunCreate,
    actor: Actor,
    now: datetime,
) -> Run:
    spec = found.version.spec
    return Run(
        id=run_id,
        pipeline_id=found.pipeline.id,
        pipeline_name=found.pipeline.name,
        number=number,
        version=found.version.number,
        status=RunStatus.QUEUED,
        trigger=Trigger.MANUAL,
        params=request.params,
        priority=0,
        created_at=now,
        available_at=now,
        fence=0,
        attempt=0,
        max_attempts=int(spec.get("retries") or 0) + 1,
        launch_failures=0,
        requested_by=actor.key_name,
        agent=actor.agent,
        reason=request.reason,
    )
