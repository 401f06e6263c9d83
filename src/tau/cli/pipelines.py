"""What `tau deploy`, `undeploy`, `list`, `show` and `code` do."""

from tau.cli.confirmation import confirmed
from tau.cli.progress import progress
from tau.client.client import Client
from tau.commands.output import Document


def deploy(
    *, file: str, name: str | None, schedule: str | None, dry_run: bool, reason: str | None,
    env: str | None,
) -> Document:  # fmt: skip
    with Client(env=env) as client, progress(file) as show:
        return client.deploy(
            file, name=name, schedule=schedule, dry_run=dry_run, reason=reason, on_progress=show
        )


def undeploy(
    *, name: str, yes: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return confirmed(
            lambda dry: client.undeploy(name, dry_run=dry, reason=reason), yes=yes, dry_run=dry_run
        )


def list_pipelines(
    *, tag: str | None, limit: int, cursor: str | None, full: bool, env: str | None
) -> Document:
    with Client(env=env) as client:
        return client.list(tag=tag, limit=limit, cursor=cursor, full=full)


def show(*, name: str, full: bool, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.show(name, full=full)


def code(*, name: str, version: int | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.code(name, version=version)
