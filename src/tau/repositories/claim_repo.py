"""The hot path of a run, from claim to outcome: compare-and-set statements, built once.

They are Core statements on the tables, not on the classes: building and compiling an ORM
statement costs more than SQLite takes to execute it, and these run several times for each run.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    CursorResult,
    Integer,
    Table,
    and_,
    bindparam,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from tau.core.database import Session
from tau.models import Attempt, Event, Run, Version
from tau.models.base import UtcDateTime
from tau.models.run import ACTIVE, CLAIMABLE, SUCCESS
from tau.pipeline.types import RunStatus, Trigger
from tau.repositories.base import Repository, SessionT

_runs = cast(Table, Run.__table__)
_versions = cast(Table, Version.__table__)
_attempts = cast(Table, Attempt.__table__)
_events = cast(Table, Event.__table__)

_others = _runs.alias("others")
_earlier = _runs.alias("earlier")
_has_room = or_(
    _runs.c.max_concurrent.is_(None),
    select(func.count())
    .select_from(_others)
    .where(_others.c.pipeline_id == _runs.c.pipeline_id, _others.c.status.in_(ACTIVE))
    .scalar_subquery()
    < _runs.c.max_concurrent,
)
_siblings = _runs.alias("siblings")
_is_alone = or_(
    _runs.c.schedule_id.is_(None),
    ~select(_siblings.c.id)
    .where(
        _siblings.c.pipeline_id == _runs.c.pipeline_id,
        # Of no use to an index: a schedule's ticks are its whole history, its pipeline's active
        # runs are few.
        func.coalesce(_siblings.c.schedule_id, "") == _runs.c.schedule_id,
        _siblings.c.status.in_(ACTIVE),
    )
    .exists(),
)
_last_success = (
    select(_earlier.c.started_at)
    .where(
        _earlier.c.pipeline_id == _runs.c.pipeline_id,
        _earlier.c.status == SUCCESS,
        _earlier.c.trigger != Trigger.BACKFILL,
    )
    .order_by(_earlier.c.started_at.desc())
    .limit(1)
    .scalar_subquery()
    .label("last_success")
)
_described = select(
    _runs.c.id,
    _runs.c.pipeline_id,
    _runs.c.pipeline_name,
    _runs.c.number,
    _runs.c.trigger,
    _runs.c.params,
    _runs.c.interval_start,
    _runs.c.interval_end,
    _runs.c.attempt,
    _runs.c.fence,
    _runs.c.max_attempts,
    _runs.c.max_concurrent,
    _runs.c.schedule_id,
    _runs.c.timeout,
    _versions.c.source_sha256,
    _versions.c.file_name,
    _versions.c.origin,
    _versions.c.spec,
    _last_success,
).join_from(
    _runs,
    _versions,
    and_(_versions.c.pipeline_id == _runs.c.pipeline_id, _versions.c.number == _runs.c.version),
)
_claimable_now = and_(
    _runs.c.status.in_(CLAIMABLE),
    or_(
        _runs.c.available_at <= bindparam("now"),
        # Queued when the clock was ahead: only a retry, or a launch that was refused, waits.
        and_(_runs.c.status == RunStatus.QUEUED, _runs.c.launch_failures == 0),
    ),
    _has_room,
    _is_alone,
)
_CANDIDATES = (
    _described.where(_claimable_now)
    .order_by(_runs.c.priority, _runs.c.available_at, _runs.c.id)
    .limit(bindparam("most"))
)
_ONE = _described.where(_runs.c.id == bindparam("run"))
_MINE = _described.where(_runs.c.owner == bindparam("owner"), _runs.c.status.in_(ACTIVE))
_CLAIM = (
    update(_runs)
    .where(_runs.c.id.in_(bindparam("ids", expanding=True)), _claimable_now)
    .values(
        status=RunStatus.STARTING,
        status_reason=None,
        owner=bindparam("new_owner"),
        fence=_runs.c.fence + 1,
        attempt=_runs.c.attempt + 1,
    )
    .returning(_runs.c.id, _runs.c.fence, _runs.c.attempt)
)
_owned = and_(
    _runs.c.id == bindparam("run"),
    _runs.c.owner == bindparam("claimer"),
    _runs.c.fence == bindparam("at_fence"),
)
_START = (
    update(_runs)
    .where(_owned, _runs.c.status == RunStatus.STARTING)
    .values(
        status=RunStatus.RUNNING,
        started_at=func.coalesce(_runs.c.started_at, bindparam("now", type_=UtcDateTime())),
    )
)
_END = (
    update(_runs)
    .where(_owned, _runs.c.status.in_(ACTIVE))
    .values(
        status=bindparam("new_status"),
        status_reason=bindparam("new_reason"),
        result=bindparam("new_result"),
        failure=bindparam("new_failure"),
        fingerprint=bindparam("new_fingerprint"),
        started_at=func.coalesce(_runs.c.started_at, bindparam("began", type_=UtcDateTime())),
        finished_at=bindparam("finished"),
        available_at=func.coalesce(bindparam("next_at", type_=UtcDateTime()), _runs.c.available_at),
    )
)
_LOOK = select(
    select(_runs.c.id).where(_claimable_now).exists().label("has_work"),
    select(func.min(_runs.c.available_at))
    .where(_runs.c.status.in_(CLAIMABLE), _runs.c.available_at > bindparam("now"))
    .scalar_subquery()
    .label("next_due"),
)
_CANCEL_REASON = select(_runs.c.cancel_reason).where(
    _runs.c.id == bindparam("run"), _runs.c.cancel_requested_at.is_not(None)
)
_this_attempt = and_(
    _attempts.c.run_id == bindparam("run"), _attempts.c.number == bindparam("attempt")
)
_START_ATTEMPT = (
    update(_attempts)
    .where(_this_attempt)
    .values(status=RunStatus.RUNNING, pid=bindparam("new_pid"), started_at=bindparam("now"))
)
_TOLD = (
    update(_attempts)
    # What is told again, since nobody could say whether it was kept, is not counted again.
    .where(
        _this_attempt,
        _attempts.c.fence == bindparam("at_fence"),
        _attempts.c.spool_offset < bindparam("offset"),
    )
    .values(
        spool_offset=bindparam("offset"),
        log_lines=_attempts.c.log_lines + bindparam("lines"),
        log_warnings=_attempts.c.log_warnings + bindparam("warnings"),
        log_errors=_attempts.c.log_errors + bindparam("errors"),
    )
)
_END_ATTEMPT = (
    update(_attempts)
    .where(_this_attempt)
    .values(
        status=bindparam("new_status"),
        reason=bindparam("new_reason"),
        pid=func.coalesce(_attempts.c.pid, bindparam("new_pid", type_=Integer())),
        started_at=func.coalesce(_attempts.c.started_at, bindparam("began", type_=UtcDateTime())),
        finished_at=bindparam("finished"),
        exit_code=bindparam("new_exit_code"),
        signal=bindparam("new_signal"),
        failure=bindparam("new_failure"),
        usage=bindparam("new_usage"),
    )
)
_NEW_ATTEMPT = insert(_attempts)
_NEW_EVENTS = {
    "sqlite": SqliteInsert(_events).on_conflict_do_nothing(),
    "postgresql": PostgresqlInsert(_events).on_conflict_do_nothing(),
}


class ClaimRepository(Repository[SessionT]):
    async def list_candidates(self, *, now: datetime, limit: int) -> list[Any]:
        """Runs that may be claimed, the most urgent first, with what their attempt needs."""
        found = await self._session.execute(_CANDIDATES, {"now": now, "most": limit})
        return list(found)

    async def look(self, *, now: datetime) -> tuple[bool, datetime | None]:
        """Whether some run may be claimed now, and when the next one may that has to wait."""
        has_work, next_due = (await self._session.execute(_LOOK, {"now": now})).one()
        return bool(has_work), next_due

    async def get_claimed(self, run_id: str) -> Any:
        """A run that was claimed in this transaction, with what its attempt needs."""
        return (await self._session.execute(_ONE, {"run": run_id})).one()

    async def list_owned(self, owner: str) -> list[Any]:
        """The runs that this owner has claimed and not ended."""
        return list(await self._session.execute(_MINE, {"owner": owner}))

    async def take_over(self: "ClaimRepository[Session]", owner: str) -> int:
        """Make this owner that of every claim which has not ended; how many were another's."""
        values = {"owner": owner}
        others = update(_runs).where(_runs.c.status.in_(ACTIVE), _runs.c.owner != owner)
        result = await self._session.execute(others.values(values))
        return result.rowcount if isinstance(result, CursorResult) else 0

    async def lock_pipeline(self: "ClaimRepository[Session]", pipeline_id: str) -> None:
        """Claims of one pipeline one after the other; SQLite's write transactions are so anyway."""
        if self._session.get_bind().dialect.name == "postgresql":
            key = func.hashtext(f"claim:{pipeline_id}")
            await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def claim(
        self: "ClaimRepository[Session]", run_ids: Sequence[str], *, owner: str, now: datetime
    ) -> dict[str, tuple[int, int]]:
        """Compare and set: run → (fence, attempt) of those that this owner has now.

        The attempts' rows are their proof: a second claim of one breaks the primary key.
        """
        values = {"ids": list(run_ids), "now": now, "new_owner": owner}
        claimed = (await self._session.execute(_CLAIM, values)).all()
        if claimed:
            await self._session.execute(
                _NEW_ATTEMPT,
                [
                    {
                        "run_id": run_id,
                        "number": attempt,
                        "fence": fence,
                        "owner": owner,
                        "status": RunStatus.STARTING,
                        "claimed_at": now,
                        "spool_offset": 0,
                        "log_lines": 0,
                        "log_warnings": 0,
                        "log_errors": 0,
                    }
                    for run_id, fence, attempt in claimed
                ],
            )
        return {run_id: (fence, attempt) for run_id, fence, attempt in claimed}

    async def start(
        self: "ClaimRepository[Session]", run_id: str, *, owner: str, fence: int, now: datetime
    ) -> bool:
        """starting → running, by its owner; a first start stays the run's start."""
        owned = {"run": run_id, "claimer": owner, "at_fence": fence}
        return _moved(await self._session.execute(_START, owned | {"now": now}))

    async def find_cancel_reason(self, run_id: str) -> str | None:
        """Why somebody wants the run to end; None where nobody does."""
        return await self._session.scalar(_CANCEL_REASON, {"run": run_id})

    async def end(
        self: "ClaimRepository[Session]",
        run_id: str,
        *,
        owner: str,
        fence: int,
        status: RunStatus,
        reason: str | None,
        result: Any,
        failure: dict[str, Any] | None,
        fingerprint: str | None,
        began: datetime | None,
        finished: datetime | None,
        next_at: datetime | None,
    ) -> bool:
        """starting or running → final or retrying, by its owner; False: it was fenced off."""
        values = {
            "run": run_id,
            "claimer": owner,
            "at_fence": fence,
            "new_status": status,
            "new_reason": reason,
            "new_result": result,
            "new_failure": failure,
            "new_fingerprint": fingerprint,
            "began": began,
            "finished": finished,
            "next_at": next_at,
        }
        return _moved(await self._session.execute(_END, values))

    async def start_attempt(
        self: "ClaimRepository[Session]", run_id: str, attempt: int, *, pid: int, now: datetime
    ) -> None:
        values = {"run": run_id, "attempt": attempt, "new_pid": pid, "now": now}
        await self._session.execute(_START_ATTEMPT, values)

    async def count_told(
        self: "ClaimRepository[Session]", counts: Sequence[dict[str, Any]]
    ) -> None:
        """How far spools are stored: {run, attempt, at_fence, offset, lines, warnings, errors}."""
        if counts:
            await self._session.execute(_TOLD, list(counts))

    async def end_attempt(
        self: "ClaimRepository[Session]",
        run_id: str,
        attempt: int,
        *,
        status: str,
        reason: str | None,
        pid: int | None,
        began: datetime | None,
        finished: datetime,
        exit_code: int | None,
        signal: str | None,
        failure: dict[str, Any] | None,
        usage: dict[str, Any] | None,
    ) -> None:
        values = {
            "run": run_id,
            "attempt": attempt,
            "new_status": status,
            "new_reason": reason,
            "new_pid": pid,
            "began": began,
            "finished": finished,
            "new_exit_code": exit_code,
            "new_signal": signal,
            "new_failure": failure,
            "new_usage": usage,
        }
        await self._session.execute(_END_ATTEMPT, values)

    async def add_events(self: "ClaimRepository[Session]", rows: Sequence[dict[str, Any]]) -> None:
        """Keep events; those that are kept already are left as they are."""
        if rows:
            dialect = self._session.get_bind().dialect.name
            await self._session.execute(_NEW_EVENTS[dialect], list(rows))


def _moved(result: Any) -> bool:
    return isinstance(result, CursorResult) and result.rowcount == 1
