"""What a pipeline file names that it will ask for, read from its source without running it."""

import ast
from pathlib import Path

MAX_NAMES = 100


def secret_names(path: Path) -> list[str]:
    """The names given as literals to `….secret("NAME")`, without those that have a default.

    One that is computed is not seen; the run itself says then what is missing.
    """
    tree = ast.parse(path.read_bytes())
    found = {_secret_of(node) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    return sorted(name for name in found if name)[:MAX_NAMES]


def _secret_of(call: ast.Call) -> str | None:
    is_secret = isinstance(call.func, ast.Attribute) and call.func.attr == "secret"
    if not is_secret or len(call.args) != 1 or call.keywords:
        return None
    name = call.args[0]
    return name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else None
