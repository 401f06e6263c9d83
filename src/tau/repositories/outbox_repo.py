"""The outbox: messages on their way, claimed by one daemon each, until delivered or given up."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import CursorResult, Table, and_, delete, func, or_, select, update

from tau.core.database import Session
from tau.models import OutboxMessage, Webhook
from tau.models.base import UtcDateTime
from tau.models.outbox_message import PENDING
from tau.repositories.base import Repository, SessionT

_outbox = cast(Table, OutboxMessage.__table__)
_webhooks = cast(Table, Webhook.__table__)
WEBHOOK, NOTIFY = "webhook", "notify"
CANDIDATES = 64


class Claimed(NamedTuple):
    """A message that this daemon is to send now; `attempt` is the fence of its claim."""

    id: str
    event_id: str
    channel: str
    target: str
    type: str
    body: str
    attempt: int
    url: str | None
    secret: bytes | None
    key_id: str | None


class OutboxRepository(Repository[SessionT]):
    async def add(self: "OutboxRepository[Session]", rows: Sequence[dict[str, Any]]) -> None:
        """Keep messages; whoever was told of the same already is not told again."""
        given = [row | {"tenant_id": self._tenant_id} for row in rows]
        await self._session.execute(self._insert_if_new(OutboxMessage), given)

    async def next_at(self, *, services: Sequence[str]) -> datetime | None:
        """When the next message is due that this daemon can send."""
        due = func.coalesce(_outbox.c.lease_until, _outbox.c.next_at, type_=UtcDateTime())
        query = select(func.min(due, type_=UtcDateTime())).where(_sendable(services))
        return await self._session.scalar(query)

    async def claim(
        self: "OutboxRepository[Session]",
        *,
        owner: str,
        now: datetime,
        until: datetime,
        limit: int,
        services: Sequence[str],
        busy: dict[str, int],
        per_target: int,
    ) -> list[Claimed]:
        """Up to `limit` due messages, and of one target no more than `per_target` with `busy`.

        Those that another daemon is taking at this moment are passed over.
        """
        full = [target for target, count in busy.items() if count >= per_target]
        query = (
            select(_outbox, _webhooks.c.url, _webhooks.c.secret, _webhooks.c.key_id)
            .outerjoin(_webhooks, _webhooks.c.id == _outbox.c.target)
            .where(
                _sendable(services),
                _outbox.c.next_at <= now,
                or_(_outbox.c.lease_until.is_(None), _outbox.c.lease_until <= now),
                _outbox.c.target.not_in(full),
            )
            .order_by(_outbox.c.next_at, _outbox.c.id)
            .limit(CANDIDATES)
            .with_for_update(of=_outbox, skip_locked=True)
        )
        counts = dict(busy)
        taken: list[Any] = []
        for row in await self._session.execute(query):
            counts[row.target] = counts.get(row.target, 0) + 1
            if counts[row.target] <= per_target and len(taken) < limit:
                taken.append(row)
        if taken:
            await self._session.execute(
                update(_outbox)
                .where(_outbox.c.id.in_([row.id for row in taken]))
                .values(owner=owner, lease_until=until, attempts=_outbox.c.attempts + 1)
            )
        return [
            Claimed(
                id=row.id,
                event_id=row.event_id,
                channel=row.channel,
                target=row.target,
                type=row.type,
                body=row.body,
                attempt=row.attempts + 1,
                url=row.url,
                secret=row.secret,
                key_id=row.key_id,
            )
            for row in taken
        ]

    async def finish(
        self: "OutboxRepository[Session]",
        message: Claimed,
        *,
        owner: str,
        status: str,
        http_status: int | None,
        error: str | None,
        now: datetime,
        next_at: datetime | None,
    ) -> bool:
        """How a claimed message went, by whom it was claimed; False: it is not his any more.

        `next_at` is when it is tried again, None where it is delivered or given up.
        """
        values: dict[str, Any] = {
            "status": status,
            "last_status": http_status,
            "last_error": error,
            "owner": None,
            "lease_until": None,
            "finished_at": None if next_at else now,
        }
        done = await self._session.execute(
            update(_outbox)
            .where(
                _outbox.c.id == message.id,
                _outbox.c.owner == owner,
                _outbox.c.attempts == message.attempt,
                _outbox.c.status == PENDING,
            )
            .values(**values | ({"next_at": next_at} if next_at else {}))
        )
        return isinstance(done, CursorResult) and done.rowcount == 1

    async def release(self: "OutboxRepository[Session]", owner: str) -> int:
        """Give back what an earlier life of this daemon had claimed; how many messages."""
        done = await self._session.execute(
            update(_outbox)
            .where(_outbox.c.owner == owner, _outbox.c.status == PENDING)
            .values(owner=None, lease_until=None)
        )
        return done.rowcount if isinstance(done, CursorResult) else 0

    async def remove_old(
        self: "OutboxRepository[Session]",
        *,
        delivered_before: datetime,
        before: datetime,
        limit: int,
    ) -> int:
        """Remove delivered messages and, later, all that have ended, so many at most; how many."""
        ended = _outbox.c.finished_at.is_not(None)
        old = or_(
            and_(_outbox.c.status == "delivered", _outbox.c.finished_at < delivered_before),
            _outbox.c.finished_at < before,
        )
        some = select(_outbox.c.id).where(ended, old).limit(limit)
        done = await self._session.execute(delete(_outbox).where(_outbox.c.id.in_(some)))
        return done.rowcount if isinstance(done, CursorResult) else 0

    async def give_up(
        self: "OutboxRepository[Session]", *, due_before: datetime, now: datetime
    ) -> int:
        """End what nobody can send: its webhook or its service is not there any more."""
        done = await self._session.execute(
            update(_outbox)
            .where(
                _outbox.c.status == PENDING,
                _outbox.c.next_at < due_before,
                _outbox.c.lease_until.is_(None),
            )
            .values(
                status="dead",
                finished_at=now,
                last_error=func.coalesce(_outbox.c.last_error, "nobody could send it"),
            )
        )
        return done.rowcount if isinstance(done, CursorResult) else 0


def _sendable(services: Sequence[str]) -> Any:
    """What this daemon can send: to any webhook that is there, to its own services."""
    known = select(_webhooks.c.id).where(_webhooks.c.disabled_at.is_(None))
    return and_(
        _outbox.c.status == PENDING,
        or_(
            and_(_outbox.c.channel == WEBHOOK, _outbox.c.target.in_(known)),
            and_(_outbox.c.channel == NOTIFY, _outbox.c.target.in_(services)),
        ),
    )
