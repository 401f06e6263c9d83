"""Runs: the queue's claims, the state machine's moves, and the lists people read."""

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Select,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    union_all,
    update,
)

from tau.core.database import Session
from tau.models import Run
from tau.models.run import ACTIVE, BAD, CLAIMABLE, PENDING, SUCCESS
from tau.pipeline.types import RunStatus, Trigger
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor

_NO_SYNC = {"synchronize_session": False}


class RunLine(NamedTuple):
    """What a list shows of a run: a few columns, since whole rows cost ten times as much."""

    id: str
    pipeline_name: str
    number: int
    version: int
    status: str
    status_reason: str | None
    trigger: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None


class BadRun(NamedTuple):
    """What failures are grouped by."""

    id: str
    fingerprint: str | None


_runs = cast(Table, Run.__table__)
_INSERT = insert(_runs)
_COUNT_QUEUED = select(func.count()).select_from(_runs).where(_runs.c.status.in_(CLAIMABLE))
_BAD_RUNS = select(_runs.c.id, _runs.c.fingerprint)
_LINES = select(*(_runs.c[name] for name in RunLine._fields))


def _matching(of_one: bool, statuses: Sequence[RunStatus]) -> ColumnElement[bool]:
    """The runs of :tenant, of :pipeline if of one, in any of these statuses if there are some."""
    parts = [_runs.c.tenant_id == bindparam("tenant")]
    if of_one:
        parts.append(_runs.c.pipeline_id == bindparam("pipeline"))
    if statuses:
        parts.append(_runs.c.status.in_([str(status) for status in statuses]))
        # Says the same once more, in the words of the indexes.
        if all(status.is_final for status in statuses):
            parts.append(_runs.c.finished_at.is_not(None))
        elif not any(status.is_final for status in statuses):
            parts.append(_runs.c.finished_at.is_(None))
    return and_(*parts)


@lru_cache(256)
def _page(of_one: bool, statuses: tuple[RunStatus, ...], goes_on: bool) -> Select[Any]:
    """The newest :rows runs that match, older than :before where the list goes on.

    Built once: that takes as long as all else that a request for a list takes.
    """
    column: ColumnElement[Any] = _runs.c.number if of_one else _runs.c.id
    if not of_one and statuses and not any(status.is_final for status in statuses):
        # Of no use to an index: the few unfinished ones are sorted, not the history searched.
        column = _runs.c.id.concat("")
    before = [column < bindparam("before")] if goes_on else []
    if len(statuses) <= 1:
        query = _LINES.where(_matching(of_one, statuses), *before)
    else:
        # The newest of each status, since no index has several of them in the order of time.
        newest = [
            select(
                select(_runs.c.id)
                .where(_matching(of_one, [status]), *before)
                .order_by(column.desc())
                .limit(bindparam("rows"))
                .subquery()
            )
            for status in statuses
        ]
        query = _LINES.where(_runs.c.id.in_(union_all(*newest)))
    return query.order_by(column.desc()).limit(bindparam("rows"))


