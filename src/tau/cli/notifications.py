"""What `tau webhooks`, `webhook add`, `delete`, `test` and `notify test` do.

The tests exit by whether they have arrived.
"""

from tau.cli.confirmation import confirmed
from tau.client.client import Client
from tau.commands.output import Document, Outcome
from tau.errors import ExitCode


def webhooks(*, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.webhooks(limit=limit, cursor=cursor)


def add_webhook(
    *, url: str, events: list[str] | None, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return client.add_webhook(url, events=events, dry_run=dry_run, reason=reason)


def delete_webhook(
    *, webhook: str, yes: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return confirmed(
            lambda dry: client.delete_webhook(webhook, dry_run=dry, reason=reason),
            yes=yes, dry_run=dry_run,
        )  # fmt: skip


def test_webhook(*, webhook: str, env: str | None) -> Outcome:
    with Client(env=env) as client:
        document = client.test_webhook(webhook)
    return Outcome(document, _exit_code([document.get("delivered")]))


def test_notify(*, env: str | None) -> Outcome:
    with Client(env=env) as client:
        document = client.test_notify()
    return Outcome(document, _exit_code([row["delivered"] for row in document["services"]]))


def _exit_code(delivered: list[bool | None]) -> ExitCode:
    if all(delivered):
        return ExitCode.SUCCESS
    return ExitCode.PARTIAL if any(delivered) else ExitCode.UNAVAILABLE
