"""What a pipeline file declares, read from its source without importing it.

For a file whose dependencies are not installed (yet): names and lines alone. A name that is
computed, or a decorator that hides behind another, is not seen; an inspection sees all.
"""

import ast
from pathlib import Path

from tau.pipeline.protocol import JsonObject

MAX_PIPELINES = 100


def outline(path: Path) -> list[JsonObject]:
    """`{name, line}` of each function under `@pipeline`, in their order; the text is valid."""
    tree = ast.parse(path.read_bytes())
    found = (_declared(node) for node in tree.body)
    return [declared for declared in found if declared is not None][:MAX_PIPELINES]


def _declared(node: ast.stmt) -> JsonObject | None:
    if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        return None
    for decorator in node.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if _last_name(called) == "pipeline":
            return {"name": _given_name(decorator) or node.name, "line": decorator.lineno}
    return None


def _last_name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else None


def _given_name(decorator: ast.expr) -> str | None:
    keywords = decorator.keywords if isinstance(decorator, ast.Call) else []
    for keyword in keywords:
        if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
            return keyword.value.value if isinstance(keyword.value.value, str) else None
    return None
