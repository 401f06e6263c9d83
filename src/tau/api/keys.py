"""API keys and the audit trail: what only an admin sees."""

from typing import Annotated

from fastapi import Query

from tau.api.deps import Admin, IdempotencyKey, ServicesDep
from tau.api.pipelines import Limit
from tau.api.routing import keyed_router
from tau.schemas.audit import AuditList
from tau.schemas.base import Change
from tau.schemas.key import KeyCreate, KeyCreated, KeyList, KeyRevoked

router = keyed_router("keys")


@router.get("/keys")
async def list_keys(
    actor: Admin, services: ServicesDep, limit: Limit = 20, cursor: str | None = None
) -> KeyList:
    """All keys, also those that are revoked or expired."""
    return await services.keys.list(limit=limit, cursor=cursor)


@router.post("/keys", status_code=201)
async def create_key(
    request: KeyCreate,
    actor: Admin,
    services: ServicesDep,
    idempotency_key: IdempotencyKey = None,
) -> KeyCreated:
    """A new key; its text is in this answer, not in a repeated one's, and stored nowhere."""
    return await services.keys.create(request, actor, idempotency_key=idempotency_key)


@router.post("/keys/{key_id}/revoke")
async def revoke_key(
    key_id: str, request: Change, actor: Admin, services: ServicesDep
) -> KeyRevoked:
    """Take a key away."""
    return await services.keys.revoke(key_id, request, actor)


@router.get("/audit")
async def list_audit(
    actor: Admin,
    services: ServicesDep,
    limit: Limit = 20,
    cursor: str | None = None,
    action: str | None = None,
    target: str | None = None,
    by: Annotated[str | None, Query(alias="actor")] = None,
) -> AuditList:
    """Who changed what, the newest first; `by` is a key's name or an agent's."""
    return await services.audit.list(
        limit=limit, cursor=cursor, action=action, target=target, actor=by
    )
