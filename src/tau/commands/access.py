"""The commands on who may do what, and who did: keys, audit."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, LIMIT, REASON, YES
from tau.commands.spec import Argument, Command, Option, Output

SCOPES = ("read", "run", "deploy", "admin", "worker")

KEYS_LIST = Command(
    name="keys list",
    group="access",
    summary="List the API keys, without their secrets; `tau keys` alone does the same.",
    params=(LIMIT, CURSOR, FIELDS),
    output=Output(
        description="A page of keys.",
        keys=("keys", "total", "next_cursor"),
        rows="keys",
        row_keys=("id", "name", "scopes", "created_at", "expires_at", "revoked_at"),
    ),
    errors=("request.invalid_cursor",),
    examples=("tau keys", "tau keys list --fields id,name,scopes"),
)

KEYS_CREATE = Command(
    name="keys create",
    group="access",
    summary="Make an API key; its secret is printed now and never again.",
    params=(
        Argument(name="name", metavar="NAME", help="Who or what it is for."),
        Option(
            name="--scope",
            metavar="S",
            choices=SCOPES,
            many=True,
            required=True,
            help="What it may do; may be repeated.",
        ),
        Option(name="--expires", metavar="T", help="When it ends: 30d, 12h (default: never)."),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The key; with --dry-run what it would be.",
        keys=("id", "name", "scopes", "key", "expires_at", "dry_run", "next"),
    ),
    examples=("tau keys create ci --scope read --scope run --expires 30d",),
    mutating=True,
    idempotent=False,
)

KEYS_REVOKE = Command(
    name="keys revoke",
    group="access",
    summary="Take an API key away, at once and for good.",
    params=(
        Argument(name="key_id", metavar="ID", help="The key's id, as `tau keys` lists it."),
        YES,
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The key that was revoked.", keys=("id", "name", "revoked", "dry_run")
    ),
    errors=("key.not_found", "key.in_use", "confirmation.required"),
    examples=("tau keys revoke ID --dry-run", "tau keys revoke ID --yes --reason leaked"),
    mutating=True,
)

AUDIT = Command(
    name="audit",
    group="access",
    summary="List who changed what and why, the newest first.",
    params=(
        Option(name="--target", metavar="T", help="Only changes of this pipeline, run or key."),
        Option(name="--action", metavar="A", help="Only this kind of change."),
        Option(name="--actor", metavar="K", help="Only changes by this key or agent."),
        LIMIT,
        CURSOR,
        FIELDS,
    ),
    output=Output(
        description="A page of the audit trail.",
        keys=("entries", "total", "next_cursor"),
        rows="entries",
        row_keys=(
            "id", "at", "action", "target", "actor", "agent", "request_id", "reason", "detail",
        ),
    ),
    errors=("request.invalid_cursor",),
    examples=("tau audit", "tau audit --target orders --fields at,action,actor,reason"),
)  # fmt: skip

COMMANDS = (KEYS_LIST, KEYS_CREATE, KEYS_REVOKE, AUDIT)
