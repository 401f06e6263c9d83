"""Asking for runs: queued, retried, cancelled, only planned; and waiting for them."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.counters import Counters
from tau.core.database import Database, ReadSession, Session
from tau.core.ids import IdFactory
from tau.core.signals import CANCEL, NEW_WORK, Signals
from tau.errors import QueueFull, RunAlreadyFinal, RunNotFinal
from tau.models import Run
from tau.pipeline.types import OnOverlap, RunStatus
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.pipeline_repo import Deployed, PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.base import Change
from tau.schemas.run import ParamsCheck, RunCreate, RunPlan, RunRead
from tau.services.idempotency import once, request_digest
from tau.services.lookup import get_pipeline, get_run
from tau.services.run_plan import Overlap, Planner, check_params, interval_of
from tau.services.run_view import NO_LOGS, read_run, reference
from tau.services.slots import NoSlots, Place, Slots

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
        planner: Planner,
        queue_limit: int,
        slots: Slots | None = None,
        counters: Counters | None = None,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._signals, self._planner = signals, planner
        self._queue_limit = queue_limit
        self._slots: Slots = NoSlots() if slots is None else slots
        self._counters = counters or Counters()

    # --- asking ----------------------------------------------------------------------------

    async def create(
        self, name: str, request: RunCreate, actor: Actor, *, idempotency_key: str | None = None
    ) -> RunRead:
        """Queue a run of the current version; it is durable when this returns.

        Raises PipelineNotFound, ParamsInvalid, QueueFull, IdempotencyKeyReused.
        """
        async with self._queuing() as (session, place):
            found = await get_pipeline(session, name)
            check_params(found.version.spec, request.params)
            return await once(
                session,
                idempotency_key,
                digest=request_digest(f"runs/{found.pipeline.id}", request),
                now=self._clock.now(),
                produce=lambda: self._queue(session, found, request, actor, place=place),
                answer_type=RunRead,
            )

    async def plan(self, name: str, request: RunCreate) -> RunPlan | ParamsCheck:
        """What `create` would do, or only whether its params can be right; nothing is changed."""
        async with self._db.glance() as session:
            found = await get_pipeline(session, name)
            check_params(found.version.spec, request.params)
            interval_of(found.version.spec, request)
            if request.validate_only:
                return ParamsCheck(
                    valid=True,
                    pipeline=found.pipeline.name,
                    version=found.version.number,
                    params=self._planner.merged(found, request.params),
                    next=[f"tau run {found.pipeline.name}"],
                )
            overlap = await self._overlap(session, found)
            return await self._planner.plan(session, found, request, overlap=overlap)

    async def retry(
        self, name: str, request: Change, actor: Actor, *, idempotency_key: str | None = None
    ) -> RunRead | RunPlan:
        """A new run of the current version with an ended run's params and interval.

        Raises RunNotFinal.
        """
        if request.dry_run:
            async with self._db.glance() as session:
                run, found, again = await self._to_retry(session, name)
                overlap = await self._overlap(session, found)
                return await self._planner.plan(
                    session, found, again, overlap=overlap, rerun_of=run
                )
        async with self._queuing() as (session, place):
            run, found, again = await self._to_retry(session, name)
            again = again.model_copy(update={"reason": request.reason})
            return await once(
                session,
                idempotency_key,
                digest=request_digest(f"retry/{run.id}", request),
                now=self._clock.now(),
                produce=lambda: self._queue(
                    session, found, again, actor, place=place, rerun_of=run
                ),
                answer_type=RunRead,
            )

    async def _to_retry(self, session: ReadSession, name: str) -> tuple[Run, Deployed, RunCreate]:
        run = await get_run(session, name)
        if not RunStatus(run.status).is_final:
            raise RunNotFinal(
                f"{reference(run)} is {run.status}.",
                next=[f"tau wait {reference(run)}", f"tau cancel {reference(run)}"],
                run_status=run.status,
            )
        found = await get_pipeline(session, run.pipeline_name)
        return run, found, RunCreate(params=run.params, timeout=run.timeout)

    @asynccontextmanager
    async def _queuing(self) -> AsyncIterator[tuple[Session, Place]]:
        """A transaction that queues a run, which begins with the commit where it has a place."""
        with self._slots.place() as place:
            async with self._db.transaction() as session:
                yield session, place
                if not place.is_taken:
                    session.after_commit(lambda: self._signals.notify(NEW_WORK))
        if place.is_taken:
            await asyncio.sleep(0)  # it is launched before the answer is put into words

    async def _queue(
        self,
        session: Session,
        found: Deployed,
        request: RunCreate,
        actor: Actor,
        *,
        place: Place,
        rerun_of: Run | None = None,
    ) -> RunRead:
        now, runs = self._clock.now(), RunRepository(session)
        queued = await runs.count_queued()
        if queued >= self._queue_limit:
            raise QueueFull(
                f"{self._queue_limit} runs are queued already.", retry_after_s=5, next=["tau runs"]
            )
        number = await PipelineRepository(session).next_run_number(found.pipeline.id)
        overlap = await self._overlap(session, found)
        run = self._planner.new_run(
            self._ids.new(), found, number, request, actor, overlap, now=now, rerun_of=rerun_of
        )
        await runs.add(run)
        if run.finished_at is not None:
            session.after_commit(partial(self._counters.runs.update, [run.status]))
        if overlap.policy is OnOverlap.CANCEL_RUNNING:
            for other in overlap.to_cancel:
                await self._ask_to_end(session, other, f"replaced by {reference(run)}")
        await AuditRepository(session).add(
            self._ids.new(),
            "run.retry" if rerun_of else "run.create",
            target=reference(run),
            actor=actor,
            now=now,
            reason=request.reason,
        )
        if queued == 0 and run.status == RunStatus.QUEUED:
            await place.take(session, run)
        return read_run(run, events=[], logs=NO_LOGS)

    async def _overlap(self, session: ReadSession, found: Deployed) -> Overlap:
        """What stands in the way of one run more of a pipeline with a limit."""
        limit = found.version.spec.get("max_concurrent")
        if limit is None:
            return Overlap(limit=None, others=[])
        runs = RunRepository(session)
        others = await runs.list_running(found.pipeline.id)
        others += await runs.list_pending(found.pipeline.id)
        policy = OnOverlap(found.version.spec.get("on_overlap") or OnOverlap.QUEUE)
        return Overlap(limit=int(limit), others=others, policy=policy)

    # --- ending ----------------------------------------------------------------------------

    async def cancel(self, name: str, request: Change, actor: Actor) -> str:
        """End a run; its id. What is queued is cancelled at once, what runs by its owner.

        Raises RunAlreadyFinal.
        """
        async with self._db.transaction() as session:
            run = await get_run(session, name)
            if RunStatus(run.status).is_final:
                raise RunAlreadyFinal(
                    f"{reference(run)} has ended: {run.status}.",
                    run_status=run.status,
                    next=[f"tau inspect {reference(run)}"],
                )
            if request.dry_run:
                return run.id
            why = f": {request.reason}" if request.reason else ""
            await self._ask_to_end(session, run, f"cancelled by {actor.key_name}{why}")
            await AuditRepository(session).add(
                self._ids.new(),
                "run.cancel",
                target=reference(run),
                actor=actor,
                now=self._clock.now(),
                reason=request.reason,
            )
        return run.id

    async def _ask_to_end(self, session: Session, run: Run, reason: str) -> None:
        runs, now = RunRepository(session), self._clock.now()
        if await runs.cancel_pending(run.id, reason=reason, now=now):
            session.after_commit(lambda: self._signals.notify(run.id))
            session.after_commit(partial(self._counters.runs.update, [RunStatus.CANCELLED]))
        elif await runs.request_cancel(run.id, reason=reason, now=now):
            session.after_commit(lambda: self._signals.notify(CANCEL))

    # --- waiting ---------------------------------------------------------------------------

    async def wait(self, name: str, *, seconds: float) -> str:
        """The run's id, once it is final or the time is up."""
        deadline = time.monotonic() + seconds
        async with self._db.glance() as session:
            run = await get_run(session, name)
        status = RunStatus(run.status)
        while not status.is_final and not self._signals.closed:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            waiter = self._signals.listen(run.id)
            status = await self._status(run.id) or status
            if status.is_final:
                waiter.cancel()
                break
            await self._signals.wait(waiter, within=min(left, RECHECK_S))
        return run.id

    async def _status(self, run_id: str) -> RunStatus | None:
        async with self._db.glance() as session:
            return await RunRepository(session).find_status(run_id)
