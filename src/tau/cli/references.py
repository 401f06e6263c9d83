"""How `NAME|RUN` and `--run` of inspect and logs name one run."""

import re

from tau.client.client import Client
from tau.errors import MissingArgument, RunNotFound, UsageError

_ID = re.compile(r"[0-7][0-9a-hjkmnp-tv-z]{0,25}", re.IGNORECASE)
"""An id or its beginning: a ULID. No pipeline's name begins with a digit."""


def run_reference(target: str | None, *, run: str | None, last_run: bool = False) -> str:
    """The reference that the daemon takes. Raises MissingArgument or UsageError."""
    if target is None and run is None:
        raise MissingArgument("NAME, a run or --run is missing.")
    if run is not None and last_run:
        raise UsageError("--last-run and --run are one or the other.")
    if target is None:
        if last_run or run is None:
            raise MissingArgument("--last-run needs NAME.")
        return run
    if _is_reference(target):
        if run is not None or last_run:
            raise UsageError(f"{target} is a run already: leave --run and --last-run out.")
        return target
    if run is None:
        return f"{target}@last"
    return f"{target}#{run}" if run.isdecimal() else run


def check_owner(client: Client, target: str | None, *, run: str | None) -> None:
    """Where both a pipeline and a run's id were given: that they belong together."""
    if target is None or run is None or run.isdecimal():
        return
    owner = str(client.get_run(run)["pipeline"])
    if owner != target and owner != client.show(target)["name"]:
        raise RunNotFound(
            f"Run {run} is one of {owner}, not of {target}.", next=[f"tau inspect --run {run}"]
        )


def _is_reference(text: str) -> bool:
    return "#" in text or "@" in text or bool(_ID.fullmatch(text))
