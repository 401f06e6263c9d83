"""Sends what is in the outbox: each message by one daemon, again and again until it is taken.

A message may arrive twice (its sender dies before it can say that it was taken) and always has
the same id; a webhook's receiver tells by `webhook-id`, as Standard Webhooks has it.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from standardwebhooks import Webhook as Signer

from tau import __version__
from tau.core.clock import Clock
from tau.core.crypto import Sealed
from tau.core.database import Database
from tau.core.egress import Egress, SendFailed
from tau.core.notifier import Notifier
from tau.errors import TauError
from tau.repositories.outbox_repo import WEBHOOK, Claimed, OutboxRepository
from tau.repositories.webhook_repo import WebhookRepository
from tau.services.notice_text import MOODS, headline
from tau.services.vault import Vault, load_library

DELAYS_S = (5, 30, 120, 600, 1800, 3600, 7200, 18_000, 36_000, 50_400)
"""Between attempts; after the last, in a day and a half, a message is given up."""
LEASE = timedelta(seconds=90)
"""Longer than any attempt takes; after that others may send what its daemon did not end."""
PER_TARGET = 2
"""Messages on their way to one target at a time, so that a slow one does not hold up others."""
GONE = 410


@dataclass(frozen=True, kw_only=True)
class Sent:
    """How an attempt went: whether it was taken, the status of the answer, else the error."""

    delivered: bool
    status: int | None = None
    error: str | None = None


class DeliveryService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        owner: str,
        egress: Egress,
        notifier: Notifier,
        vault: Vault,
        random: Callable[[], float] = random.random,
    ) -> None:
        self._db, self._clock, self._owner, self._random = db, clock, owner, random
        self._egress, self._notifier, self._vault = egress, notifier, vault

    async def release(self) -> None:
        """At the start: what an earlier life of this daemon was sending is to be sent again."""
        async with self._db.transaction() as session:
            await OutboxRepository(session).release(self._owner)

    async def next_at(self) -> datetime | None:
        """When the next message is due."""
        async with self._db.read() as session:
            return await OutboxRepository(session).next_at(services=self._notifier.targets)

    async def claim(self, *, limit: int, busy: dict[str, int]) -> list[Claimed]:
        """Due messages that are this daemon's to send now; `busy` counts those under way."""
        now = self._clock.now()
        async with self._db.transaction() as session:
            return await OutboxRepository(session).claim(
                owner=self._owner,
                now=now,
                until=now + LEASE,
                limit=limit,
                services=self._notifier.targets,
                busy=busy,
                per_target=PER_TARGET,
            )

    async def deliver(self, message: Claimed) -> Sent:
        """Send a claimed message and keep how that went. Raises StoreUnavailable."""
        if message.channel == WEBHOOK:
            sent = await self.post(message)
        else:
            title, text = headline(message.body)
            mood = MOODS.get(message.type, "info")
            error = await self._notifier.send(message.target, title=title, body=text, mood=mood)
            sent = Sent(delivered=error is None, error=error)
        await self._keep(message, sent)
        return sent

    async def post(self, message: Claimed) -> Sent:
        """Sign a message and send it to its webhook, once."""
        now = self._clock.now()
        try:
            await load_library()
            sealed = Sealed(message.secret or b"", message.key_id or "")
            secret = self._vault.open_signing(message.target, sealed)
            signature = Signer(secret).sign(message.event_id, now, message.body)
            status = await self._egress.post(
                message.url or "",
                content=message.body.encode(),
                headers={
                    "Content-Type": "application/json",
                    "User-Agent": f"tau/{__version__}",
                    "webhook-id": message.event_id,
                    "webhook-timestamp": str(int(now.timestamp())),
                    "webhook-signature": signature,
                },
            )
        except SendFailed as error:
            return Sent(delivered=False, error=str(error))
        except TauError as error:
            # The URL is refused, or the secret can't be opened: both may be mended.
            return Sent(delivered=False, error=f"refused: {error.message}")
        return _judge(status)

    async def _keep(self, message: Claimed, sent: Sent) -> None:
        now, is_gone = self._clock.now(), sent.status == GONE
        next_at = None if sent.delivered or is_gone else self._again(message.attempt, now)
        status = "delivered" if sent.delivered else "pending" if next_at else "dead"
        async with self._db.transaction() as session:
            mine = await OutboxRepository(session).finish(
                message,
                owner=self._owner,
                status=status,
                http_status=sent.status,
                error=sent.error,
                now=now,
                next_at=next_at,
            )
            if mine and message.channel == WEBHOOK:
                webhooks = WebhookRepository(session)
                await webhooks.note(
                    message.target,
                    delivered=sent.delivered,
                    status=sent.status,
                    error=sent.error,
                    now=now,
                )
                if is_gone:
                    reason = "it answered 410 Gone"
                    await webhooks.disable(message.target, reason=reason, now=now)

    def _again(self, attempt: int, now: datetime) -> datetime | None:
        """When to try again after so many attempts; with up to a fifth more, by chance."""
        if attempt > len(DELAYS_S):
            return None
        return now + timedelta(seconds=DELAYS_S[attempt - 1] * (1 + 0.2 * self._random()))


def _judge(status: int) -> Sent:
    if 200 <= status <= 299:
        return Sent(delivered=True, status=status)
    if 300 <= status <= 399:
        error = f"it answered {status}: redirects are not followed"
    else:
        error = f"it answered {status}"
    return Sent(delivered=False, status=status, error=error)
