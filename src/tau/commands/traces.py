"""The commands that tell what happened: inspect, logs, errors."""

from tau.commands.options import FIELDS, FULL, LIMIT
from tau.commands.runs import REF, RUN_ERRORS
from tau.commands.spec import Argument, Command, Option, Output

LEVELS = ("debug", "info", "warning", "error")

TARGET = Argument(
    name="target", metavar="NAME|RUN", required=False, help=f"A pipeline (its last run), or {REF}."
)
RUN_OPTION = Option(name="--run", metavar="ID", help="This run; a bare number is NAME's run.")

INSPECT = Command(
    name="inspect",
    group="runs",
    summary="Show the trace of a run: what failed and where, steps, checks, the last log lines.",
    params=(
        TARGET,
        Option(name="--last-run", kind="flag", help="The last run of NAME; so without it too."),
        RUN_OPTION,
        FULL,
        FIELDS,
    ),
    output=Output(
        description="The trace, the most useful first.",
        keys=(
            "run", "id", "status", "reason", "version", "trigger", "attempt", "started_at",
            "duration_ms", "failure", "steps", "checks", "result", "logs", "logs_tail", "params",
            "secrets", "attempts", "since_last_success", "usage", "python", "untrusted",
            "truncated", "next",
        ),
        full_keys=(
            "queued_ms", "created_at", "finished_at", "interval_start", "interval_end",
            "requested_by",
        ),
    ),
    errors=RUN_ERRORS,
    examples=(
        "tau inspect orders --last-run",
        "tau inspect orders@last-failed --fields failure,logs_tail",
        "tau inspect orders#7 --full",
    ),
)  # fmt: skip

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
        FIELDS,
    ),
    output=Output(
        description="Log lines in the order of time; with --follow lines of type log, step, "
        "status, check, … and at last end with the final status, or error.",
        keys=("run", "status", "logs", "total", "next_cursor", "truncated", "next"),
        rows="logs",
        row_keys=(
            "seq", "attempt", "at", "level", "message", "source", "step", "logger", "fields",
        ),
    ),
    errors=(*RUN_ERRORS, "request.invalid_cursor"),
    examples=("tau logs orders --level warning", "tau logs orders#7 --follow"),
)  # fmt: skip

ERRORS = Command(
    name="errors",
    group="runs",
    summary="List what failed lately, alike failures together.",
    params=(
        LIMIT,
        Option(name="--since", metavar="T", help="Since when: 24h, 7d or a time (RFC 3339)."),
        FULL,
        FIELDS,
    ),
    output=Output(
        description="Failures, the newest first.",
        keys=("errors", "total", "truncated", "next"),
        rows="errors",
        row_keys=(
            "run", "id", "status", "type", "message", "where", "step", "finished_at",
            "fingerprint", "count",
        ),
    ),
    examples=("tau errors", "tau errors --since 24h"),
)  # fmt: skip

COMMANDS = (INSPECT, LOGS, ERRORS)
