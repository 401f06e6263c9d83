"""`ctx.state`: a small JSON mapping that a pipeline keeps between its runs."""

import json
import math
from collections.abc import Callable, Iterator, MutableMapping
from typing import Any

from tau.pipeline.exceptions import StateInvalid
from tau.pipeline.protocol import MAX_STATE_BYTES, JsonObject
from tau.pipeline.text import safe_text

MAX_DEPTH = 32
MAX_INT_BITS = 4096


class State(MutableMapping[str, Any]):
    """The pipeline's kept mapping; asked for at its first use.

    Holds plain JSON only: a value of another type would come back changed in the next run, so it
    is refused where it is put in. What is in it when the run succeeds is kept, if it changed.
    """

    def __init__(self, load: Callable[[], JsonObject]) -> None:
        self._load = load
        self._data: JsonObject | None = None
        self._before = ""
        self._run_number: int | None = None

    @property
    def run_number(self) -> int | None:
        """The number of the run that wrote it; None where none has."""
        self._loaded()
        return self._run_number

    def __getitem__(self, key: str) -> Any:
        return self._loaded()[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise StateInvalid("$", f"names are text, not {type(key).__name__}")
        _require_json(value, f"$.{key}", 0)
        self._loaded()[key] = value

    def __delitem__(self, key: str) -> None:
        del self._loaded()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._loaded())

    def __len__(self) -> int:
        return len(self._loaded())

    def __repr__(self) -> str:
        return f"State({self._loaded()!r})"

    def changed(self) -> JsonObject | None:
        """The whole mapping if it differs from what was loaded. Raises StateInvalid."""
        if self._data is None:
            return None
        _require_json(self._data, "$", 0)
        now = _canonical(self._data)
        if now == self._before:
            return None
        if len(now) > MAX_STATE_BYTES:
            raise StateInvalid(
                "$",
                f"is too large: {len(now)} bytes of JSON, {MAX_STATE_BYTES} is the most; "
                "keep data in a table and only the place you have got to here",
            )
        clean: JsonObject = json.loads(now)
        return clean

    def _loaded(self) -> JsonObject:
        if self._data is None:
            answer = self._load()
            self._data = dict(answer.get("data") or {})
            self._run_number = answer.get("run_number")
            self._before = _canonical(self._data)
        return self._data


def _canonical(data: JsonObject) -> str:
    return json.dumps(_clean(data), sort_keys=True, separators=(",", ":"))


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, dict):
        return {safe_text(key): _clean(item) for key, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value


def _require_json(value: Any, path: str, depth: int) -> None:
    """Raise StateInvalid for what JSON would not give back as it is."""
    if depth > MAX_DEPTH:
        raise StateInvalid(path, f"is nested more than {MAX_DEPTH} levels deep")
    kind = type(value)
    if kind is dict:
        for key, item in value.items():
            if type(key) is not str:
                raise StateInvalid(path, f"names are text, not {type(key).__name__}")
            _require_json(item, f"{path}.{key}", depth + 1)
    elif kind is list:
        for index, item in enumerate(value):
            _require_json(item, f"{path}[{index}]", depth + 1)
    elif kind is int and value.bit_length() > MAX_INT_BITS:
        raise StateInvalid(path, "is a whole number of more than 1,200 digits")
    elif kind is float and not math.isfinite(value):
        raise StateInvalid(path, f"{value} is no JSON")
    elif value is not None and kind not in (str, int, float, bool):
        raise StateInvalid(path, f"a {kind.__name__} is no plain JSON; {_REMEDY.get(kind, _ANY)}")


_ANY = "keep text, numbers, lists and dicts"
_REMEDY: dict[type, str] = {tuple: "keep a list", set: "keep a sorted list"}
