"""The commands on runs: run, wait, runs, inspect, logs, errors."""

from tau.commands.pipelines import CURSOR, IMPORT_ERRORS, LIMIT, NAME_ERRORS, REASON
from tau.commands.spec import Argument, Command, Option, Output

STATUSES = (
    "waiting", "queued", "starting", "running", "retrying",
    "success", "failed", "timeout", "cancelled", "skipped", "crashed",
)  # fmt: skip
LEVELS = ("debug", "info", "warning", "error")

REF = "a run's id, a unique prefix of it, NAME#7, NAME@last, NAME@last-failed, NAME@last-success"
RUN_ERRORS = ("run.not_found", "run.ambiguous", *NAME_ERRORS)
RUN_KEYS = (
    "run", "id", "pipeline", "number", "version", "status", "reason", "created_at", "started_at",
    "finished_at", "duration_ms", "attempt", "max_attempts", "params", "result", "failure",
    "steps", "checks", "logs", "requested_by", "truncated", "next",
)  # fmt: skip
OUTCOME = (4, "the run failed, timed out, crashed, was cancelled or skipped")
TARGET = Argument(
    name="target", metavar="NAME|RUN", required=False, help=f"A pipeline (its last run), or {REF}."
)
RUN_OPTION = Option(name="--run", metavar="ID", help="This run; a bare number is NAME's run.")

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
            name="--wait",
            kind="duration",
            metavar="T",
            help="How long to wait: seconds, or 10m (default 60); then exit 11, the run goes on.",
        ),
        Option(name="--detach", kind="flag", help="Print the queued run at once."),
        REASON,
    ),
    output=Output(description="The run with the summary of its trace.", keys=RUN_KEYS),
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
        "tau run orders.py --detach",
    ),
    mutating=True,
    idempotent=False,
)

WAIT = Command(
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
    ),
    output=Output(
        description="The run; for several of them an object with all.", keys=(*RUN_KEYS, "runs")
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
    ),
    output=Output(description="A page of runs.", keys=("runs", "total", "next_cursor")),
    errors=(*NAME_ERRORS, "request.invalid_cursor"),
    examples=("tau runs orders --last 5", "tau runs --status failed --status crashed"),
)

INSPECT = Command(
    name="inspect",
    group="runs",
    summary="Show the trace of a run: what failed and where, steps, checks, the last log lines.",
    params=(
        TARGET,
        Option(name="--last-run", kind="flag", help="The last run of NAME; so without it too."),
        RUN_OPTION,
        Option(name="--full", kind="flag", help="All that is kept, up to 24 KB."),
    ),
    output=Output(
        description="The trace, the most useful first.",
        keys=("run", "status", "version", "failure", "steps", "checks", "logs_tail", "next"),
    ),
    errors=RUN_ERRORS,
    examples=("tau inspect orders --last-run", "tau inspect orders#7 --full"),
)

LOGS = Command(
    name="logs",
    group="runs",
    summary="Print the last log lines of a run, or follow it to its end.",
    params=(
        TARGET,
        RUN_OPTION,
        Option(name="--follow", kind="flag", help="One JSON line an event; the last is type end."),
        Option(name="--level", metavar="L", choices=LEVELS, help="This level and those above."),
        Option(name="--grep", metavar="TEXT", help="Lines with this text, in any case."),
        Option(name="--limit", kind="integer", metavar="N", help="Lines at most (default 100)."),
        Option(name="--cursor", metavar="C", help="The next_cursor, for older lines."),
    ),
    output=Output(
        description="Log lines in the order of time; with --follow lines of type log, step, "
        "status, check, … and at last end with the final status, or error.",
        keys=("run", "status", "logs", "total", "next_cursor"),
    ),
    errors=(*RUN_ERRORS, "request.invalid_cursor"),
    examples=("tau logs orders --level warning", "tau logs orders#7 --follow"),
)

ERRORS = Command(
    name="errors",
    group="runs",
    summary="List what failed lately, alike failures together.",
    params=(
        LIMIT,
        Option(name="--since", metavar="T", help="Since when: 24h, 7d or a time (RFC 3339)."),
    ),
    output=Output(description="Failures, the newest first.", keys=("errors", "total")),
    examples=("tau errors", "tau errors --since 24h"),
)

COMMANDS = (RUN, WAIT, RUNS, INSPECT, LOGS, ERRORS)
