"""What `tau deploy`, `list`, `show` and `code` do."""

from tau.client.client import Client
from tau.commands.output import Document


def deploy(
    *, file: str, name: str | None, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return client.deploy(file, name=name, dry_run=dry_run, reason=reason)


def list_pipelines(*, tag: str | None, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.list(tag=tag, limit=limit, cursor=cursor)


def show(*, name: str, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.show(name)


def code(*, name: str, version: int | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.code(name, version=version)
