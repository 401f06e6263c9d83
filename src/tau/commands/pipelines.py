"""The commands on pipelines: deploy, list, show, code."""

from tau.commands.spec import Argument, Command, Option, Output

REASON = Option(name="--reason", metavar="TEXT", help="Why, for the audit trail.")
LIMIT = Option(name="--limit", kind="integer", metavar="N", default=20, help="Rows at most.")
CURSOR = Option(name="--cursor", metavar="C", help="The next_cursor of the page before.")
PIPELINE = Argument(name="name", metavar="NAME", help="A pipeline, or the stem of its file.")

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
    "dependency.missing_module",
)
NAME_ERRORS = ("pipeline.not_found", "pipeline.ambiguous")

DEPLOY = Command(
    name="deploy",
    group="pipelines",
    summary="Validate a pipeline file and store it as a new version (same content: no new one).",
    params=(
        Argument(name="file", metavar="FILE", help="The Python file, at most 1 MiB of UTF-8."),
        Option(name="--name", metavar="N", help="Another name, for a file with one pipeline."),
        Option(name="--dry-run", kind="flag", help="Show what would change; store nothing."),
        REASON,
    ),
    output=Output(
        description="What was deployed.",
        keys=("file", "sha256", "changed", "dry_run", "pipelines", "warnings", "next"),
    ),
    errors=(*IMPORT_ERRORS, "pipeline.name_override", "idempotency.key_reused"),
    examples=("tau deploy orders.py", "tau deploy orders.py --dry-run"),
    mutating=True,
)

LIST = Command(
    name="list",
    group="pipelines",
    summary="List the pipelines with their last run.",
    params=(Option(name="--tag", metavar="T", help="Only those with this tag."), LIMIT, CURSOR),
    output=Output(
        description="A page of pipelines.", keys=("pipelines", "total", "next_cursor", "next")
    ),
    errors=("request.invalid_cursor",),
    examples=("tau list", "tau list --tag warehouse -o table"),
)

SHOW = Command(
    name="show",
    group="pipelines",
    summary="Show one pipeline: its settings, version and last runs.",
    params=(PIPELINE,),
    output=Output(
        description="The pipeline.",
        keys=("name", "version", "description", "tags", "schedule", "last_run", "runs", "next"),
    ),
    errors=NAME_ERRORS,
    examples=("tau show orders",),
)

CODE = Command(
    name="code",
    group="pipelines",
    summary="Print the deployed code of a pipeline.",
    params=(
        PIPELINE,
        Option(name="--version", kind="integer", metavar="N", help="The current one by default."),
    ),
    output=Output(description="The code.", keys=("name", "version", "file", "sha256", "code")),
    errors=(*NAME_ERRORS, "version.not_found"),
    examples=("tau code orders", "tau code orders --version 3"),
)

COMMANDS = (DEPLOY, LIST, SHOW, CODE)
