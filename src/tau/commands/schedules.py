"""The commands on schedules: schedule, schedules."""

from tau.commands.options import CURSOR, DRY_RUN, FIELDS, LIMIT, PIPELINE, REASON
from tau.commands.pipelines import NAME_ERRORS
from tau.commands.spec import Argument, Command, Option, Output

CATCHUPS = ("latest", "all", "none")

SCHEDULE = Command(
    name="schedule",
    group="schedules",
    summary="Set, switch or clear when a pipeline runs by itself.",
    params=(
        PIPELINE,
        Argument(
            name="cron", metavar="CRON", required=False,
            help="Five fields in quotes, or @hourly, @daily, @weekly, @monthly, @yearly.",
        ),
        Option(
            name="--every", kind="duration", metavar="S",
            help="In place of CRON: every so many seconds, or 1h (at the full hour, UTC), 1d.",
        ),
        Option(
            name="--timezone", metavar="ZONE",
            help="Of CRON: an IANA zone such as Europe/Berlin (default: as it was, else UTC).",
        ),
        Option(
            name="--catchup", metavar="C", choices=CATCHUPS,
            help="Which of several missed ticks are run (default: as it was, else latest).",
        ),
        Option(
            name="--deadline", kind="duration", metavar="D",
            help="How late a tick may still be run (default: as it was, else 1h).",
        ),
        Option(name="--enable", kind="flag", help="Go on after --disable; nothing is made up for."),
        Option(name="--disable", kind="flag", help="Start nothing until --enable."),
        Option(
            name="--clear", kind="flag",
            help="Take back all that was set by command: what the file says counts again.",
        ),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The schedule as it is now, with its next five ticks in UTC and in its zone; "
        "none where there is none left.",
        keys=("pipeline", "changed", "dry_run", "schedule", "next"),
    ),
    errors=(*NAME_ERRORS, "pipeline.invalid_schedule"),
    examples=(
        "tau schedule orders '0 6 * * *' --timezone Europe/Berlin",
        "tau schedule orders --every 1h --catchup all --deadline 1d --dry-run",
        "tau schedule orders --disable --reason 'the source is down'",
        "tau schedule orders --clear",
    ),
    mutating=True,
)  # fmt: skip

SCHEDULES = Command(
    name="schedules",
    group="schedules",
    summary="List the schedules of all pipelines with their next five ticks, in UTC and local.",
    params=(LIMIT, CURSOR, FIELDS),
    output=Output(
        description="A page of schedules, by the pipelines' names; one that is disabled has no "
        "next ticks.",
        keys=("schedules", "total", "next_cursor"),
        rows="schedules",
        row_keys=(
            "pipeline", "schedule", "timezone", "enabled", "set_by", "next_fire_at", "next",
            "next_local",
        ),
    ),
    errors=("request.invalid_cursor",),
    examples=("tau schedules", "tau schedules --fields pipeline,schedule,next_fire_at -o table"),
)  # fmt: skip

COMMANDS = (SCHEDULE, SCHEDULES)
