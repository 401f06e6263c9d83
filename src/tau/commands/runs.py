"""The commands on runs: run, retry, cancel, wait, runs."""

from tau.commands.options import CURSOR, DETACH, DRY_RUN, FIELDS, FULL, REASON, WAIT
from tau.commands.pipelines import IMPORT_ERRORS, NAME_ERRORS
from tau.commands.spec import Argument, Command, Option, Output

STATUSES = (
    "waiting", "queued", "starting", "running", "retrying",
    "success", "failed", "timeout", "cancelled", "skipped", "crashed",
)  # fmt: skip

REF = "a run's id, a unique prefix of it, NAME#7, NAME@last, NAME@last-failed, NAME@last-success"
RUN_ERRORS = ("run.not_found", "run.ambiguous", *NAME_ERRORS)
RUN_KEYS = (
    "run", "id", "pipeline", "number", "version", "status", "reason", "failure", "result", "steps",
    "checks", "logs", "trigger", "rerun_of", "attempt", "max_attempts", "params", "interval_start",
    "interval_end", "created_at", "started_at", "finished_at", "duration_ms", "queued_ms",
    "requested_by", "truncated", "next",
)  # fmt: skip
ROW_KEYS = (
    "run", "id", "status", "version", "trigger", "created_at", "duration_ms", "error", "reason",
)  # fmt: skip
PLAN_KEYS = ("dry_run", "timeout", "secrets", "would", "why")
OUTCOME = (4, "the run failed, timed out, crashed, was cancelled or skipped")
RUN_ARGUMENT = Argument(name="run", metavar="RUN", help=f"As {REF}.")

RUN = Command(
    name="run",
    group="runs",
    summary="Run a pipeline, wait for its end and print the run.",
    params=(
        Argument(name="name", metavar="NAME", help="A pipeline, or a .py file: deployed first."),
        Option(
            name="--params", kind="json", metavar="JSON", help="A JSON object, or @file with one."
        ),
        Option(
            name="--start-date",
            metavar="D",
            help="Of the data: an ISO date or time, in the pipeline's zone.",
        ),
        Option(name="--end-date", metavar="D", help="The same; a date alone includes its day."),
        WAIT,
        DETACH,
        Option(
            name="--timeout",
            kind="duration",
            metavar="T",
            help="How long an attempt may take, in place of the pipeline's own.",
        ),
        Option(
            name="--validate-only",
            kind="flag",
            help="Check the params, or the file; run and deploy nothing.",
        ),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The run with the summary of its trace; with --dry-run what would happen.",
        keys=(*RUN_KEYS, *PLAN_KEYS, "valid", "deployment"),
    ),
    errors=(
        *NAME_ERRORS,
        "params.invalid",
        "queue.full",
        "wait.timeout",
        "idempotency.key_reused",
        *IMPORT_ERRORS,
    ),
    exits=(OUTCOME,),
    examples=(
        "tau run orders",
        """tau run orders --params '{"region":"eu"}' --wait 10m""",
        "tau run orders --start-date 2026-11-01 --end-date 2026-11-30",
        "tau run orders.py --detach",
        "tau run orders --dry-run",
    ),
    mutating=True,
    idempotent=False,
)

RETRY = Command(
    name="retry",
    group="runs",
    summary="Run again what has ended: the current version, with that run's params.",
    params=(RUN_ARGUMENT, WAIT, DETACH, DRY_RUN, REASON),
    output=Output(description="The new run, as `tau run` prints it.", keys=(*RUN_KEYS, *PLAN_KEYS)),
    errors=(
        *RUN_ERRORS,
        "run.not_final",
        "params.invalid",
        "queue.full",
        "wait.timeout",
        "idempotency.key_reused",
    ),
    exits=(OUTCOME,),
    examples=(
        "tau retry orders@last-success",
        "tau retry orders#7 --detach --reason fixed",
    ),
    mutating=True,
    idempotent=False,
)

CANCEL = Command(
    name="cancel",
    group="runs",
    summary="End a run that is queued or running, with all its processes.",
    params=(RUN_ARGUMENT, DRY_RUN, REASON),
    output=Output(
        description="The run; its status is still running while its processes are being ended.",
        keys=(*RUN_KEYS, "dry_run"),
    ),
    errors=(*RUN_ERRORS, "run.already_final"),
    examples=("tau cancel orders@last", "tau cancel orders@last --dry-run"),
    mutating=True,
)

WAIT_FOR = Command(
    name="wait",
    group="runs",
    summary="Wait until runs have ended, whoever started them.",
    params=(
        Argument(name="runs", metavar="RUN", many=True, help=f"Each {REF}."),
        Option(
            name="--timeout",
            kind="duration",
            metavar="T",
            default=60,
            help="How long to wait: seconds, or 10m; then exit 11.",
        ),
        FIELDS,
    ),
    output=Output(
        description="The run; for several of them an object with all.",
        keys=(*RUN_KEYS, "runs"),
        rows="runs",
        row_keys=RUN_KEYS,
    ),
    errors=(*RUN_ERRORS, "wait.timeout"),
    exits=(OUTCOME, (12, "several runs: some succeeded, some did not")),
    examples=("tau wait orders#7", "tau wait orders@last users@last --timeout 10m"),
)

RUNS = Command(
    name="runs",
    group="runs",
    summary="List runs, the newest first.",
    params=(
        Argument(name="name", metavar="NAME", required=False, help="Only those of this pipeline."),
        Option(name="--last", kind="integer", metavar="N", default=10, help="Rows at most."),
        Option(
            name="--status",
            metavar="S",
            choices=STATUSES,
            many=True,
            help="Only those with this status; may be repeated.",
        ),
        CURSOR,
        FULL,
        FIELDS,
    ),
    output=Output(
        description="A page of runs.",
        keys=("runs", "total", "next_cursor", "truncated", "next"),
        rows="runs",
        row_keys=ROW_KEYS,
        full_keys=tuple(key for key in RUN_KEYS if key not in (*ROW_KEYS, "truncated", "next")),
    ),
    errors=(*NAME_ERRORS, "request.invalid_cursor"),
    examples=("tau runs orders --last 5", "tau runs --status failed --status crashed"),
)

COMMANDS = (RUN, RETRY, CANCEL, WAIT_FOR, RUNS)
