"""What `tau versions`, `diff` and `rollback` do."""

from tau.client.client import Client
from tau.commands.output import Document


def versions(*, name: str, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.versions(name, limit=limit, cursor=cursor)


def diff(*, name: str, start: int | None, end: int | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.diff(name, start=start, end=end)


def rollback(
    *, name: str, to: int | None, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return client.rollback(name, to=to, dry_run=dry_run, reason=reason)
