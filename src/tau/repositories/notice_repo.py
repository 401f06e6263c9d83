"""What has to be known of runs to tell people of them: what went before, what is overdue."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, cast

from sqlalchemy import Table, bindparam, func, select

from tau.models import Run, Schedule
from tau.models.run import BAD, PENDING, SUCCESS
from tau.repositories.base import Repository, SessionT

RECENT = 20
MOST = 200
_runs = cast(Table, Run.__table__)
_schedules = cast(Table, Schedule.__table__)
_LAST_BAD = (
    select(_runs.c.id, _runs.c.number, _runs.c.finished_at)
    .where(_runs.c.pipeline_id == bindparam("pipeline"), _runs.c.status.in_(BAD))
    .order_by(_runs.c.finished_at.desc(), _runs.c.id.desc())
    .limit(1)
)
_recent = (
    select(_runs.c.started_at, _runs.c.finished_at)
    .where(
        _runs.c.pipeline_id == bindparam("pipeline"),
        _runs.c.status == SUCCESS,
        _runs.c.id != bindparam("but"),
    )
    .order_by(_runs.c.started_at.desc())
    .limit(RECENT)
)
_LAST_GOOD = select(func.max(_recent.subquery().c.finished_at))


class BadEnd(NamedTuple):
    """A run that failed, timed out or crashed."""

    id: str
    number: int
    finished_at: datetime


class Overdue(NamedTuple):
    """A run that has not ended, with what may make it late."""

    id: str
    pipeline_id: str
    pipeline_name: str
    number: int
    status: str
    trigger: str
    scheduled_for: datetime | None
    started_at: datetime | None
    deadline: float | None


_COLUMNS = [_runs.c[name] for name in Overdue._fields if name != "deadline"]


class NoticeRepository(Repository[SessionT]):
    async def find_failure_before(self, pipeline_id: str, run_id: str) -> BadEnd | None:
        """The bad end after which this pipeline has had no success but that of `run_id`.

        Among its last successes by start: with more than these at a time one may be told twice.
        """
        values = {"pipeline": pipeline_id, "but": run_id}
        row = (await self._session.execute(_LAST_BAD, values)).one_or_none()
        if row is None:
            return None
        good = await self._session.scalar(_LAST_GOOD, values)
        return BadEnd(*row) if good is None or good < row.finished_at else None

    async def recent_durations(self, pipeline_id: str) -> list[timedelta]:
        """How long the last successes took, from first start to end, in no order."""
        found = await self._session.execute(_recent, {"pipeline": pipeline_id, "but": ""})
        return [row.finished_at - row.started_at for row in found if row.started_at]

    async def list_not_started(self, *, now: datetime) -> list[Overdue]:
        """Runs of schedules whose time has come and that have not started."""
        query = (
            select(*_COLUMNS, _schedules.c.deadline)
            .join(_schedules, _schedules.c.id == _runs.c.schedule_id)
            .where(
                self._mine(Run),
                _runs.c.finished_at.is_(None),
                _runs.c.started_at.is_(None),
                _runs.c.status.in_(PENDING),
                _runs.c.scheduled_for < now,
            )
            .order_by(_runs.c.scheduled_for)
            .limit(MOST)
        )
        return [Overdue._make(row) for row in await self._session.execute(query)]

    async def list_running(self, *, started_before: datetime) -> list[Overdue]:
        """Runs that have started before then and not ended."""
        query = (
            select(*_COLUMNS)
            .where(
                self._mine(Run),
                _runs.c.finished_at.is_(None),
                _runs.c.started_at < started_before,
            )
            .order_by(_runs.c.started_at)
            .limit(MOST)
        )
        return [Overdue._make([*row, None]) for row in await self._session.execute(query)]

    async def list_unfinished(self, run_ids: Sequence[str]) -> set[str]:
        """Which of these have not ended meanwhile."""
        query = select(_runs.c.id).where(_runs.c.id.in_(run_ids), _runs.c.finished_at.is_(None))
        return set(await self._session.scalars(query))
