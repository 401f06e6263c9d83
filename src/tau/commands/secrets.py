"""The commands on secrets: names are listed, values go in and never come out."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, LIMIT, REASON, YES
from tau.commands.spec import Argument, Command, Option, Output

NAME = Argument(name="name", metavar="NAME", help="The name that ctx.secret asks for.")

SECRETS = Command(
    name="secrets",
    group="access",
    summary="List the secrets: who set them when, which pipelines name them; never a value.",
    params=(LIMIT, CURSOR, FIELDS),
    output=Output(
        description="A page of secrets, and the names that pipelines ask for and nobody has set.",
        keys=("secrets", "total", "missing", "next_cursor", "next"),
        rows="secrets",
        row_keys=("name", "version", "set_at", "set_by", "agent", "pipelines", "more_pipelines"),
    ),
    errors=("request.invalid_cursor",),
    examples=("tau secrets", "tau secrets --fields name,version,set_by"),
    is_private=True,
)

SET = Command(
    name="secret set",
    group="access",
    summary="Keep a secret, encrypted; its value comes from stdin, or from where you say.",
    params=(
        NAME,
        Option(name="--from-env", metavar="VAR", help="Take it from this variable of tau's own."),
        Option(name="--from-file", metavar="FILE", help="Take it from this file."),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The secret's version; the same value again changes nothing. A line break "
        "that ends a single line is not part of the value.",
        keys=("name", "version", "changed", "dry_run", "pipelines", "warnings", "next"),
    ),
    errors=("secret.invalid", "secret.wrong_key", "file.not_found"),
    examples=(
        "tau secret set API_TOKEN < token.txt",
        "tau secret set API_TOKEN --from-env TOKEN",
        "tau secret set SSH_KEY --from-file id_ed25519 --reason renewed",
    ),
    mutating=True,
    is_private=True,
)

DELETE = Command(
    name="secret delete",
    group="access",
    summary="Forget a secret for good.",
    params=(NAME, YES, DRY_RUN, REASON),
    output=Output(
        description="What was deleted, and who names it still.",
        keys=("name", "deleted", "dry_run", "pipelines", "in_environment", "next"),
    ),
    errors=("secret.not_found", "confirmation.required"),
    examples=("tau secret delete API_TOKEN --dry-run", "tau secret delete API_TOKEN --yes"),
    mutating=True,
    is_private=True,
)

ROTATE = Command(
    name="secret rotate",
    group="access",
    summary="Encrypt every secret with a new key, and forget the old one.",
    params=(DRY_RUN, REASON),
    output=Output(
        description="How many secrets have the new key.",
        keys=("rotated", "key_id", "dry_run", "next"),
    ),
    errors=("secret.wrong_key", "secret.rotation_refused"),
    examples=("tau secret rotate --dry-run", "tau secret rotate --reason quarterly"),
    mutating=True,
    idempotent=False,
    is_private=True,
)

COMMANDS = (SECRETS, SET, DELETE, ROTATE)
