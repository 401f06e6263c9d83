"""The arguments and options that several commands share."""

from tau.commands.spec import Argument, Option

PIPELINE = Argument(name="name", metavar="NAME", help="A pipeline, or the stem of its file.")

LIMIT = Option(name="--limit", kind="integer", metavar="N", default=20, help="Rows at most.")
CURSOR = Option(name="--cursor", metavar="C", help="The next_cursor of the page before.")
FIELDS = Option(
    name="--fields",
    kind="names",
    metavar="A,B",
    help="Only these fields of the document, or of the rows of a list; one that only --full has "
    "is found as well.",
)
FULL = Option(name="--full", kind="flag", help="Everything, up to 24 KB.")

REASON = Option(name="--reason", metavar="TEXT", help="Why, for the audit trail.")
DRY_RUN = Option(name="--dry-run", kind="flag", help="Show what would change; change nothing.")
YES = Option(
    name="--yes", kind="flag", help="Do it; without this it is shown, and the command exits 6."
)
WAIT = Option(
    name="--wait",
    kind="duration",
    metavar="T",
    help="How long to wait: seconds, or 10m (default 60); then exit 11, the run goes on.",
)
DETACH = Option(name="--detach", kind="flag", help="Print the queued run at once.")
