"""Keeps answers small: long texts and lists are cut, and each cut says how to get the whole."""

import json
from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel

from tau.schemas.base import Cut

CONCISE_BYTES = 6 * 1024
FULL_BYTES = 24 * 1024
DEFAULT_ROWS = 20
ENVELOPE_BYTES = 400
"""What an answer holds besides its rows: totals, cursor, next commands."""

RowT = TypeVar("RowT", bound=BaseModel)

_LEVELS = ((4000, 120, 80), (1500, 40, 40), (600, 20, 24), (240, 10, 16), (120, 5, 12), (60, 2, 8))
"""(characters of a text, items of a list, keys of an object), tried from the widest on."""


def fit(document: dict[str, Any], *, limit: int, get: str) -> tuple[dict[str, Any], list[Cut]]:
    """The document in at most `limit` bytes of JSON, and what was cut to get there.

    Texts keep a quarter of their head and their tail; lists and objects keep their first items,
    logs their last.
    """
    if _size(document) <= limit:
        return document, []
    for chars, items, keys in _LEVELS:
        trimmer = _Trimmer(chars, items, keys, get)
        smaller = trimmer.trim(document, "")
        smaller |= {"truncated": [cut.model_dump() for cut in trimmer.cuts[:12]]}
        if _size(smaller) <= limit:
            break
    del smaller["truncated"]
    return smaller, trimmer.cuts[:12]


AnswerT = TypeVar("AnswerT", bound=BaseModel)


def fitted(answer: AnswerT, *, full: bool = False, get: str) -> AnswerT:
    """An answer with a `truncated` field, within its budget."""
    document = answer.model_dump(mode="json", exclude_none=True)
    smaller, cuts = fit(document, limit=FULL_BYTES if full else CONCISE_BYTES, get=get)
    return type(answer).model_validate(smaller | {"truncated": cuts}) if cuts else answer


def fit_rows(
    rows: Sequence[RowT], *, limit: int, full: bool = False
) -> tuple[Sequence[RowT], bool]:
    """The first rows that fit the budget, and whether some were left for the next page.

    Whoever asks for more rows than a page has by default gets the larger budget.
    """
    budget = FULL_BYTES if full or limit > DEFAULT_ROWS else CONCISE_BYTES
    size = ENVELOPE_BYTES
    for count, row in enumerate(rows):
        size += len(row.model_dump_json(exclude_none=True).encode()) + 1
        if size > budget and count:
            return rows[:count], True
    return rows, False


def _size(document: Any) -> int:
    return len(json.dumps(document, separators=(",", ":"), default=str))


def shorten(text: str, limit: int) -> str:
    """A text of at most about `limit` characters: head, mark, tail."""
    if len(text) <= limit:
        return text
    head = limit // 4
    return f"{text[:head]} … [{len(text) - limit} characters cut] … {text[head - limit :]}"


class _Trimmer:
    def __init__(self, chars: int, items: int, keys: int, get: str) -> None:
        self.cuts: list[Cut] = []
        self._chars, self._items, self._keys, self._get = chars, items, keys, get

    def trim(self, value: Any, path: str) -> Any:
        if isinstance(value, str) and len(value) > self._chars:
            self._note(path, self._chars, len(value))
            return shorten(value, self._chars)
        if isinstance(value, list):
            return self._trim_list(value, path)
        if isinstance(value, dict):
            return self._trim_object(value, path)
        return value

    def _trim_list(self, value: list[Any], path: str) -> list[Any]:
        kept = value
        if len(value) > self._items and path not in ("next", "truncated"):
            self._note(path, self._items, len(value))
            kept = value[-self._items :] if path.startswith("logs") else value[: self._items]
        return [self.trim(item, f"{path}[]") for item in kept]

    def _trim_object(self, value: dict[str, Any], path: str) -> dict[str, Any]:
        kept = list(value.items())
        if path and len(kept) > self._keys:
            self._note(path, self._keys, len(kept))
            kept = kept[: self._keys]
        return {key: self.trim(item, f"{path}.{key}" if path else key) for key, item in kept}

    def _note(self, path: str, shown: int, total: int) -> None:
        if all(cut.path != path for cut in self.cuts):
            self.cuts.append(Cut(path=path, shown=shown, total=total, get=self._get))
