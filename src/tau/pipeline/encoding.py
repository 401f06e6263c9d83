"""How Python values become JSON: results strictly, log fields and evidence leniently.

| value | JSON |
| --- | --- |
| None, bool, int, float, str | as they are; NaN and infinities null |
| datetime, date, time | ISO 8601 text; timedelta its seconds |
| Decimal, UUID, Path | text; bytes base64 |
| Enum | its value |
| list, tuple | list; set and frozenset a sorted list |
| mapping with str, int, float, bool or None keys | object |
| dataclass, pydantic model | object of its fields |
| numpy scalar | its `.item()` |

Strictly, anything else raises `NotSerializable` with the path to it; leniently, it becomes its
shortened repr. Both end on every input: depth, size and cycles are bounded.
Modules are looked up in `sys.modules`: a value of a module that was not imported can't exist.
"""

import json
import sys
from base64 import b64encode
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from enum import Enum
from itertools import islice
from typing import Any

from tau.pipeline.exceptions import NotSerializable
from tau.pipeline.protocol import MAX_RESULT_BYTES
from tau.pipeline.text import cut_middle, safe_text, short_repr

MAX_DEPTH = 64
MAX_INT_BITS = 4096
LENIENT_DEPTH = 8
LENIENT_ITEMS = 100
LENIENT_TEXT_CHARS = 2000
LENIENT_BUDGET = 16 * 1024
MORE = "…"

_REMEDIES = {
    "DataFrame": 'return df.to_dict("records"), or a count',
    "Series": "return series.to_list()",
    "ndarray": "return array.tolist()",
    "generator": "return list(…)",
    "async_generator": "return [row async for row in …]",
    "coroutine": "await it",
    "complex": "return a list of its real and imaginary part",
}
_ITERABLES = frozenset({"range", "map", "filter", "zip", "deque", "dict_keys", "dict_values"})


def encode(value: Any, *, error: type[NotSerializable] = NotSerializable) -> Any:
    """The value as plain JSON types. Raises `error`, naming the path and what to return instead."""
    encoded = _Encoder(error).encode(value, "$", 0)
    size = len(json.dumps(encoded, separators=(",", ":")))
    if size > MAX_RESULT_BYTES:
        raise error("$", _too_large(size))
    return encoded


def encode_lenient(value: Any, *, budget: int = LENIENT_BUDGET) -> Any:
    """The value as plain JSON types, whatever it is; cut to about `budget` characters."""
    return _LenientEncoder(budget).encode(value, "$", 0)


def _too_large(size: int) -> str:
    return (
        f"is too large: {size} bytes of JSON, {MAX_RESULT_BYTES} is the most; "
        "write the data to a table or file and return where it is"
    )


