"""What `tau keys list`, `create`, `revoke` and `tau audit` do."""

from tau.cli.confirmation import confirmed
from tau.client.client import Client
from tau.commands.output import Document


def list_keys(*, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.keys(limit=limit, cursor=cursor)


def create_key(
    *, name: str, scope: list[str], expires: str | None, dry_run: bool, reason: str | None,
    env: str | None,
) -> Document:  # fmt: skip
    with Client(env=env) as client:
        return client.create_key(name, scope, expires=expires, dry_run=dry_run, reason=reason)


def revoke_key(
    *, key_id: str, yes: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return confirmed(
            lambda dry: client.revoke_key(key_id, dry_run=dry, reason=reason),
            yes=yes, dry_run=dry_run,
        )  # fmt: skip


def audit(
    *, target: str | None, action: str | None, actor: str | None, limit: int, cursor: str | None,
    env: str | None,
) -> Document:  # fmt: skip
    with Client(env=env) as client:
        return client.audit(target=target, action=action, actor=actor, limit=limit, cursor=cursor)
