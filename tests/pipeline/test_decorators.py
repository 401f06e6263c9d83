"""`@pipeline`: its options, what it refuses and how it says so."""

import functools
import json
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from tau import pipeline
from tau.errors import PipelineInvalidName, PipelineInvalidOption
from tau.pipeline.decorators import SPEC_ATTRIBUTE
from tau.pipeline.spec import PipelineSpec


def spec_of(function: Any) -> PipelineSpec:
    found: PipelineSpec = getattr(function, SPEC_ATTRIBUTE)
    return found


def declare(**options: Any) -> PipelineSpec:
    @pipeline(**options)
    async def orders(ctx: Any) -> None: ...

    return spec_of(orders)


def test_defaults() -> None:
    @pipeline
    async def orders(ctx: Any) -> int:
        """Orders of the day.

        More about them.
        """
        return 7

    document = spec_of(orders).to_dict()
    line = document.pop("line")
    assert line == orders.__code__.co_firstlineno
    assert document == {
        "name": "orders",
        "function": "orders",
        "description": "Orders of the day.",
        "schedule": None,
        "every": None,
        "timezone": "UTC",
        "tags": [],
        "depends_on": [],
        "retries": 0,
        "retry_delay": 5.0,
        "retry_backoff": 2.0,
        "timeout": None,
        "max_concurrent": None,
        "on_overlap": "queue",
        "params": {"defaults": {}, "model": None, "schema": None},
        "is_async": True,
    }


def test_every_option() -> None:
    spec = declare(
        name="daily-orders_2",
        description="All of them",
        schedule="0 6 * * *",
        timezone="Europe/Berlin",
        tags=["warehouse", "warehouse", "eu"],
        depends_on=("customers",),
        retry=2,
        retry_delay="10s",
        retry_backoff=3,
        timeout="1h30m",
        max_concurrent=1,
        on_overlap="cancel_running",
        params={"region": "eu", "pairs": (1, 2)},
    )
    document = spec.to_dict()
    assert json.loads(json.dumps(document)) == document
    assert document["name"] == "daily-orders_2"
    assert document["tags"] == ["warehouse", "eu"]
    assert document["depends_on"] == ["customers"]
    assert document["retries"] == 2
    assert document["retry_delay"] == 10.0
    assert document["timeout"] == 5400.0
    assert document["on_overlap"] == "cancel_running"
    assert document["params"]["defaults"] == {"region": "eu", "pairs": [1, 2]}


@pytest.mark.parametrize(
    ("text", "seconds"), [("30m", 1800), ("90s", 90), (12, 12), ("1.5h", 5400)]
)
def test_timeouts(text: Any, seconds: float) -> None:
    assert declare(timeout=text).timeout == seconds
    assert declare(every=text).every == seconds


def test_a_model_describes_its_params() -> None:
    class Params(BaseModel):
        region: str
        limit: int = 10
        seen: list[str] = []

    described = declare(params=Params).to_dict()["params"]
    assert described["model"] == "Params"
    assert described["defaults"] == {"limit": 10, "seen": []}
    assert described["schema"]["required"] == ["region"]
    assert described["schema"]["properties"]["limit"]["default"] == 10


def test_the_function_stays_as_it_was() -> None:
    def orders(ctx: Any, limit: int = 3) -> int:
        return limit

    assert pipeline(orders) is orders
    assert orders(None, 4) == 4
    assert spec_of(orders).is_async is False


