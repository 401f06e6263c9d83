"""Webhooks and the services of [notify]: what only an admin sees, as URLs may be secrets."""

from tau.api.deps import Admin, IdempotencyKey, ServicesDep
from tau.api.pipelines import Limit
from tau.api.routing import keyed_router
from tau.schemas.base import Change
from tau.schemas.webhook import (
    NotifyTested,
    WebhookAdd,
    WebhookAdded,
    WebhookDeleted,
    WebhookList,
    WebhookTested,
)

router = keyed_router("webhooks")


@router.get("/webhooks")
async def list_webhooks(
    actor: Admin, services: ServicesDep, limit: Limit = 20, cursor: str | None = None
) -> WebhookList:
    """All webhooks, with how their deliveries go."""
    return await services.webhooks.list(limit=limit, cursor=cursor)


@router.post("/webhooks", status_code=201)
async def add_webhook(
    request: WebhookAdd,
    actor: Admin,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> WebhookAdded:
    """A new webhook; its secret is in this answer, not in a repeated one's, and nowhere else."""
    return await services.webhooks.add(request, actor, idempotency_key=idempotency_key)


@router.post("/webhooks/{webhook_id}/delete")
async def delete_webhook(
    webhook_id: str, request: Change, actor: Admin, services: ServicesDep
) -> WebhookDeleted:
    """Remove a webhook with what it was still to be told."""
    return await services.webhooks.delete(webhook_id, request, actor)


@router.post("/webhooks/{webhook_id}/test")
async def test_webhook(webhook_id: str, actor: Admin, services: ServicesDep) -> WebhookTested:
    """Send a signed test, now and once."""
    return await services.webhooks.test(webhook_id)


@router.post("/notify/test")
async def test_notify(actor: Admin, services: ServicesDep) -> NotifyTested:
    """Send a test to each service of [notify]."""
    return await services.webhooks.test_services()
