"""Setting schedules: by a deploy, by command; a command's word stands until it is cleared."""

from datetime import datetime
from typing import Any

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database, ReadSession, Session
from tau.core.ids import IdFactory
from tau.core.signals import SCHEDULES, Signals
from tau.errors import PipelineInvalidSchedule
from tau.models import Schedule
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.base import encode_cursor
from tau.repositories.pipeline_repo import Deployed
from tau.repositories.schedule_repo import ScheduleRepository
from tau.schedule.policy import Catchup
from tau.schedule.ticks import TickSpec, TickSpecError, parse_spec
from tau.schemas.base import NamedWarning
from tau.schemas.schedule import ScheduleChange, ScheduleChanged, ScheduleList
from tau.services.budget import fit_rows
from tau.services.lookup import get_pipeline
from tau.services.notice_service import NoticeService
from tau.services.schedule_view import read_schedule, read_schedule_row, spec_of, spec_of_file

DEADLINE_S = 3600.0
FILE, COMMAND = "file", "command"


class ScheduleService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        signals: Signals,
        notices: NoticeService | None = None,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._signals, self._notices = signals, notices

    async def list(self, *, limit: int, cursor: str | None = None) -> ScheduleList:
        async with self._db.glance() as session:
            rows, total, more = await ScheduleRepository(session).list_page(
                limit=limit, cursor=cursor
            )
        now = self._clock.now()
        shown, cut = fit_rows([read_schedule_row(row, now=now) for row in rows], limit=limit)
        if cut:
            more = encode_cursor(shown[-1].pipeline)
        return ScheduleList(schedules=list(shown), total=total, next_cursor=more)

    async def change(self, name: str, request: ScheduleChange, actor: Actor) -> ScheduleChanged:
        """Set, rule, switch or clear a pipeline's schedule. Raises PipelineInvalidSchedule."""
        if request.dry_run:
            async with self._db.read() as session:
                found, schedule = await self._planned(session, name)
                changed = self._apply(found, schedule, request)
                return self._answer(found, schedule, changed, dry_run=True)
        async with self._db.transaction() as session:
            found, schedule = await self._planned(session, name)
            was_on = schedule.enabled
            changed = self._apply(found, schedule, request)
            await self.keep(session, schedule)
            if was_on and not schedule.enabled and self._notices is not None:
                await self._notices.paused(
                    session, pipeline=found.pipeline.name, actor=actor, reason=request.reason
                )
            await AuditRepository(session).add(
                self._ids.new(),
                "pipeline.schedule",
                target=found.pipeline.name,
                actor=actor,
                now=self._clock.now(),
                reason=request.reason,
                detail=request.model_dump(
                    mode="json", exclude_none=True, exclude={"reason", "dry_run"}
                ),
            )
            return self._answer(found, schedule, changed, dry_run=False)

    async def deployed(
        self,
        session: ReadSession,
        pipeline_id: str,
        name: str,
        spec: dict[str, Any],
        *,
        cron: str | None = None,
    ) -> tuple[Schedule | None, NamedWarning | None]:
        """A pipeline's schedule after a deploy: the file's, unless a command said otherwise.

        `cron` is what the deploy itself commands. Nothing is kept yet. Raises
        PipelineInvalidSchedule.
        """
        now, declared = self._clock.now(), spec_of_file(spec)
        schedule = await ScheduleRepository(session).find(pipeline_id)
        if schedule is None and declared is None and cron is None:
            return None, None
        schedule = schedule or self._new(pipeline_id, now)
        kept = None
        if cron is not None:
            zone = spec.get("timezone") or "UTC"
            wanted = ScheduleChange(cron=cron, timezone=zone)
            self._set(schedule, _wanted(schedule, wanted, zone), set_by=COMMAND, now=now)
        elif schedule.set_by == COMMAND:
            kept = self._kept(name, schedule, declared)
        else:
            self._set(schedule, declared, set_by=FILE, now=now)
        self._resume(schedule, now)
        return schedule, kept

    async def undeployed(self, session: Session, pipeline_id: str) -> None:
        """A pipeline that is out of service is not due any more."""
        schedule = await ScheduleRepository(session).find(pipeline_id)
        if schedule is not None:
            schedule.next_fire_at = None

    async def _planned(self, session: ReadSession, name: str) -> tuple[Deployed, Schedule]:
        found = await get_pipeline(session, name)
        schedule = await ScheduleRepository(session).find(found.pipeline.id)
        return found, schedule or self._new(found.pipeline.id, self._clock.now())

    def _apply(self, found: Deployed, schedule: Schedule, request: ScheduleChange) -> bool:
        now, before = self._clock.now(), _facts(schedule)
        if request.clear:
            schedule.enabled, schedule.catchup, schedule.deadline = True, Catchup.LATEST, DEADLINE_S
            self._set(schedule, spec_of_file(found.version.spec), set_by=FILE, now=now)
        else:
            zone = found.version.spec.get("timezone") or "UTC"
            self._set(schedule, _wanted(schedule, request, zone), set_by=COMMAND, now=now)
            schedule.catchup = request.catchup or schedule.catchup
            schedule.deadline = request.deadline or schedule.deadline
            if request.enabled is not None and request.enabled != schedule.enabled:
                schedule.enabled, schedule.watermark = request.enabled, now
        self._resume(schedule, now)
        schedule.updated_at = now
        return _facts(schedule) != before

    def _set(
        self, schedule: Schedule, spec: TickSpec | None, *, set_by: str, now: datetime
    ) -> None:
        """Another spec never looks back: its ticks count from now."""
        if spec != spec_of(schedule):
            schedule.cron = spec.cron if spec else None
            schedule.every = spec.every if spec else None
            schedule.timezone = spec.timezone if spec else "UTC"
            schedule.generation += 1
            schedule.watermark = schedule.updated_at = now
        schedule.set_by = set_by

    def _resume(self, schedule: Schedule, now: datetime) -> None:
        spec = spec_of(schedule)
        if spec is None or not schedule.enabled:
            schedule.next_fire_at = None
        elif schedule.next_fire_at is None or schedule.next_fire_at > now:
            if schedule.next_fire_at is None:
                schedule.watermark = max(schedule.watermark, now)
            schedule.next_fire_at = spec.next(schedule.watermark, count=1)[0]

    def _new(self, pipeline_id: str, now: datetime) -> Schedule:
        return Schedule(
            id=self._ids.new(),
            pipeline_id=pipeline_id,
            name="default",
            timezone="UTC",
            enabled=True,
            set_by=FILE,
            catchup=Catchup.LATEST,
            deadline=DEADLINE_S,
            watermark=now,
            generation=0,
            created_at=now,
            updated_at=now,
        )

    async def keep(self, session: Session, schedule: Schedule) -> None:
        """Store a new or changed schedule, and tell the scheduler."""
        if schedule not in session:
            await ScheduleRepository(session).add(schedule)
        session.after_commit(lambda: self._signals.notify(SCHEDULES))

    def _kept(
        self, name: str, schedule: Schedule, declared: TickSpec | None
    ) -> NamedWarning | None:
        if declared == spec_of(schedule) and schedule.enabled:
            return None
        return NamedWarning(
            code="schedule.kept",
            message=f"{name}: the schedule that was set by command stays; "
            f"tau schedule {name} --clear makes the file's count again.",
        )

    def _answer(
        self, found: Deployed, schedule: Schedule, changed: bool, *, dry_run: bool
    ) -> ScheduleChanged:
        return ScheduleChanged(
            pipeline=found.pipeline.name,
            changed=changed,
            dry_run=dry_run,
            schedule=read_schedule(schedule, now=self._clock.now()),
            next=["tau schedules", f"tau schedule {found.pipeline.name} --clear"],
        )


def _wanted(schedule: Schedule, request: ScheduleChange, zone: str) -> TickSpec | None:
    """What a request says, else what there is; `zone` is the file's for a first schedule.

    Raises PipelineInvalidSchedule.
    """
    current = spec_of(schedule)
    cron, every = request.cron, request.every
    if cron is None and every is None:
        if current is None:
            raise PipelineInvalidSchedule(
                "The pipeline has no schedule to change.",
                hint="Give a cron expression or an interval first.",
            )
        cron, every = current.cron, current.every
    try:
        return parse_spec(
            cron=cron,
            every=every,
            timezone=request.timezone or (current.timezone if current else zone),
        )
    except TickSpecError as error:
        raise PipelineInvalidSchedule(str(error)) from error


def _facts(schedule: Schedule) -> tuple[Any, ...]:
    return (
        schedule.cron,
        schedule.every,
        schedule.timezone,
        schedule.enabled,
        schedule.set_by,
        schedule.catchup,
        schedule.deadline,
    )
