"""The end of a history: which runs are too old or too many, and their removal in small steps."""

from collections import Counter
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import ColumnElement, CursorResult, Table, delete, func, select, tuple_, update

from tau.core.database import Session
from tau.models import Attempt, Event, Pipeline, Run
from tau.models.run import SUCCESS
from tau.pipeline.types import Trigger
from tau.repositories.base import Repository, SessionT

_runs = cast(Table, Run.__table__)
_attempts = cast(Table, Attempt.__table__)
_events = cast(Table, Event.__table__)
_pipelines = cast(Table, Pipeline.__table__)
_event_key = (_events.c.run_id, _events.c.attempt, _events.c.seq)


class EndedRun(NamedTuple):
    """A run that may be removed unless it is one of those that are always kept."""

    id: str
    pipeline_id: str
    number: int


class HistoryRepository(Repository[SessionT]):
    """Sees the runs of all tenants."""

    async def list_old(
        self, *, ended_before: datetime, created_before: str, after: str, limit: int
    ) -> list[EndedRun]:
        """Runs that ended before a time, by their ids; `created_before` is an id as well."""
        return await self._list(
            _runs.c.id > after,
            _runs.c.id < created_before,
            _runs.c.finished_at < ended_before,
            order=_runs.c.id,
            limit=limit,
        )

    async def list_beyond(
        self, pipeline_id: str, *, up_to: int, after: int, limit: int
    ) -> list[EndedRun]:
        """Ended runs of a pipeline with the numbers after one and up to another."""
        return await self._list(
            _runs.c.pipeline_id == pipeline_id,
            _runs.c.number > after,
            _runs.c.number <= up_to,
            _runs.c.finished_at.is_not(None),
            order=_runs.c.number,
            limit=limit,
        )

    async def _list(
        self, *where: ColumnElement[bool], order: ColumnElement[object], limit: int
    ) -> list[EndedRun]:
        query = select(_runs.c.id, _runs.c.pipeline_id, _runs.c.number).where(*where)
        found = await self._session.execute(query.order_by(order).limit(limit))
        return [EndedRun(*row) for row in found]

    async def count_old(
        self, *, ended_before: datetime, created_before: str
    ) -> list[tuple[str, int, datetime]]:
        """Per pipeline: its id, how many of its runs `list_old` tells of, when the first ended."""
        query = (
            select(_runs.c.pipeline_id, func.count(), func.min(_runs.c.finished_at))
            .where(_runs.c.id < created_before, _runs.c.finished_at < ended_before)
            .group_by(_runs.c.pipeline_id)
        )
        return [tuple(row) for row in await self._session.execute(query)]

    async def count_ended(self, run_ids: Collection[str], *, ended_before: datetime) -> int:
        """How many of these runs ended before a time."""
        query = select(func.count()).where(
            _runs.c.id.in_(run_ids), _runs.c.finished_at < ended_before
        )
        return int(await self._session.scalar(query) or 0)

    async def list_large(self, *, runs: int) -> list[tuple[str, int]]:
        """Pipelines that have kept more runs than that: their ids and newest numbers."""
        query = select(_pipelines.c.id, _pipelines.c.run_count).where(
            _pipelines.c.run_count - _pipelines.c.removed_count > runs
        )
        return [(row.id, row.run_count) for row in await self._session.execute(query)]

    async def list_kept(self, pipeline_id: str) -> set[str]:
        """The runs of a pipeline that stay however old: the newest, and the last successes.

        Of those the one by its number, and the one that `ctx.last_successful_run` tells of.
        """
        mine = _runs.c.pipeline_id == pipeline_id
        succeeded = _runs.c.status == SUCCESS
        queries = (
            select(_runs.c.id).where(mine).order_by(_runs.c.number.desc()),
            select(_runs.c.id)
            .where(mine, succeeded, _runs.c.finished_at.is_not(None))
            .order_by(_runs.c.number.desc()),
            select(_runs.c.id)
            .where(mine, succeeded, _runs.c.trigger != Trigger.BACKFILL)
            .order_by(_runs.c.started_at.desc()),
        )
        found = [await self._session.scalar(query.limit(1)) for query in queries]
        return {run_id for run_id in found if run_id is not None}

    async def remove_events(
        self: "HistoryRepository[Session]", run_ids: Sequence[str], *, limit: int
    ) -> int:
        """Remove events of these runs, so many at most; how many."""
        some = select(*_event_key).where(_events.c.run_id.in_(run_ids)).limit(limit)
        result = await self._session.execute(delete(_events).where(tuple_(*_event_key).in_(some)))
        return result.rowcount if isinstance(result, CursorResult) else 0

    async def remove_runs(self: "HistoryRepository[Session]", run_ids: Sequence[str]) -> int:
        """Remove runs without events, with their attempts, and count that; how many."""
        await self._session.execute(delete(_attempts).where(_attempts.c.run_id.in_(run_ids)))
        gone = await self._session.execute(
            delete(_runs).where(_runs.c.id.in_(run_ids)).returning(_runs.c.pipeline_id)
        )
        removed = Counter(gone.scalars())
        for pipeline_id, count in sorted(removed.items()):
            await self._session.execute(
                update(_pipelines)
                .where(_pipelines.c.id == pipeline_id)
                .values(removed_count=_pipelines.c.removed_count + count)
            )
        return removed.total()
