"""The commands on pipelines: deploy, undeploy, list, show, code."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, FULL, LIMIT, PIPELINE, REASON, YES
from tau.commands.spec import Argument, Command, Option, Output

IMPORT_ERRORS = (
    "file.not_found",
    "pipeline.not_text",
    "pipeline.too_large",
    "pipeline.syntax_error",
    "pipeline.import_failed",
    "pipeline.import_timeout",
    "pipeline.import_crashed",
    "pipeline.exits_at_import",
    "pipeline.none_found",
    "pipeline.duplicate_name",
    "pipeline.invalid_option",
    "pipeline.invalid_name",
    "pipeline.invalid_schedule",
    "pipeline.invalid_script_block",
    "dependency.missing_module",
    "dependency.unresolvable",
    "dependency.build_failed",
    "dependency.no_python",
    "dependency.no_uv",
    "dependency.index_unreachable",
)
NAME_ERRORS = ("pipeline.not_found", "pipeline.ambiguous")

_OF_THE_CODE = (
    "versions", "file", "line", "sha256", "function", "depends_on", "retries", "retry_delay",
    "retry_backoff", "timeout", "max_concurrent", "on_overlap", "params", "deployed_at",
    "deployed_by", "last_success_at",
)  # fmt: skip

DEPLOY = Command(
    name="deploy",
    group="pipelines",
    summary="Validate a pipeline file and store it as a new version (same content: no new one).",
    params=(
        Argument(name="file", metavar="FILE", help="The Python file, at most 1 MiB of UTF-8."),
        Option(name="--name", metavar="N", help="Another name, for a file with one pipeline."),
        Option(
            name="--schedule",
            metavar="CRON",
            help="When it runs by itself, as by `tau schedule`, for a file with one pipeline.",
        ),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="What was deployed.",
        keys=(
            "file", "sha256", "changed", "dry_run", "pipelines", "environment", "warnings",
            "truncated", "next",
        ),
    ),
    errors=(*IMPORT_ERRORS, "pipeline.name_override", "idempotency.key_reused"),
    examples=(
        "tau deploy orders.py",
        "tau deploy orders.py --dry-run",
        "tau deploy orders.py --schedule '0 6 * * *'",
    ),
    mutating=True,
)  # fmt: skip

UNDEPLOY = Command(
    name="undeploy",
    group="pipelines",
    summary="Take a pipeline out of service, its queued runs with it; its history stays.",
    params=(PIPELINE, YES, DRY_RUN, REASON),
    output=Output(
        description="What went: the queued runs were cancelled, the running ones go on.",
        keys=(
            "pipeline", "undeployed", "dry_run", "version", "runs", "cancelled", "running", "next",
        ),
    ),
    errors=(*NAME_ERRORS, "confirmation.required"),
    examples=("tau undeploy orders --dry-run", "tau undeploy orders --yes --reason replaced"),
    mutating=True,
)  # fmt: skip

LIST = Command(
    name="list",
    group="pipelines",
    summary="List the pipelines with their last run.",
    params=(
        Option(name="--tag", metavar="T", help="Only those with this tag."),
        LIMIT,
        CURSOR,
        FULL,
        FIELDS,
    ),
    output=Output(
        description="A page of pipelines.",
        keys=("pipelines", "total", "next_cursor", "truncated", "next"),
        rows="pipelines",
        row_keys=("name", "version", "description", "tags", "schedule", "last_run", "runs"),
        full_keys=_OF_THE_CODE,
    ),
    errors=("request.invalid_cursor",),
    examples=(
        "tau list",
        "tau list --tag warehouse -o table",
        "tau list --fields name,file,retries",
    ),
)

SHOW = Command(
    name="show",
    group="pipelines",
    summary="Show one pipeline: its settings, version and last runs.",
    params=(PIPELINE, FULL, FIELDS),
    output=Output(
        description="The pipeline.",
        keys=(
            "name", "version", "description", "tags", "schedule", *_OF_THE_CODE, "environment",
            "runs", "last_run", "truncated", "next",
        ),
    ),
    errors=NAME_ERRORS,
    examples=("tau show orders", "tau show orders --fields version,params"),
)  # fmt: skip

CODE = Command(
    name="code",
    group="pipelines",
    summary="Print the deployed code of a pipeline.",
    params=(
        PIPELINE,
        Option(name="--version", kind="integer", metavar="N", help="The current one by default."),
        FIELDS,
    ),
    output=Output(description="The code.", keys=("name", "version", "file", "sha256", "code")),
    errors=(*NAME_ERRORS, "version.not_found"),
    examples=("tau code orders", "tau code orders --version 3"),
)

COMMANDS = (DEPLOY, UNDEPLOY, LIST, SHOW, CODE)
