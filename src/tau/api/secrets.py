"""Secrets: names for readers, changes for admins; no route answers a value."""

from typing import Annotated

from fastapi import Query

from tau.api.deps import Admin, Reader, ServicesDep
from tau.api.pipelines import Limit
from tau.api.routing import keyed_router
from tau.schemas.base import Change, Reason
from tau.schemas.secret import SecretChanged, SecretDeleted, SecretList, SecretSet, SecretsRotated

router = keyed_router("secrets")


@router.get("/secrets")
async def list_secrets(
    actor: Reader, services: ServicesDep, limit: Limit = 20, cursor: str | None = None
) -> SecretList:
    """Who set which secret when, and which pipelines name it."""
    return await services.secrets.list(limit=limit, cursor=cursor)


@router.put("/secrets/{name}")
async def set_secret(
    name: str, request: SecretSet, actor: Admin, services: ServicesDep
) -> SecretChanged:
    """Keep a value, in place of the one there was."""
    return await services.secrets.set(name, request, actor)


@router.delete("/secrets/{name}")
async def delete_secret(
    name: str,
    actor: Admin,
    services: ServicesDep,
    dry_run: bool = False,
    reason: Annotated[Reason | None, Query()] = None,
) -> SecretDeleted:
    """Forget a value; a DELETE has no body, so what a change may say is in the query."""
    return await services.secrets.delete(name, Change(dry_run=dry_run, reason=reason), actor)


@router.post("/secrets/rotate")
async def rotate_secrets(request: Change, actor: Admin, services: ServicesDep) -> SecretsRotated:
    """Encrypt every secret with a new key."""
    return await services.secrets.rotate(request, actor)
