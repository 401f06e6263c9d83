"""Webhooks: the endpoints that are told of events."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple, cast

from sqlalchemy import Table, bindparam, delete, func, select, update

from tau.core.database import Session
from tau.models import OutboxMessage, Webhook
from tau.models.outbox_message import PENDING
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor

_webhooks = cast(Table, Webhook.__table__)
_outbox = cast(Table, OutboxMessage.__table__)
_SUBSCRIBERS = select(_webhooks.c.id, _webhooks.c.events).where(
    _webhooks.c.tenant_id == bindparam("tenant"), _webhooks.c.disabled_at.is_(None)
)


class Backlog(NamedTuple):
    """How many messages of a target wait, were given up, and why the last of them failed."""

    pending: int
    dead: int
    last_error: str | None


class WebhookRepository(Repository[SessionT]):
    async def subscribers(self) -> list[tuple[str, list[str]]]:
        """The enabled webhooks: their ids and the events that they are told of."""
        found = await self._session.execute(_SUBSCRIBERS, {"tenant": self._tenant_id})
        return [(row.id, row.events) for row in found]

    async def find(self, webhook_id: str) -> Webhook | None:
        query = select(Webhook).where(self._mine(Webhook), Webhook.id == webhook_id)
        return (await self._session.scalars(query)).one_or_none()

    async def list_all(self: "WebhookRepository[Session]") -> list[Webhook]:
        """Every webhook of every tenant, locked until the commit: one ring encrypts them all."""
        query = select(Webhook).order_by(Webhook.id).with_for_update()
        return list((await self._session.scalars(query)).all())

    async def list_page(
        self, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Webhook], int, str | None]:
        """Webhooks from the oldest on, how many there are, and the cursor of the next page."""
        mine = select(Webhook).where(self._mine(Webhook))
        query = mine
        if cursor is not None:
            query = query.where(Webhook.id > decode_cursor(cursor, str)[0])
        found = await self._session.scalars(query.order_by(Webhook.id).limit(limit + 1))
        rows = list(found)
        more = encode_cursor(rows[limit - 1].id) if len(rows) > limit else None
        return rows[:limit], await self._count(mine), more

    async def backlogs(self, targets: Sequence[str]) -> dict[str, Backlog]:
        """What has not been delivered to these targets."""
        open_ = (_outbox.c.target.in_(targets), _outbox.c.status != "delivered")
        counts = select(_outbox.c.target, _outbox.c.status, func.count()).where(*open_)
        grouped = counts.group_by(_outbox.c.target, _outbox.c.status)
        numbers = {(row[0], row[1]): int(row[2]) for row in await self._session.execute(grouped)}
        errors = select(_outbox.c.target, _outbox.c.last_error).where(
            *open_, _outbox.c.last_error.is_not(None)
        )
        # The newest comes last and stays.
        last = {
            row[0]: row[1] for row in await self._session.execute(errors.order_by(_outbox.c.id))
        }
        return {
            target: Backlog(
                pending=numbers.get((target, "pending"), 0),
                dead=numbers.get((target, "dead"), 0),
                last_error=last.get(target),
            )
            for target in targets
        }

    async def add(self: "WebhookRepository[Session]", webhook: Webhook) -> None:
        webhook.tenant_id = self._tenant_id
        self._session.add(webhook)
        await self._session.flush()

    async def remove(self: "WebhookRepository[Session]", webhook_id: str) -> int:
        """Remove a webhook with what it was still to be told; how many messages that were."""
        waiting = delete(_outbox).where(_outbox.c.target == webhook_id, _outbox.c.status == PENDING)
        dropped = cast(Any, await self._session.execute(waiting)).rowcount
        await self._session.execute(delete(_webhooks).where(_webhooks.c.id == webhook_id))
        return int(dropped)

    async def disable(
        self: "WebhookRepository[Session]", webhook_id: str, *, reason: str, now: datetime
    ) -> None:
        """Tell it nothing any more, also not what waits."""
        await self._session.execute(
            update(_webhooks)
            .where(_webhooks.c.id == webhook_id, _webhooks.c.disabled_at.is_(None))
            .values(disabled_at=now, disabled_reason=reason)
        )
        await self._session.execute(
            update(_outbox)
            .where(_outbox.c.target == webhook_id, _outbox.c.status == PENDING)
            .values(status="dead", last_error=reason, finished_at=now)
        )

    async def note(
        self: "WebhookRepository[Session]",
        webhook_id: str,
        *,
        delivered: bool,
        status: int | None,
        error: str | None,
        now: datetime,
    ) -> None:
        """How the last attempt went."""
        values: dict[str, Any] = {"last_attempt_at": now, "last_status": status}
        if delivered:
            values |= {"last_delivered_at": now, "last_error": None, "failures": 0}
        else:
            values |= {"last_error": error, "failures": _webhooks.c.failures + 1}
        await self._session.execute(
            update(_webhooks).where(_webhooks.c.id == webhook_id).values(**values)
        )
