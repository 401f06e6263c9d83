"""The commands on the versions of a pipeline: versions, diff, rollback."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, LIMIT, PIPELINE, REASON
from tau.commands.pipelines import NAME_ERRORS
from tau.commands.spec import Argument, Command, Option, Output

VERSIONS = Command(
    name="versions",
    group="versions",
    summary="List the versions of a pipeline, the newest first.",
    params=(PIPELINE, LIMIT, CURSOR, FIELDS),
    output=Output(
        description="A page of versions.",
        keys=("pipeline", "versions", "total", "next_cursor", "next"),
        rows="versions",
        row_keys=("version", "current", "sha256", "file", "deployed_at", "deployed_by"),
    ),
    errors=(*NAME_ERRORS, "request.invalid_cursor"),
    examples=("tau versions orders", "tau versions orders --fields version,deployed_by"),
)

DIFF = Command(
    name="diff",
    group="versions",
    summary="Show what changed between two versions: the code, and what the decorator says.",
    params=(
        PIPELINE,
        Argument(
            name="start", metavar="N", kind="integer", required=False,
            help="From this version (the one before the current).",
        ),
        Argument(
            name="end", metavar="M", kind="integer", required=False,
            help="To this version (the current).",
        ),
        FIELDS,
    ),
    output=Output(
        description="The unified diff of the code, and the settings that differ.",
        keys=("pipeline", "from", "to", "changed", "added", "removed", "diff", "spec"),
    ),
    errors=(*NAME_ERRORS, "version.not_found"),
    examples=("tau diff orders", "tau diff orders 1 3 -o table"),
)  # fmt: skip

ROLLBACK = Command(
    name="rollback",
    group="versions",
    summary="Make an older version the current one; nothing is deleted.",
    params=(
        PIPELINE,
        Option(
            name="--to", kind="integer", metavar="N", help="The one before the current by default."
        ),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The version that is current now.",
        keys=("pipeline", "version", "previous_version", "dry_run", "changed", "next"),
    ),
    errors=(*NAME_ERRORS, "version.not_found"),
    examples=("tau rollback orders --dry-run", "tau rollback orders --to 2 --reason 'wrong sums'"),
    mutating=True,
    idempotent=False,
)

COMMANDS = (VERSIONS, DIFF, ROLLBACK)
