"""Webhooks as people manage them: added, listed, tried, deleted; and the try of [notify]."""

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database, Session
from tau.core.egress import Egress, SendFailed
from tau.core.ids import IdFactory
from tau.core.notice_types import TEST, NoticeType
from tau.core.notifier import Notifier
from tau.errors import NotifyNotConfigured, WebhookNotFound
from tau.models import Webhook
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.base import encode_cursor
from tau.repositories.outbox_repo import WEBHOOK, Claimed
from tau.repositories.webhook_repo import Backlog, WebhookRepository
from tau.schemas.base import Change, NamedWarning
from tau.schemas.webhook import (
    NotifyTested,
    ServiceRow,
    ServiceTested,
    WebhookAdd,
    WebhookAdded,
    WebhookDeleted,
    WebhookList,
    WebhookRow,
    WebhookTested,
    shown_url,
)
from tau.services.budget import fit_rows
from tau.services.delivery_service import DeliveryService
from tau.services.idempotency import once, request_digest
from tau.services.notice_text import document, headline
from tau.services.vault import Vault

SECRET_BYTES = 32
HELLO = "a test, as it was asked for"


class WebhookService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        egress: Egress,
        notifier: Notifier,
        vault: Vault,
        deliveries: DeliveryService,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._egress, self._notifier, self._vault = egress, notifier, vault
        self._deliveries = deliveries

    async def list(self, *, limit: int, cursor: str | None = None) -> WebhookList:
        """Webhooks with how their deliveries go, and the services of [notify]."""
        services = self._notifier.targets
        async with self._db.read() as session:
            webhooks = WebhookRepository(session)
            rows, total, more = await webhooks.list_page(limit=limit, cursor=cursor)
            backlogs = await webhooks.backlogs([*services, *(row.id for row in rows)])
        found = [_row(row, backlogs[row.id]) for row in rows]
        shown, cut = fit_rows(found, limit=limit)
        if cut:
            more = encode_cursor(shown[-1].id)
        return WebhookList(
            webhooks=[*shown],
            total=total,
            next_cursor=more,
            notify=[self._service(target, backlogs[target]) for target in services] or None,
        )

    def _service(self, target: str, backlog: Backlog) -> ServiceRow:
        return ServiceRow(
            service=self._notifier.label(target),
            id=target,
            pending=backlog.pending,
            dead=backlog.dead,
            last_error=backlog.last_error,
        )

    async def add(
        self, request: WebhookAdd, actor: Actor, *, idempotency_key: str | None = None
    ) -> WebhookAdded:
        """A new webhook; its secret is in the first answer and nowhere else.

        Raises WebhookUrlRefused.
        """
        warnings = await self._look_up(request.url)
        events = sorted(map(str, request.events or NoticeType))
        planned = WebhookAdded(url=request.url, events=events, warnings=[*warnings] or None)
        if request.dry_run:
            return planned.model_copy(update={"dry_run": True})
        await self._vault.prepare()
        async with self._db.transaction() as session:
            await self._vault.lock(session)
            return await once(
                session,
                idempotency_key,
                digest=request_digest("webhooks", request),
                now=self._clock.now(),
                produce=lambda: self._add(session, request, planned, actor),
                answer_type=WebhookAdded,
                never_kept=frozenset({"secret"}),
            )

    async def _add(
        self, session: Session, request: WebhookAdd, planned: WebhookAdded, actor: Actor
    ) -> WebhookAdded:
        webhook_id, now = self._ids.new(), self._clock.now()
        secret = "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()
        sealed = self._vault.seal_signing(webhook_id, secret)
        await WebhookRepository(session).add(
            Webhook(
                id=webhook_id,
                url=request.url,
                secret=sealed.token,
                key_id=sealed.key_id,
                events=planned.events,
                created_at=now,
                created_by=actor.key_name,
                failures=0,
            )
        )
        await AuditRepository(session).add(
            self._ids.new(),
            "webhook.add",
            target=webhook_id,
            actor=actor,
            now=now,
            reason=request.reason,
            detail={"url": shown_url(request.url), "events": planned.events},
        )
        then = [f"tau webhook test {webhook_id}", "tau webhooks"]
        return planned.model_copy(update={"id": webhook_id, "secret": secret, "next": then})

    async def _look_up(self, url: str) -> Sequence[NamedWarning]:
        """What is strange about a URL that is allowed. Raises WebhookUrlRefused."""
        try:
            await self._egress.look_up(self._egress.check(url))
        except SendFailed as error:
            return [NamedWarning(code="webhook.unresolved", message=f"As of now {error}.")]
        return []

    async def delete(self, webhook_id: str, request: Change, actor: Actor) -> WebhookDeleted:
        """Remove a webhook with what it was still to be told. Raises WebhookNotFound."""
        if request.dry_run:
            webhook, backlog = await self._get(webhook_id)
            dropped = backlog.pending
        else:
            async with self._db.transaction() as session:
                webhooks, now = WebhookRepository(session), self._clock.now()
                webhook = _found(await webhooks.find(webhook_id), webhook_id)
                dropped = await webhooks.remove(webhook_id)
                await AuditRepository(session).add(
                    self._ids.new(),
                    "webhook.delete",
                    target=webhook_id,
                    actor=actor,
                    now=now,
                    reason=request.reason,
                    detail={"url": shown_url(webhook.url), "dropped": dropped},
                )
        return WebhookDeleted(
            id=webhook_id,
            url=shown_url(webhook.url),
            deleted=not request.dry_run,
            dropped=dropped,
            dry_run=request.dry_run,
        )

    async def test(self, webhook_id: str) -> WebhookTested:
        """Send a webhook a signed test, now and once. Raises WebhookNotFound."""
        webhook, _ = await self._get(webhook_id)
        began = time.monotonic()
        sent = await self._deliveries.post(
            Claimed(
                id="",
                event_id=f"evt_{self._ids.new()}",
                channel=WEBHOOK,
                target=webhook.id,
                type=TEST,
                body=self._hello(),
                attempt=1,
                url=webhook.url,
                secret=webhook.secret,
                key_id=webhook.key_id,
            )
        )
        return WebhookTested(
            id=webhook.id,
            url=shown_url(webhook.url),
            delivered=sent.delivered,
            http_status=sent.status,
            error=sent.error,
            ms=round((time.monotonic() - began) * 1000),
            next=None if sent.delivered else ["tau webhooks"],
        )

    async def test_services(self) -> NotifyTested:
        """Send a test to each service of [notify]. Raises NotifyNotConfigured."""
        targets = self._notifier.targets
        if not targets:
            raise NotifyNotConfigured()
        title, text = headline(self._hello())
        errors = await asyncio.gather(
            *(self._notifier.send(t, title=title, body=text, mood="info") for t in targets)
        )
        tested = [
            ServiceTested(
                service=self._notifier.label(target), id=target, delivered=not error, error=error
            )
            for target, error in zip(targets, errors, strict=True)
        ]
        return NotifyTested(services=tested)

    def _hello(self) -> str:
        return document(TEST, {"reason": HELLO, "next": ["tau webhooks"]}, at=self._clock.now())

    async def _get(self, webhook_id: str) -> tuple[Webhook, Backlog]:
        async with self._db.read() as session:
            webhooks = WebhookRepository(session)
            webhook = _found(await webhooks.find(webhook_id), webhook_id)
            return webhook, (await webhooks.backlogs([webhook_id]))[webhook_id]


def _found(webhook: Webhook | None, webhook_id: str) -> Webhook:
    if webhook is None:
        raise WebhookNotFound(f"No webhook {webhook_id[:40]!r}.", next=["tau webhooks"])
    return webhook


def _row(webhook: Webhook, backlog: Backlog) -> WebhookRow:
    return WebhookRow(
        id=webhook.id,
        url=shown_url(webhook.url),
        events=webhook.events,
        enabled=webhook.disabled_at is None,
        disabled_reason=webhook.disabled_reason,
        last_delivered_at=webhook.last_delivered_at,
        last_attempt_at=webhook.last_attempt_at,
        http_status=webhook.last_status,
        last_error=webhook.last_error,
        failures=webhook.failures,
        pending=backlog.pending,
        dead=backlog.dead,
    )
