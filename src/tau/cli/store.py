"""What `tau db …` and `tau config …` do."""

from tau.cli.confirmation import confirmed
from tau.client.client import Client
from tau.commands.output import Document, Outcome
from tau.errors import ExitCode


def stats(*, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.db.stats()


def cleanup(
    *, days: int | None, yes: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return confirmed(
            lambda dry: client.db.cleanup(days=days, dry_run=dry, reason=reason),
            yes=yes, dry_run=dry_run,
        )  # fmt: skip


def vacuum(*, dry_run: bool, reason: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.db.vacuum(dry_run=dry_run, reason=reason)


def backup(
    *, file: str, force: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return client.db.backup(file, force=force, dry_run=dry_run, reason=reason)


def show_config(*, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.config.show()


def validate_config(*, file: str | None, overlay: str | None, env: str | None) -> Outcome:
    with Client(env=env) as client:
        document = client.config.validate(file, environment=overlay)
    return Outcome(document, ExitCode.SUCCESS if document["valid"] else ExitCode.CONFIGURATION)
