"""Leases of the daemons that share a store, and the runs of those whose lease has run out."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, and_, bindparam, func, or_, select, update

from tau.core.database import Session
from tau.models import Attempt, Run, Version, Worker
from tau.models.run import ACTIVE
from tau.pipeline.types import RunStatus
from tau.repositories.base import Repository, SessionT

_runs = cast(Table, Run.__table__)
_attempts = cast(Table, Attempt.__table__)
_versions = cast(Table, Version.__table__)
_workers = cast(Table, Worker.__table__)
_TAKE = (
    update(_runs)
    .where(
        _runs.c.id == bindparam("run"),
        _runs.c.owner == bindparam("lost_owner"),
        _runs.c.fence == bindparam("at_fence"),
        _runs.c.status.in_(ACTIVE),
    )
    .values(
        status=bindparam("new_status"),
        status_reason=bindparam("new_reason"),
        fingerprint=bindparam("new_fingerprint"),
        fence=_runs.c.fence + 1,
        finished_at=bindparam("finished"),
        available_at=bindparam("next_at"),
    )
)


class LostRun(NamedTuple):
    """A run whose owner's lease has run out."""

    id: str
    pipeline_name: str
    attempt: int
    max_attempts: int
    fence: int
    owner: str
    cancel_reason: str | None
    spec: dict[str, Any]
    host: str | None


class WorkerRepository(Repository[SessionT]):
    async def now(self, host_time: datetime) -> datetime:
        """The time that leases are measured by: the server's where hosts share one."""
        if self._session.get_bind().dialect.name == "sqlite":
            return host_time
        return cast(datetime, await self._session.scalar(select(func.clock_timestamp())))

    async def renew(
        self: "WorkerRepository[Session]", worker: dict[str, Any], *, until: datetime
    ) -> None:
        """Say that this daemon lives, at least until then."""
        values = worker | {"lease_until": until}
        renewed = await self._session.execute(
            update(_workers).where(_workers.c.id == worker["id"]).values(**values)
        )
        if cast(Any, renewed).rowcount == 0:
            await self._session.execute(self._insert_if_new(Worker).values(values))

    async def release(self: "WorkerRepository[Session]", worker_id: str, *, now: datetime) -> None:
        """The orderly end of a daemon that executes nothing any more."""
        await self._session.execute(
            update(_workers).where(_workers.c.id == worker_id).values(lease_until=now)
        )

    async def list_living(self, *, now: datetime, but: str) -> list[str]:
        """The hosts of the other daemons whose lease has not run out."""
        query = select(_workers.c.host).where(
            _workers.c.lease_until > await self.now(now), _workers.c.id != but
        )
        return list((await self._session.scalars(query)).all())

    async def list_lost(self, *, now: datetime, grace: timedelta) -> list[LostRun]:
        """Runs whose owner's lease ran out more than `grace` ago, or who never had one."""
        expired = or_(_workers.c.lease_until.is_(None), _workers.c.lease_until < now - grace)
        query = (
            select(
                _runs.c.id,
                _runs.c.pipeline_name,
                _runs.c.attempt,
                _runs.c.max_attempts,
                _runs.c.fence,
                _runs.c.owner,
                _runs.c.cancel_reason,
                _versions.c.spec,
                _workers.c.host,
            )
            .join_from(
                _runs,
                _versions,
                and_(
                    _versions.c.pipeline_id == _runs.c.pipeline_id,
                    _versions.c.number == _runs.c.version,
                ),
            )
            .outerjoin(_workers, _workers.c.id == _runs.c.owner)
            .where(_runs.c.status.in_(ACTIVE), expired)
        )
        return [LostRun(*row) for row in await self._session.execute(query)]

    async def take(
        self: "WorkerRepository[Session]",
        lost: LostRun,
        *,
        status: RunStatus,
        reason: str,
        fingerprint: str | None,
        finished: datetime | None,
        next_at: datetime,
    ) -> bool:
        """Take a run from an owner that was lost: its fence is too old from now on."""
        values = {
            "run": lost.id,
            "lost_owner": lost.owner,
            "at_fence": lost.fence,
            "new_status": status,
            "new_reason": reason,
            "new_fingerprint": fingerprint,
            "finished": finished,
            "next_at": next_at,
        }
        taken = await self._session.execute(_TAKE, values)
        return bool(cast(Any, taken).rowcount == 1)

    async def list_taken(self, claims: Sequence[tuple[str, int]], *, owner: str) -> set[str]:
        """Which of these (run, fence) are not this owner's any more."""
        query = select(_runs.c.id, _runs.c.owner, _runs.c.fence).where(
            _runs.c.id.in_([run_id for run_id, _ in claims])
        )
        found = {row.id: (row.owner, row.fence) for row in await self._session.execute(query)}
        return {run_id for run_id, fence in claims if found.get(run_id) != (owner, fence)}
