"""Which lines of a child's channel are messages: their shape, within what any store can hold."""

import json
import math
from collections.abc import Callable
from typing import Any

from tau.pipeline.protocol import MAX_STATE_BYTES, JsonObject
from tau.pipeline.text import safe_text
from tau.pipeline.types import Level

_MAX_DEPTH = 100
_MAX_WHOLE = 2**53
_MAX_TIME = 1e11
_MAX_REQUEST_BYTES = MAX_STATE_BYTES
_UNSTORABLE_ESCAPES = (b"\\u0000", b"\\ud", b"\\uD")
_LEVELS = frozenset(Level)


def parse(line: bytes) -> JsonObject | None:
    """The message of a line, else None. Never raises."""
    message = _decode(line)
    if message is None:
        return None
    kind = message.get("k")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None or not all(name in message for name in required):
        return None
    if kind == "request" and len(line) > _MAX_REQUEST_BYTES:
        return None
    checked = (_CHECKS[name](value) for name, value in message.items() if name in _CHECKS)
    return message if all(checked) else None


def _decode(line: bytes) -> JsonObject | None:
    try:
        message: Any = _DECODER.decode(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or not _is_shallow(message):
        return None
    if not any(escape in line for escape in _UNSTORABLE_ESCAPES):
        return message
    return {safe_text(name): _storable(value) for name, value in message.items()}


def _is_shallow(value: Any) -> bool:
    """Whether everything that walks the value later can do so by recursion."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return True
    return False


def _storable(value: Any) -> Any:
    """The value with NUL and lone surrogates in its texts shown as escapes."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {safe_text(key): _storable(item) for key, item in value.items()}
    return value


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no JSON number")
    return number


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and abs(value) < _MAX_WHOLE


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < _MAX_WHOLE


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "ts": lambda value: _is_number(value) and 0 <= value < _MAX_TIME,
    "level": lambda value: _is_text(value) and value in _LEVELS,
    "passed": lambda value: isinstance(value, bool),
    "id": lambda value: _is_whole(value) or _is_text(value),
    "ms": _is_number,
    **dict.fromkeys(("step", "parent", "line", "rows_in", "rows_out", "pid", "v"), _is_whole),
    **dict.fromkeys(("message", "source", "logger", "name", "kind", "status"), _is_text),
    **dict.fromkeys(("severity", "python", "op", "reason"), _is_text),
    **dict.fromkeys(("fields", "metrics", "failure", "args", "state"), _is_object),
}

_REQUIRED = {
    "hello": ("ts",),
    "log": ("ts", "level", "message"),
    "step_start": ("ts", "step", "name"),
    "step_end": ("ts", "step", "status"),
    "check": ("ts", "name", "passed", "severity"),
    "result": ("ts", "value"),
    "failure": ("ts", "failure"),
    "request": ("id", "op", "args"),
}
