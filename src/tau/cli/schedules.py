"""What `tau schedule` and `schedules` do."""

from shlex import join

from tau.client.client import Client
from tau.commands.output import Document
from tau.errors import MissingArgument, UsageError

_ONE_OR_THE_OTHER = (("CRON", "--every"), ("--enable", "--disable"))


def schedule(
    *, name: str, cron: str | None, every: float | None, timezone: str | None,
    catchup: str | None, deadline: float | None, enable: bool, disable: bool, clear: bool,
    dry_run: bool, reason: str | None, env: str | None,
) -> Document:  # fmt: skip
    values = {
        "CRON": cron, "--every": every, "--timezone": timezone, "--catchup": catchup,
        "--deadline": deadline, "--enable": enable or None, "--disable": disable or None,
    }  # fmt: skip
    _check(name, [word for word, value in values.items() if value is not None], clear=clear)
    with Client(env=env) as client:
        return client.schedule(
            name, cron, every=every, timezone=timezone, catchup=catchup, deadline=deadline,
            enabled=None if enable == disable else enable, clear=clear, dry_run=dry_run,
            reason=reason,
        )  # fmt: skip


def schedules(*, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.schedules(limit=limit, cursor=cursor)


def _check(name: str, given: list[str], *, clear: bool) -> None:
    """Raises MissingArgument where nothing was given, UsageError for words that contradict."""
    if clear and given:
        raise UsageError(f"--clear stands alone: leave {', '.join(given)} out.")
    if not clear and not given:
        show = join(["tau", "show", name])
        raise MissingArgument(
            "CRON, --every or another change is missing.",
            hint=f"`{show}` shows the schedule as it is.", next=[show],
        )  # fmt: skip
    for one, other in _ONE_OR_THE_OTHER:
        if one in given and other in given:
            raise UsageError(f"{one} and {other} are one or the other.")