class _Encoder:
    """One walk over one value."""

    max_depth = MAX_DEPTH
    budget = MAX_RESULT_BYTES

    def __init__(self, error: type[NotSerializable]) -> None:
        self._error = error
        self._open: set[int] = set()

    def encode(self, value: Any, path: str, depth: int) -> Any:
        self._spend(1, path)
        scalar, found = self._scalar(value, path)
        if found:
            return scalar
        if id(value) in self._open:
            return self.reject(value, path, "refers to itself")
        if depth >= self.max_depth:
            return self.reject(value, path, f"is nested more than {self.max_depth} levels deep")
        self._open.add(id(value))
        try:
            return self._container(value, path, depth)
        finally:
            self._open.discard(id(value))

    def reject(self, value: Any, path: str, reason: str) -> Any:
        raise self._error(path, reason)

    def _spend(self, size: int, path: str) -> None:
        self.budget -= size
        if self.budget < 0:
            raise self._error("$", _too_large(MAX_RESULT_BYTES - self.budget))

    def _scalar(self, value: Any, path: str) -> tuple[Any, bool]:
        if value is None or value is True or value is False:
            return value, True
        if isinstance(value, Enum):
            return self.encode(value.value, path, 0), True
        if isinstance(value, str):
            return self.text(value, path), True
        if isinstance(value, int):
            return self._whole(value, path), True
        if isinstance(value, float):
            return _finite(value), True
        found = _foreign_scalar(value)
        if found is None:
            return None, False
        if isinstance(found[0], str):
            return self.text(found[0], path), True
        return found[0], True

    def text(self, value: str, path: str) -> str:
        self._spend(len(value), path)
        return safe_text(value)

    def _whole(self, value: int, path: str) -> Any:
        if value.bit_length() > MAX_INT_BITS:
            return self.reject(value, path, "is a whole number of more than 1,200 digits")
        return int(value)

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, list | tuple):
            return self._items(value, path, depth)
        if isinstance(value, set | frozenset):
            return sorted(self._items(value, path, depth), key=_sort_key)
        if isinstance(value, Mapping):
            return self._mapping(value.items(), path, depth)
        fields = _fields(value)
        if fields is not None:
            return self._mapping(fields, path, depth)
        return self.reject(value, path, _no_json(value))

    def _items(self, items: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [
            self.encode(item, f"{path}[{index}]", depth + 1) for index, item in enumerate(items)
        ]

    def _mapping(self, items: Iterable[tuple[Any, Any]], path: str, depth: int) -> dict[str, Any]:
        encoded: dict[str, Any] = {}
        for key, item in items:
            name = self._key(key, path)
            if name in encoded:
                self.reject(item, path, f"has two keys that are both {name!r} in JSON")
            place = f".{name}" if name.isidentifier() else f"[{json.dumps(name)}]"
            encoded[name] = self.encode(item, path + place, depth + 1)
        return encoded

    def _key(self, key: Any, path: str) -> str:
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return self.text(key, path)
        if key is None or isinstance(key, bool | int | float):
            return json.dumps(_finite(key) if isinstance(key, float) else key)
        found = _foreign_scalar(key) if _is_numpy(key) else None
        if found is not None:
            return self._key(found[0], path)
        name = type(key).__name__
        return str(self.reject(key, path, f"has a key of type {name}; use text: str(key)"))


class _LenientEncoder(_Encoder):
    """The same walk, which shortens instead of refusing."""

    max_depth = LENIENT_DEPTH

    def __init__(self, budget: int) -> None:
        super().__init__(NotSerializable)
        self.budget = budget

    def reject(self, value: Any, path: str, reason: str) -> Any:
        if reason.startswith("refers") or reason.startswith("is nested"):
            return MORE
        return short_repr(value)

    def encode(self, value: Any, path: str, depth: int) -> Any:
        if self.budget <= 0:
            return MORE
        try:
            return super().encode(value, path, depth)
        except Exception:  # a user's property or iterator may raise anything
            return short_repr(value)

    def _spend(self, size: int, path: str) -> None:
        self.budget -= size

    def text(self, value: str, path: str) -> str:
        shown = cut_middle(value, min(LENIENT_TEXT_CHARS, max(self.budget, 80)))
        return super().text(shown, path)

    def _items(self, items: Iterable[Any], path: str, depth: int) -> list[Any]:
        shown = super()._items(islice(items, LENIENT_ITEMS + 1), path, depth)
        return shown if len(shown) <= LENIENT_ITEMS else [*shown[:-1], MORE]

    def _mapping(self, items: Iterable[tuple[Any, Any]], path: str, depth: int) -> dict[str, Any]:
        return super()._mapping(islice(items, LENIENT_ITEMS), path, depth)


def _finite(value: float) -> float | None:
    number = float(value)
    return number if number - number == 0 else None


def _foreign_scalar(value: Any) -> tuple[Any] | None:
    """The JSON scalar of a library's value, in a tuple; None where it is no such value."""
    if isinstance(value, datetime | date | time):
        return (value.isoformat() if value == value else None,)  # NaT is unequal
    if isinstance(value, timedelta):
        return (_finite(value.total_seconds()),)
    if isinstance(value, bytes | bytearray):
        return (b64encode(value).decode("ascii"),)
    for module, name in (("decimal", "Decimal"), ("uuid", "UUID"), ("pathlib", "PurePath")):
        kind = getattr(sys.modules.get(module), name, None)
        if kind is not None and isinstance(value, kind):
            return (str(value),)
    if _is_numpy(value) and getattr(value, "shape", None) == ():
        item = value.item()
        if isinstance(item, float):
            return (_finite(item),)
        return (item,) if isinstance(item, bool | int | str) else _foreign_scalar(item)
    return None


def _is_numpy(value: Any) -> bool:
    return str(getattr(type(value), "__module__", "")).partition(".")[0] == "numpy"


def _fields(value: Any) -> Iterable[tuple[Any, Any]] | None:
    kind = type(value)
    if hasattr(kind, "__dataclass_fields__"):
        return [(name, getattr(value, name)) for name in _dataclass_fields(kind)]
    if callable(getattr(kind, "model_dump", None)):
        dumped = value.model_dump()
        return dumped.items() if isinstance(dumped, Mapping) else None
    return None


def _dataclass_fields(kind: Any) -> list[str]:
    import dataclasses

    return [field.name for field in dataclasses.fields(kind)]


def _sort_key(encoded: Any) -> tuple[str, Any]:
    if isinstance(encoded, bool | int | float):
        return "", encoded
    return type(encoded).__name__, json.dumps(encoded, sort_keys=True)


def _no_json(value: Any) -> str:
    name = type(value).__name__
    if name in _ITERABLES or name.endswith("iterator"):
        remedy = "return list(…)"
    else:
        remedy = _REMEDIES.get(name, "return a dict of what matters about it")
    return f"a {name} is no JSON value; {remedy}"
