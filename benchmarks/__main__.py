"""`uv run python -m benchmarks [NAME…] [--json FILE]`: measures and prints one table."""

import argparse
import importlib
import json
import os
import sys
import time
from pathlib import Path

from benchmarks import machine
from benchmarks.figures import Figure
from benchmarks.table import render

NAMES = (
    "trigger",
    "throughput",
    "list_command",
    "start",
    "idle",
    "list_api",
    "logs",
    "hostile",
    "install",
)
LONG = ("scale",)
"""Measured only where it is named."""


def main() -> int:
    """0 where every goal is met, 1 where one is not."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES + LONG)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - {*NAMES, *LONG})
    if unknown:
        parser.error(f"no benchmark is named {', '.join(unknown)}")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    facts = machine.describe()
    if not machine.is_quiet():
        print(f"The machine is not quiet: its load is {facts['load']}.", file=sys.stderr)
    figures = [figure for name in options.names or NAMES for figure in _measure(name)]
    print("  ".join(f"{name} {value}" for name, value in facts.items()))
    print(render(figures))
    if options.json is not None:
        document = {"machine": facts, "figures": [figure.to_dict() for figure in figures]}
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return 1 if any(figure.is_met is False for figure in figures) else 0


def _measure(name: str) -> list[Figure]:
    begin = time.perf_counter()
    figures: list[Figure] = importlib.import_module(f"benchmarks.{name}").measure()
    print(f"{name}: {time.perf_counter() - begin:.0f} s", file=sys.stderr)
    return figures


if __name__ == "__main__":
    sys.exit(main())
