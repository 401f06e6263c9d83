"""The commands about Tau itself: status, version, schema."""

from tau.commands.options import FIELDS
from tau.commands.spec import Argument, Command, Output

STATUS = Command(
    name="status",
    group="system",
    summary="Show the daemon, its queue, store and disk, the next ticks, and what is wrong.",
    params=(FIELDS,),
    output=Output(
        description="The state of the daemon, and the version of this client.",
        keys=(
            "status", "version", "pid", "started_at", "uptime_s", "home", "url", "store",
            "executor", "runs", "queue", "schedules", "disk", "versions", "pipelines", "wrong",
            "next", "client",
        ),
    ),
    examples=("tau status",),
)  # fmt: skip

VERSION = Command(
    name="version",
    group="system",
    summary="Print the version of this client, and of the daemon if one answers.",
    params=(FIELDS,),
    output=Output(description="The versions.", keys=("version", "daemon")),
    examples=("tau version",),
)

SCHEMA = Command(
    name="schema",
    group="system",
    summary="Print every command with its options, or one with its output, errors and examples.",
    params=(
        Argument(
            name="command",
            metavar="CMD",
            required=False,
            many=True,
            help="A command; those of taud as `taud start`.",
        ),
        FIELDS,
    ),
    output=Output(
        description="The commands, or one command.",
        keys=(
            "program", "version", "options", "commands", "more", "exit_codes", "retry", "notes",
            "command", "summary", "usage", "mutating", "idempotent", "arguments", "output",
            "errors", "examples",
        ),
    ),
    errors=("usage.unknown_command",),
    examples=("tau schema", "tau schema run", "tau schema keys create --fields usage,errors"),
    offline=True,
)  # fmt: skip

COMMANDS = (STATUS, VERSION, SCHEMA)