@pytest.mark.parametrize(
    ("options", "argument", "reason"),
    [
        ({"retires": 2}, "retires", "did you mean retries?"),
        ({"zzz": 2}, "zzz", "known are name"),
        ({"schedule": 3600}, "schedule", "seconds go to every="),
        ({"schedule": ""}, "schedule", "empty"),
        ({"schedule": "0 6 * * *", "every": 5}, "every", "exclude each other"),
        ({"every": 0}, "every", "more than 0"),
        ({"every": True}, "every", "not bool"),
        ({"every": float("inf")}, "every", "finite"),
        ({"timeout": "soon"}, "timeout", "no duration"),
        ({"timeout": -1}, "timeout", "more than 0"),
        ({"timeout": [1]}, "timeout", "not list"),
        ({"tags": "warehouse"}, "tags", "not str"),
        ({"tags": [1]}, "tags", "not int"),
        ({"tags": ["a"] * 99 + [f"t{n}" for n in range(101)]}, "tags", "100 is the most"),
        ({"depends_on": ["Orders"]}, "depends_on", "'Orders'"),
        ({"retries": -1}, "retries", "0 to"),
        ({"retries": 1.5}, "retries", "not float"),
        ({"retries": True}, "retries", "not bool"),
        ({"retries": 1, "retry": 2}, "retry", "another name"),
        ({"retry_delay": -1}, "retry_delay", "0 or more"),
        ({"retry_backoff": 0.5}, "retry_backoff", "1 or more"),
        ({"retry_backoff": "2"}, "retry_backoff", "not str"),
        ({"max_concurrent": 0}, "max_concurrent", "1 to"),
        ({"on_overlap": "wait"}, "on_overlap", "queue, skip, cancel_running"),
        ({"params": ["region"]}, "params", "not list"),
        ({"params": {1: 2}}, "params", "not 1"),
        ({"params": {"x": object()}}, "params", "$.x"),
        ({"params": int}, "params", "no pydantic model"),
        ({"description": "x" * 2000}, "description", "1000"),
        ({"description": "a\0b"}, "description", "NUL"),
        ({"timezone": "\ud800"}, "timezone", "surrogate"),
    ],
)
def test_wrong_options(options: dict[str, Any], argument: str, reason: str) -> None:
    with pytest.raises(PipelineInvalidOption) as raised:
        declare(**options)
    assert raised.value.details["argument"] == argument
    assert reason in raised.value.details["reason"]
    assert argument in raised.value.message


@pytest.mark.parametrize("name", ["Orders", "1st", "", "a b", "_x", "a" * 64, 3, "größe"])
def test_wrong_names(name: Any) -> None:
    with pytest.raises(PipelineInvalidName):
        declare(name=name)


def test_a_functions_name_that_is_none() -> None:
    def LoadOrders(ctx: Any) -> None: ...  # noqa: N802

    with pytest.raises(PipelineInvalidName, match="LoadOrders") as raised:
        pipeline(LoadOrders)
    assert "@pipeline(name=" in (raised.value.hint or "")


def generator(ctx: Any) -> Any:
    yield 1


async def async_generator(ctx: Any) -> Any:
    yield 1


def no_parameter() -> None: ...


def two_required(ctx: Any, region: str) -> None: ...


def keyword_required(ctx: Any, *, region: str) -> None: ...


class Orders:
    def method(self) -> None: ...


@pytest.mark.parametrize(
    ("thing", "reason"),
    [
        (generator, "yields"),
        (async_generator, "yields"),
        (no_parameter, "take the context"),
        (two_required, "region"),
        (keyword_required, "region"),
        (Orders, "class"),
        (Orders().method, "method"),
        (lambda ctx: 1, "lambda"),
        (functools.partial(two_required, region="eu"), "partial"),
        ("orders", "options go by name"),
    ],
)
def test_what_is_no_pipeline(thing: Any, reason: str) -> None:
    with pytest.raises(PipelineInvalidOption) as raised:
        pipeline(thing)
    assert raised.value.details["argument"] == "function"
    assert reason in raised.value.details["reason"]


def test_one_optional_parameter_is_fine() -> None:
    def orders(ctx: Any, region: str = "eu", *rest: Any, limit: int = 1) -> None: ...

    assert spec_of(pipeline(orders)).name == "orders"


def test_below_and_above_other_decorators() -> None:
    def traced(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    def orders(ctx: Any) -> int:
        return 3

    above = pipeline(traced(orders))
    assert spec_of(above).line == orders.__code__.co_firstlineno
    assert above(None) == 3
