"""Shapes of locals: what they say, that they never hold a value, and that nothing breaks them."""

import sys
from collections import OrderedDict, UserDict, defaultdict
from types import ModuleType
from typing import Any

import pytest

from tau.pipeline.shapes import hints_at_secret, shape


class Sub(list[int]):
    def __len__(self) -> int:
        while True:
            pass

    def __iter__(self) -> Any:
        while True:
            pass


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, "None"),
        (True, "bool"),
        (12345, "int"),
        (1.5, "float"),
        ("hello", "str[5]"),
        (b"ab", "bytes[2]"),
        ([], "list[0]"),
        ([1, 2], "list[2] of int"),
        ([1, "a"], "list[2] of int|str"),
        ([{"id": 1, "email": "a@b.c"}] * 100_000, "list[100000] of dict{id:int,email:str}"),
        ([{"id": 1}, {"id": 2, "x": 3}], "list[2] of dict"),
        ((1, 2), "tuple[2] of int"),
        ({1, 2}, "set[2] of int"),
        ({"a": [1], "b": {"c": None}}, "dict{a:list[1] of int,b:dict{c:None}}"),
        ({"password": "x", "id": 1}, "dict{password:[redacted],id:int}"),
        ({"a@b.c": 1, "d@e.f": 2}, "dict[2] of str"),
        ({n: n for n in range(1000)}, "dict[1000] of int"),
        ({}, "dict{}"),
        (OrderedDict(a=1), "OrderedDict{a:int}"),
        (defaultdict(list, a=[1]), "defaultdict{a:list[1] of int}"),
        (UserDict(a=1), "UserDict"),
        (Sub([1, 2, 3]), "Sub[3] of int"),
        (object(), "object"),
        (len, "builtin_function_or_method"),
        (3j, "complex"),
    ],
)
def test_shapes(value: Any, expected: str) -> None:
    assert shape(value) == expected


class Liar:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        raise RuntimeError("asked")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError("asked")

    def __repr__(self) -> str:
        raise RuntimeError("asked")

    def __len__(self) -> int:
        raise RuntimeError("asked")


class HostileKey(str):
    def __hash__(self) -> int:
        return 1

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("asked")

    def __str__(self) -> str:
        raise RuntimeError("asked")


def test_hostile_objects_show_their_type() -> None:
    class Meta(type):
        def __getattribute__(cls, name: str) -> Any:
            raise RuntimeError("asked")

    class MetaLiar(metaclass=Meta):
        pass

    assert shape(Liar()) == "Liar"
    assert shape([Liar()]) == "list[1] of Liar"
    assert shape(MetaLiar()) == "MetaLiar"
    assert shape({HostileKey("a"): 1}) == "dict[1] of HostileKey"


def test_cycles_and_depth_end() -> None:
    rows: list[Any] = []
    rows.append(rows)
    assert shape(rows).startswith("list[1] of list[1]")
    assert len(shape({f"k{n}": {"deep": [{"er": n}]} for n in range(60)})) <= 200


def test_a_frame_of_a_known_library_shows_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    class DataFrame:
        shape = (344, 8)
        columns = ("id", "email", "a@b.c")

    DataFrame.__module__ = "pandas.core.frame"
    monkeypatch.setitem(sys.modules, "pandas", ModuleType("pandas"))
    assert shape(DataFrame()) == "DataFrame[344x8]{id,email}"
    DataFrame.__module__ = "elsewhere"
    assert shape(DataFrame()) == "DataFrame"


@pytest.mark.parametrize(
    "name",
    ["password", "db_pwd", "API_KEY", "apiKey", "api_key2", "token", "secret_x", "dsn", "auth",
     "database_url", "conn_str", "private_pem", "key", "credentials", "aws_secret_access_key"],
)  # fmt: skip
def test_names_that_hint_at_secrets(name: str) -> None:
    assert hints_at_secret(name)


@pytest.mark.parametrize("name", ["rows", "keyboard", "monkey", "author", "email", "passed"])
def test_names_that_do_not(name: str) -> None:
    assert not hints_at_secret(name)
