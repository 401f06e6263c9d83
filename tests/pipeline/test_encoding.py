"""The JSON encoding: the documented types, what is refused and where, and that it always ends."""

import enum
import json
import math
import uuid
from collections import OrderedDict, deque, namedtuple
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from tau.pipeline.encoding import encode, encode_lenient
from tau.pipeline.exceptions import NotSerializable, ResultNotSerializable
from tau.pipeline.text import cut_middle, safe_text


class Colour(enum.Enum):
    RED = "red"


class Size(enum.IntEnum):
    BIG = 3


@dataclass
class Row:
    id: int
    when: datetime


class Model(BaseModel):
    name: str
    day: date


class Scalar:
    """What numpy's scalars look like, without numpy."""

    shape = ()

    def __init__(self, value: Any) -> None:
        self._value = value

    def item(self) -> Any:
        return self._value


Scalar.__module__ = "numpy"
Point = namedtuple("Point", "x y")  # noqa: PYI024
WHEN = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (None, None),
        (True, True),
        (3, 3),
        (1.5, 1.5),
        ("é", "é"),
        (math.nan, None),
        (math.inf, None),
        (WHEN, "2026-01-02T03:04:00+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (time(3, 4), "03:04:00"),
        (timedelta(minutes=1), 60.0),
        (Decimal("1.10"), "1.10"),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (Path("/a/b"), "/a/b"),
        (b"\x00\xff", "AP8="),
        (bytearray(b"a"), "YQ=="),
        (Colour.RED, "red"),
        (Size.BIG, 3),
        ((1, 2), [1, 2]),
        (Point(1, 2), [1, 2]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({1, "a", None}, [1, None, "a"]),
        ({"a": {"b": [1]}}, {"a": {"b": [1]}}),
        (OrderedDict(a=1), {"a": 1}),
        ({1: "x", 2.5: "y", True + 1: "z", None: 0}, {"1": "x", "2.5": "y", "2": "z", "null": 0}),
        ({Colour.RED: 1}, {"red": 1}),
        (Row(1, WHEN), {"id": 1, "when": "2026-01-02T03:04:00+00:00"}),
        (Model(name="a", day=date(2026, 1, 2)), {"name": "a", "day": "2026-01-02"}),
        (Scalar(3), 3),
        (Scalar(math.nan), None),
        ([Scalar(1.5)], [1.5]),
        ("a\0b\ud800c", "a\\x00b\\ud800c"),
    ],
)
def test_documented_types(value: Any, encoded: Any) -> None:
    result = encode(value)
    assert result == encoded
    assert json.loads(json.dumps(result, allow_nan=False)) == encoded


class DataFrame: ...


class EndlessMapping(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return 1

    def __len__(self) -> int:
        return 1

    def __iter__(self) -> Iterator[str]:
        n = 0
        while True:
            n += 1
            yield f"k{n}"


def cycle() -> Any:
    rows: list[Any] = [1]
    rows.append({"again": rows})
    return rows


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "path", "reason"),
    [
        ({"rows": [1, {"when": object()}]}, "$.rows[1].when", "a object is no JSON"),
        ({"a b": DataFrame()}, '$["a b"]', 'df.to_dict("records")'),
        ((n for n in range(3)), "$", "return list(…)"),
        (range(3), "$", "return list(…)"),
        (deque([1]), "$", "return list(…)"),
        (map(str, [1]), "$", "return list(…)"),
        (iter([1]), "$", "return list(…)"),
        (3j, "$", "a complex"),
        (cycle(), "$[1].again", "refers to itself"),
        (deep(70), "$" + "[0]" * 64, "64 levels"),
        (deep(5000), "$" + "[0]" * 64, "64 levels"),
        ({(1, 2): 3}, "$", "key of type tuple"),
        ({1: "a", "1": "b"}, "$", "both '1'"),
        ("x" * 600_000, "$", "too large"),
        (["x" * 1000] * 600, "$", "too large"),
        (["é" * 1000] * 100, "$", "too large"),
        (EndlessMapping(), "$", "too large"),
        (list(range(10**6)), "$", "too large"),
        (10**1250, "$", "1,200 digits"),
        (Row, "$", "a type is no JSON"),
    ],
)
def test_refusals_name_the_place(value: Any, path: str, reason: str) -> None:
    with pytest.raises(ResultNotSerializable) as raised:
        encode(value, error=ResultNotSerializable)
    assert raised.value.path == path
    assert reason in raised.value.reason
    if reason != "too large":
        shown = encode_lenient(value)
        assert len(json.dumps(shown)) < 40_000


def test_the_same_value_twice_is_no_cycle() -> None:
    row = {"a": 1}
    assert encode([row, row]) == [row, row]


class Hostile:
    def __repr__(self) -> str:
        raise RuntimeError("no")


class HostileModel:
    def model_dump(self) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "value",
    [
        Hostile(),
        HostileModel(),
        {"x": Hostile()},
        EndlessMapping(),
        cycle(),
        deep(5000),
        list(range(10**6)),
        {f"k{n}": "x" * 5000 for n in range(1000)},
        [["x" * 100] * 100] * 100,
        "x" * 10**6,
        {(1, 2): 3},
        {"é\0\ud800": 1},
    ],
)
def test_leniently_everything_ends_small(value: Any) -> None:
    assert len(json.dumps(encode_lenient(value), allow_nan=False)) < 120_000


def test_leniently_the_rest_is_shown() -> None:
    assert encode_lenient({"a": 1, "b": DataFrame, "when": WHEN})["a"] == 1
    assert encode_lenient(list(range(100))) == list(range(100))
    assert encode_lenient(list(range(101)))[-2:] == [99, "…"]
    assert encode_lenient(Hostile()) == "<Hostile>"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**200), 2**200) | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_value_survives(value: Any) -> None:
    try:
        encoded = encode(value)
    except NotSerializable as error:
        assert "both" in error.reason  # noqa: PT017 - keys that only differ in NUL and its escape
    else:
        json.dumps(encoded, allow_nan=False).encode("ascii")


@given(st.text())
def test_safe_text_is_storable_and_lasting(text: str) -> None:
    safe = safe_text(text)
    safe.encode("utf-8")
    assert "\0" not in safe
    assert safe_text(safe) == safe


@pytest.mark.parametrize("length", [1, 99, 100, 101, 5000])
def test_cut_middle(length: int) -> None:
    text = "a" + "x" * (length - 1) if length > 1 else "a"
    cut = cut_middle(text, 100)
    assert len(cut) <= 100
    assert (cut == text) is (length <= 100)
    assert length <= 100 or ("characters cut" in cut and cut.startswith("a"))
