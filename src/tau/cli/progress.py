"""What is shown of a run while it is waited for: on stderr, and only where that is a terminal."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

Progress = Callable[[Mapping[str, Any]], None] | None


@contextmanager
def progress(waited_for: str) -> Iterator[Progress]:
    """A function to call with the run each time it has been looked at; None where nobody looks."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.text import Text

    with Console(stderr=True).status(Text(waited_for)) as line:
        yield lambda run: line.update(Text(describe(run)))


def describe(run: Mapping[str, Any]) -> str:
    """`orders#7 running · extract 1.2 s, 500 rows · transform running`.

    Of a file whose environment is being built: `flights.py · environment: installing 14 packages`.
    """
    if "building" in run:
        shown = f"{run.get('file', '')} · environment: {run['building']}"
    else:
        steps = [_step(step) for step in run.get("steps", ())]
        shown = " · ".join([f"{run.get('run', '')} {run.get('status', '')}", *steps])
    return "".join(character if character.isprintable() else " " for character in shown)


def _step(step: Mapping[str, Any]) -> str:
    name = str(step.get("name", ""))
    if "ms" not in step:
        return f"{name} {step.get('status', '')}"
    rows = f", {step['rows_out']} rows" if "rows_out" in step else ""
    return f"{name} {step['ms'] / 1000:.1f} s{rows}"