class RunRepository(Repository[SessionT]):
    # --- finding ---------------------------------------------------------------------------

    async def find(self, run_id: str) -> Run | None:
        query = select(Run).where(self._mine(Run), Run.id == run_id)
        return (await self._session.scalars(query)).one_or_none()

    async def find_status(self, run_id: str) -> RunStatus | None:
        status = await self._session.scalar(select(Run.status).where(Run.id == run_id))
        return RunStatus(status) if status is not None else None

    async def list_by_prefix(self, prefix: str, *, limit: int) -> list[Run]:
        """Runs whose id starts so; a range, since LIKE uses no index in every collation."""
        low, high = prefix.ljust(26, "0"), prefix.ljust(26, "z")
        query = select(Run).where(self._mine(Run), Run.id.between(low, high)).limit(limit)
        return list((await self._session.scalars(query)).all())

    async def find_number(self, pipeline_id: str, number: int) -> Run | None:
        query = select(Run).where(Run.pipeline_id == pipeline_id, Run.number == number)
        return (await self._session.scalars(query)).one_or_none()

    async def find_last(self, pipeline_id: str, statuses: Sequence[RunStatus] = ()) -> Run | None:
        """The newest run, of these statuses if any are given."""
        query = select(Run).where(Run.pipeline_id == pipeline_id)
        if not statuses:
            newest = query.order_by(Run.number.desc()).limit(1)
            return (await self._session.scalars(newest)).one_or_none()
        found = [await self._find_last(pipeline_id, status) for status in statuses]
        return max((run for run in found if run), key=lambda run: run.number, default=None)

    async def _find_last(self, pipeline_id: str, status: RunStatus) -> Run | None:
        query = select(Run).where(_matching(True, [status])).order_by(Run.number.desc()).limit(1)
        values = {"tenant": self._tenant_id, "pipeline": pipeline_id}
        return (await self._session.scalars(query, values)).one_or_none()

    async def last_success_start(self, pipeline_id: str) -> datetime | None:
        """When the last successful run that was no backfill started."""
        query = (
            select(Run.started_at)
            .where(
                Run.pipeline_id == pipeline_id,
                Run.status == SUCCESS,
                Run.trigger != Trigger.BACKFILL,
            )
            .order_by(Run.started_at.desc())
            .limit(1)
        )
        return await self._session.scalar(query)

    async def list_page(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        pipeline_id: str | None = None,
        statuses: Sequence[RunStatus] = (),
    ) -> tuple[list[RunLine], str | None]:
        """Runs from the newest to the oldest, and the cursor of the next page.

        Those of one pipeline go by their numbers, for which there is an index.
        """
        of_one = pipeline_id is not None
        query = _page(of_one, tuple(sorted(set(statuses))), cursor is not None)
        values: dict[str, Any] = {"tenant": self._tenant_id, "rows": limit + 1}
        if of_one:
            values["pipeline"] = pipeline_id
        if cursor is not None:
            values["before"] = decode_cursor(cursor, int if of_one else str)[0]
        found = await self._session.execute(query, values)
        rows = [RunLine(*row) for row in found]
        if len(rows) <= limit:
            return rows, None
        return rows[:limit], self.cursor_after(rows[limit - 1], of_one=of_one)

    def cursor_after(self, last: RunLine, *, of_one: bool) -> str:
        """The cursor of the page that follows this run, in the list of one pipeline or of all."""
        return encode_cursor(last.number if of_one else last.id)

    async def list_whole(self, run_ids: Sequence[str]) -> list[Run]:
        """These runs with all their columns, in this order."""
        query = select(Run).where(Run.id.in_(run_ids))
        found = {run.id: run for run in await self._session.scalars(query)}
        return [found[run_id] for run_id in run_ids if run_id in found]

    async def count_matching(
        self, *, pipeline_id: str | None, statuses: Sequence[RunStatus]
    ) -> int:
        """How many runs match, up to COUNT_LIMIT."""
        of_one = pipeline_id is not None
        values = {"tenant": self._tenant_id} | ({"pipeline": pipeline_id} if of_one else {})
        return await self._count(select(_runs.c.id).where(_matching(of_one, statuses)), values)

    async def list_bad(
        self, *, since: datetime | None, pipeline_id: str | None, limit: int
    ) -> list[BadRun]:
        """Failed, timed out and crashed runs, what ended last first."""
        query = _BAD_RUNS.where(_runs.c.tenant_id == self._tenant_id, _runs.c.status.in_(BAD))
        if since is not None:
            query = query.where(_runs.c.finished_at >= since)
        if pipeline_id is not None:
            query = query.where(_runs.c.pipeline_id == pipeline_id)
        query = query.order_by(_runs.c.finished_at.desc(), _runs.c.id.desc()).limit(limit)
        return [BadRun(*row) for row in await self._session.execute(query)]

    async def count_unfinished(self) -> dict[str, int]:
        """How many runs are in each status that is not final."""
        query = (
            select(Run.status, func.count())
            .where(self._mine(Run), Run.finished_at.is_(None))
            .group_by(Run.status)
        )
        return {str(status): int(n) for status, n in await self._session.execute(query)}

    async def count_queued(self) -> int:
        return int(await self._session.scalar(_COUNT_QUEUED) or 0)

    async def oldest_claimable(self) -> datetime | None:
        """Since when the first of the queued or retrying runs could have been claimed."""
        query = select(func.min(Run.available_at)).where(Run.status.in_(CLAIMABLE))
        return await self._session.scalar(query)

    async def list_active(self, owner: str) -> list[Run]:
        """The runs that a daemon has claimed and not ended."""
        query = select(Run).where(Run.owner == owner, Run.status.in_(ACTIVE)).order_by(Run.id)
        return list((await self._session.scalars(query)).all())

    async def list_pending(self, pipeline_id: str) -> list[Run]:
        """Runs of a pipeline that no attempt has been claimed for."""
        query = select(Run).where(
            self._mine(Run),
            Run.pipeline_id == pipeline_id,
            Run.status.in_(PENDING),
            Run.finished_at.is_(None),
        )
        return list((await self._session.scalars(query.order_by(Run.number))).all())

    async def list_running(self, pipeline_id: str) -> list[Run]:
        """Runs of a pipeline with an attempt that executes, the oldest first."""
        query = select(Run).where(
            self._mine(Run),
            Run.pipeline_id == pipeline_id,
            Run.status.in_(ACTIVE),
            Run.finished_at.is_(None),
        )
        return list((await self._session.scalars(query.order_by(Run.number))).all())

    async def list_to_kill(self, owner: str) -> list[Run]:
        """Runs that this owner executes and somebody wants cancelled."""
        query = select(Run).where(
            Run.status.in_(ACTIVE), Run.owner == owner, Run.cancel_requested_at.is_not(None)
        )
        return list((await self._session.scalars(query)).all())

    # --- moving ----------------------------------------------------------------------------

    async def add(self: "RunRepository[Session]", run: Run) -> None:
        """Keep a new run; all its columns are set, as the instance is not attached."""
        run.tenant_id = self._tenant_id
        values = {column.name: getattr(run, column.name) for column in _runs.c}
        await self._session.execute(_INSERT, values)

    async def explain(self: "RunRepository[Session]", run_id: str, reason: str) -> None:
        """Say why a run stands where it stands."""
        await self._move(Run.id == run_id, status_reason=reason)

    async def cancel_pending(
        self: "RunRepository[Session]", run_id: str, *, reason: str, now: datetime
    ) -> bool:
        """waiting, queued or retrying → cancelled; False where an attempt was claimed first."""
        pending = and_(Run.id == run_id, Run.status.in_(PENDING))
        return await self._move(
            pending,
            status=RunStatus.CANCELLED,
            status_reason=reason,
            finished_at=now,
            cancel_requested_at=now,
            cancel_reason=reason,
        )

    async def request_cancel(
        self: "RunRepository[Session]", run_id: str, *, reason: str, now: datetime
    ) -> bool:
        """Leave word for the owner of a starting or running attempt; the first word stands."""
        running = and_(Run.id == run_id, Run.status.in_(ACTIVE), Run.cancel_requested_at.is_(None))
        return await self._move(running, cancel_requested_at=now, cancel_reason=reason)

    async def requeue(
        self: "RunRepository[Session]",
        run_id: str,
        *,
        owner: str,
        fence: int,
        available_at: datetime,
    ) -> bool:
        """starting → queued: no user code was started, so the attempt is not counted."""
        return await self._move(
            self._owned(run_id, owner, fence, [RunStatus.STARTING]),
            status=RunStatus.QUEUED,
            attempt=Run.attempt - 1,
            launch_failures=Run.launch_failures + 1,
            available_at=available_at,
        )

    def _owned(
        self, run_id: str, owner: str, fence: int, statuses: Sequence[str]
    ) -> ColumnElement[bool]:
        return and_(
            Run.id == run_id,
            Run.owner == owner,
            Run.fence == fence,
            Run.status.in_([str(status) for status in statuses]),
        )

    async def _move(
        self: "RunRepository[Session]", where: ColumnElement[bool], **values: Any
    ) -> bool:
        statement = update(Run).where(where).values(**values).execution_options(**_NO_SYNC)
        result = await self._session.execute(statement)
        return isinstance(result, CursorResult) and result.rowcount == 1
