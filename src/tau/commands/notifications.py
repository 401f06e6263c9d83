"""The commands on who is told of what: webhooks, webhook add, delete, test, notify test."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, LIMIT, REASON, YES
from tau.commands.spec import Argument, Command, Option, Output

EVENTS = ("run.failed", "run.recovered", "run.late", "schedule.paused")

WEBHOOK = Argument(name="webhook", metavar="ID", help="Its id, as `tau webhooks` lists it.")
NOT_TAKEN = (7, "it did not take the test; the document says why")

WEBHOOKS = Command(
    name="webhooks",
    group="notifications",
    summary="List the webhooks and the services of [notify], with what failed lately.",
    params=(LIMIT, CURSOR, FIELDS),
    output=Output(
        description="A page of webhooks: the last delivery, `failures` in a row, messages that "
        "are `pending` or, after a day and a half of attempts, `dead`.",
        keys=("webhooks", "total", "next_cursor", "notify"),
        rows="webhooks",
        row_keys=(
            "id", "url", "events", "enabled", "disabled_reason", "last_delivered_at",
            "last_attempt_at", "http_status", "last_error", "failures", "pending", "dead",
        ),
    ),
    errors=("request.invalid_cursor",),
    examples=("tau webhooks", "tau webhooks --fields id,url,failures,dead"),
)  # fmt: skip

WEBHOOK_ADD = Command(
    name="webhook add",
    group="notifications",
    summary="Tell a URL of events by signed POSTs; the secret is printed now and never again.",
    params=(
        Argument(
            name="url", metavar="URL",
            help="https, at a public address; [webhooks] in tau.toml allows others.",
        ),
        Option(
            name="--events", kind="names", metavar="A,B",
            help=f"Of {', '.join(EVENTS)} (default: all).",
        ),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The webhook; its secret verifies the signatures of Standard Webhooks.",
        keys=("id", "url", "events", "secret", "warnings", "dry_run", "next"),
    ),
    errors=("webhook.url_refused",),
    examples=(
        "tau webhook add https://hooks.example.com/tau",
        "tau webhook add https://hooks.example.com/tau --events run.failed,run.late --dry-run",
    ),
    mutating=True,
    idempotent=False,
)  # fmt: skip

WEBHOOK_DELETE = Command(
    name="webhook delete",
    group="notifications",
    summary="Tell a webhook nothing any more, also not what it is still to be told.",
    params=(WEBHOOK, YES, DRY_RUN, REASON),
    output=Output(
        description="The webhook that was deleted, and how many messages were dropped with it.",
        keys=("id", "url", "deleted", "dropped", "dry_run"),
    ),
    errors=("webhook.not_found", "confirmation.required"),
    examples=("tau webhook delete ID --dry-run", "tau webhook delete ID --yes --reason moved"),
    mutating=True,
)

WEBHOOK_TEST = Command(
    name="webhook test",
    group="notifications",
    summary="Send a webhook a signed test, now and once.",
    params=(WEBHOOK, FIELDS),
    output=Output(
        description="Whether the endpoint took it.",
        keys=("id", "url", "delivered", "http_status", "error", "ms", "next"),
    ),
    errors=("webhook.not_found",),
    exits=(NOT_TAKEN,),
    examples=("tau webhook test ID",),
)

NOTIFY_TEST = Command(
    name="notify test",
    group="notifications",
    summary="Send a test to each service of [notify] in tau.toml.",
    params=(FIELDS,),
    output=Output(
        description="Whether each took it; a service is shown by its kind, never by its URL.",
        keys=("services",),
        rows="services",
        row_keys=("service", "id", "delivered", "error"),
    ),
    errors=("notify.not_configured",),
    exits=((7, "none of them took it"), (12, "some of them did not take it")),
    examples=("tau notify test",),
)

COMMANDS = (WEBHOOKS, WEBHOOK_ADD, WEBHOOK_DELETE, WEBHOOK_TEST, NOTIFY_TEST)
