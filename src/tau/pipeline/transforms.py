"""`ctx.transform`: a function applied to data as a step, off the loop where it is a plain one."""

from collections.abc import Mapping
from typing import Any

from tau.pipeline.invoke import call
from tau.pipeline.steps import Steps


async def transform(steps: Steps, data: Any, fn: Any, *, name: str | None = None) -> Any:
    """What `fn(data)` gives, with the rows in and out counted where they have a length."""
    if not callable(fn):
        raise TypeError(f"ctx.transform takes a function, not {type(fn).__name__}")
    with steps.open(name or _name(fn), kind="transform") as step:
        step.rows_in = _rows(data)
        result = await call(fn, data)
        step.rows_out = _rows(result)
        return result


def _name(fn: Any) -> str:
    inner = getattr(fn, "func", fn)  # functools.partial
    name = getattr(inner, "__name__", type(inner).__name__)
    return "transform" if name == "<lambda>" else str(name)


def _rows(data: Any) -> int | None:
    """How many rows it has; the length of text or of one mapping is no such number."""
    if isinstance(data, str | bytes | bytearray | Mapping):
        return None
    try:
        return len(data)
    except Exception:  # generators have none, and a user's __len__ may raise anything
        return None
