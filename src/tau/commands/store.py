"""The commands on the daemon's store and settings: db, config."""

from tau.commands.options import DRY_RUN, FIELDS, REASON, YES
from tau.commands.spec import Argument, Command, Option, Output

STATS = Command(
    name="db stats",
    group="store",
    summary="Show what the store holds and takes: tables, rows, bytes.",
    params=(FIELDS,),
    output=Output(
        description="The store; rows are counters or estimates.",
        keys=(
            "kind", "revision", "bytes", "wal_bytes", "estimated", "oldest_run", "tables", "next",
        ),
        rows="tables",
        row_keys=("name", "rows", "bytes"),
    ),
    examples=("tau db stats", "tau db stats -o table"),
)  # fmt: skip

CLEANUP = Command(
    name="db cleanup",
    group="store",
    summary="Remove old runs; of each pipeline the newest and the last success stay.",
    params=(
        Option(
            name="--days",
            kind="integer",
            metavar="N",
            help="What ended longer ago than that (default: the retention's days).",
        ),
        YES,
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="How many runs were removed, or would be.",
        keys=("days", "before", "removed", "oldest", "done", "dry_run", "next"),
    ),
    errors=("confirmation.required",),
    examples=("tau db cleanup --days 30 --dry-run", "tau db cleanup --days 30 --yes"),
    mutating=True,
)

VACUUM = Command(
    name="db vacuum",
    group="store",
    summary="Give the room of what was removed back to the disk; writes wait for it on SQLite.",
    params=(DRY_RUN, REASON),
    output=Output(
        description="The store's size before and after.",
        keys=("before_bytes", "after_bytes", "freed_bytes", "seconds", "dry_run", "next"),
    ),
    errors=("store.no_room",),
    examples=("tau db vacuum --dry-run", "tau db vacuum"),
    mutating=True,
)

BACKUP = Command(
    name="db backup",
    group="store",
    summary="Copy the store to a file on the daemon's machine, while everything goes on.",
    params=(
        Argument(name="file", metavar="FILE", help="A new file; absolute for a remote daemon."),
        Option(name="--force", kind="flag", help="Replace it where it is there already."),
        DRY_RUN,
        REASON,
    ),
    output=Output(
        description="The backup, and the commands that restore it.",
        keys=(
            "file", "host", "kind", "format", "revision", "bytes", "seconds", "restore", "dry_run",
            "next",
        ),
    ),
    errors=("backup.exists", "backup.failed", "store.no_room", "dependency.missing_program"),
    examples=("tau db backup tau-backup.db --force", "tau db backup tau-new.db --dry-run"),
    mutating=True,
    idempotent=False,
)  # fmt: skip

CONFIG_SHOW = Command(
    name="config show",
    group="store",
    summary="Show the daemon's settings and where each came from; secrets are masked.",
    params=(FIELDS,),
    output=Output(
        description="The settings; `from` is default, FILE:LINE, [env.NAME]:LINE, a variable or "
        "command line.",
        keys=("file", "environment", "layers", "environments", "settings", "next"),
        rows="settings",
        row_keys=("name", "value", "from"),
    ),
    examples=("tau config show", "tau config show --fields name,from"),
)

CONFIG_VALIDATE = Command(
    name="config validate",
    group="store",
    summary="Say all that is wrong with a tau.toml, before the daemon is started with it.",
    params=(
        Argument(
            name="file",
            metavar="FILE",
            required=False,
            help="A file here; by default the daemon's own, as it is now.",
        ),
        Option(name="--overlay", metavar="NAME", help="As if TAU_ENV of the daemon was that."),
        FIELDS,
    ),
    output=Output(
        description="Whether a restart with it would do, and what is wrong where.",
        keys=("valid", "file", "environment", "environments", "errors", "next"),
    ),
    errors=("file.not_found",),
    examples=("tau config validate", "tau config validate tau.toml --overlay prod"),
    exits=((2, "something is wrong with the file"),),
)

COMMANDS = (STATS, CLEANUP, VACUUM, BACKUP, CONFIG_SHOW, CONFIG_VALIDATE)
