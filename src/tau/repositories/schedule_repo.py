"""Schedules, and the runs that their ticks become."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, func, select, update

from tau.core.database import Session
from tau.models import Pipeline, Run, Schedule, Version
from tau.models.run import PENDING
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor

_runs = cast(Table, Run.__table__)
_schedules = cast(Table, Schedule.__table__)
_pipelines = cast(Table, Pipeline.__table__)
_MOVE = (
    update(_schedules)
    .where(
        _schedules.c.id == bindparam("schedule"),
        _schedules.c.generation == bindparam("at_generation"),
        _schedules.c.watermark < bindparam("new_watermark"),
    )
    .values(
        watermark=bindparam("new_watermark"),
        next_fire_at=bindparam("new_next"),
        covered_until=bindparam("new_covered"),
    )
)
_COUNT = (
    update(_pipelines)
    .where(_pipelines.c.id == bindparam("pipeline"))
    .values(run_count=bindparam("count"))
)


class Scheduled(NamedTuple):
    """A schedule with its pipeline and the version that runs now."""

    schedule: Schedule
    pipeline: Pipeline
    version: Version


class ScheduleRepository(Repository[SessionT]):
    async def find(self, pipeline_id: str) -> Schedule | None:
        query = select(Schedule).where(Schedule.pipeline_id == pipeline_id)
        return (await self._session.scalars(query)).one_or_none()

    async def find_many(self, pipeline_ids: Sequence[str]) -> dict[str, Schedule]:
        """The schedules of these pipelines, by pipeline."""
        query = select(Schedule).where(Schedule.pipeline_id.in_(pipeline_ids))
        return {row.pipeline_id: row for row in await self._session.scalars(query)}

    async def list_page(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Scheduled], int, str | None]:
        """Schedules of deployed pipelines by name, how many, and the cursor of the next page."""
        query = self._with_pipeline().where(
            self._mine(Schedule), Schedule.cron.is_not(None) | Schedule.every.is_not(None)
        )
        total = await self._count(query.with_only_columns(Schedule.id))
        if cursor is not None:
            query = query.where(Pipeline.name > decode_cursor(cursor, str)[0])
        query = query.order_by(Pipeline.name).limit(limit + 1)
        rows = [Scheduled(*row) for row in await self._session.execute(query)]
        more = encode_cursor(rows[limit - 1].pipeline.name) if len(rows) > limit else None
        return rows[:limit], total, more

    async def next_fire_at(self, *, but: Sequence[str]) -> datetime | None:
        """When the next schedule of any tenant is due, but for these."""
        query = select(func.min(Schedule.next_fire_at)).where(Schedule.next_fire_at.is_not(None))
        return await self._session.scalar(query.where(Schedule.id.not_in(but)) if but else query)

    async def list_next(self, *, limit: int) -> tuple[int, list[tuple[str, datetime]]]:
        """How many schedules of deployed pipelines are on, and the next due: name and time."""
        query = (
            select(Pipeline.name, Schedule.next_fire_at)
            .join(Pipeline, Pipeline.id == Schedule.pipeline_id)
            .where(
                self._mine(Schedule),
                Schedule.next_fire_at.is_not(None),
                Pipeline.undeployed_at.is_(None),
            )
        )
        total = await self._count(query.with_only_columns(Schedule.id))
        found = await self._session.execute(query.order_by(Schedule.next_fire_at).limit(limit))
        return total, [(name, at) for name, at in found if at is not None]

    async def lock_due(
        self: "ScheduleRepository[Session]", *, now: datetime, limit: int, but: Sequence[str]
    ) -> list[Scheduled]:
        """Due schedules but for these, for this transaction alone: others pass over them."""
        query = (
            self._with_pipeline()
            .where(Schedule.next_fire_at <= now, Schedule.id.not_in(but))
            .order_by(Schedule.next_fire_at)
            .limit(limit)
            .with_for_update(of=Schedule, skip_locked=True)
        )
        return [Scheduled(*row) for row in await self._session.execute(query)]

    async def lock_run_counts(
        self: "ScheduleRepository[Session]", pipeline_ids: Sequence[str]
    ) -> dict[str, int]:
        """How many runs these pipelines have had; nobody else numbers one meanwhile."""
        query = (
            select(_pipelines.c.id, _pipelines.c.run_count)
            .where(_pipelines.c.id.in_(pipeline_ids))
            .order_by(_pipelines.c.id)
            .with_for_update()
        )
        return {row.id: row.run_count for row in await self._session.execute(query)}

    async def list_pending(self, due: Sequence[Scheduled]) -> dict[str, int]:
        """Schedules that have a run which did not start yet: its number."""
        query = select(_runs.c.schedule_id, _runs.c.number).where(
            # By their pipelines' unfinished runs, of which there are few.
            _runs.c.tenant_id.in_({scheduled.schedule.tenant_id for scheduled in due}),
            _runs.c.pipeline_id.in_([scheduled.pipeline.id for scheduled in due]),
            _runs.c.finished_at.is_(None),
            _runs.c.schedule_id.in_([scheduled.schedule.id for scheduled in due]),
            _runs.c.status.in_(PENDING),
        )
        return {row.schedule_id: row.number for row in await self._session.execute(query)}

    async def add(self: "ScheduleRepository[Session]", schedule: Schedule) -> None:
        schedule.tenant_id = self._tenant_id
        self._session.add(schedule)
        await self._session.flush()

    async def keep_ticks(
        self: "ScheduleRepository[Session]",
        runs: Sequence[dict[str, Any]],
        moves: Sequence[dict[str, Any]],
        counts: Sequence[dict[str, Any]],
    ) -> None:
        """The runs of ticks, the watermarks behind them, and the pipelines' run counts."""
        if runs:
            await self._session.execute(self._insert_if_new(Run), list(runs))
            await self._session.execute(_COUNT, list(counts))
        if moves:
            await self._session.execute(_MOVE, list(moves))

    def _with_pipeline(self) -> Any:
        current = and_(
            Version.pipeline_id == Pipeline.id, Version.number == Pipeline.current_version
        )
        return (
            select(Schedule, Pipeline, Version)
            .join(Pipeline, Pipeline.id == Schedule.pipeline_id)
            .join(Version, current)
            .where(Pipeline.undeployed_at.is_(None))
        )
