"""`tau.testing`: a pipeline in process, through the same context as in a real run."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from pydantic import BaseModel

from tau import PipelineContext, pipeline
from tau.errors import PipelineInvalidOption
from tau.pipeline.exceptions import CheckFailed, NotSerializable, SecretMissing, StateInvalid
from tau.testing import FakeClock, arun_pipeline, run_pipeline


@pipeline(params={"region": "eu"})
async def orders(ctx: PipelineContext) -> dict[str, Any]:
    async with ctx.step("extract") as step:
        step.rows_out = 3
        step.metric("pages", 2)
        ctx.log("read", pages=2)
    rows = await ctx.transform([1, 2, 3], lambda rows: [row for row in rows if row > 1], name="f")
    assert await ctx.check(len(rows) == 2, rows=len(rows))
    ctx.state["last"] = rows[-1]
    return {
        "region": ctx.params["region"],
        "key": ctx.secret("API_KEY"),
        "since": ctx.last_successful_run,
        "attempt": ctx.attempt,
    }


def test_a_success() -> None:
    since = datetime(2026, 1, 1, tzinfo=UTC)
    outcome = run_pipeline(
        orders,
        params={"region": "us"},
        secrets={"API_KEY": "k"},
        state={"last": 1},
        last_successful_run=since,
        attempt=2,
    )
    assert outcome.status == "success", outcome.failure
    assert outcome.result == {
        "region": "us",
        "key": "k",
        "since": "2026-01-01T00:00:00+00:00",
        "attempt": 2,
    }
    assert outcome.state == {"last": 3}
    assert [(log["message"], log["fields"]) for log in outcome.logs] == [("read", {"pages": 2})]
    extract, transform = outcome.steps
    assert (extract["rows_out"], extract["metrics"]) == (3, {"pages": 2})
    assert (transform["name"], transform["kind"]) == ("f", "transform")
    assert (transform["rows_in"], transform["rows_out"]) == (3, 2)
    assert [check["passed"] for check in outcome.checks] == [True]
    assert outcome.checks[0]["name"] == "len(rows) == 2"
    assert (outcome.failure, outcome.exception) == (None, None)
    assert outcome.trace["steps"] == outcome.steps


def test_a_failure_keeps_the_state_and_says_where() -> None:
    outcome = run_pipeline(orders, state={"last": 1})
    assert outcome.status == "failed"
    assert isinstance(outcome.exception, SecretMissing)
    assert outcome.state == {"last": 1}
    assert outcome.failure is not None
    assert outcome.failure["type"] == "SecretMissing"
    assert outcome.failure["frames"][-1]["code"] == '"key": ctx.secret("API_KEY"),'


async def test_in_a_running_loop() -> None:
    outcome = await arun_pipeline(orders, secrets={"API_KEY": "k"})
    assert outcome.status == "success"
    with pytest.raises(RuntimeError, match="arun_pipeline"):
        run_pipeline(orders)


async def test_cancelling_it_cancels() -> None:
    async def slow(ctx: PipelineContext) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await arun_pipeline(slow)


def test_a_plain_and_undecorated_function() -> None:
    def plain(ctx: PipelineContext) -> Any:
        with ctx.step("one"):
            return ctx.transform([3, 1], sorted)

    outcome = run_pipeline(plain)
    assert outcome.result == [1, 3]
    assert [(step["name"], step["depth"]) for step in outcome.steps] == [("one", 0), ("sorted", 1)]
    with pytest.raises(PipelineInvalidOption):
        run_pipeline(lambda ctx: 1)


def test_sys_exit_and_unusable_results() -> None:
    async def leaves(ctx: PipelineContext) -> None:
        raise SystemExit(0)

    async def returns(ctx: PipelineContext) -> Any:
        return {"x": object()}

    outcome = run_pipeline(leaves)
    assert (outcome.status, outcome.trace["reason"]) == ("success", "sys.exit(0)")
    assert isinstance(run_pipeline(returns).exception, NotSerializable)


def test_params_of_a_model() -> None:
    class Params(BaseModel):
        limit: int

    @pipeline(params=Params)
    async def limited(ctx: PipelineContext) -> int:
        limit: int = ctx.params["limit"]
        return limit

    assert run_pipeline(limited, params={"limit": "3"}).result == 3
    failure = run_pipeline(limited).failure
    assert failure is not None
    assert failure["code"] == "params.invalid"
    assert failure["details"]["fields"][0]["field"] == "limit"


def failing_check(ctx: PipelineContext) -> None:
    ctx.check(1 > 2, name="order", left=1)


async def awaited_check(ctx: PipelineContext) -> None:
    await ctx.check(1 > 2, name="order", left=1)


@pytest.mark.parametrize("fn", [failing_check, awaited_check])
def test_a_check_that_does_not_hold(fn: Any) -> None:
    outcome = run_pipeline(fn)
    assert isinstance(outcome.exception, CheckFailed)
    assert outcome.exception.evidence == {"left": 1}
    assert outcome.checks == [
        {
            "name": "order",
            "passed": False,
            "severity": "error",
            "evidence": {"left": 1},
            "line": fn.__code__.co_firstlineno + 1,
        }
    ]


def test_a_warning_only_marks() -> None:
    async def warns(ctx: PipelineContext) -> list[bool]:
        return [bool(ctx.check(False, severity="warn")), await ctx.check(0, severity="warn")]

    outcome = run_pipeline(warns)
    assert outcome.result == [False, False]
    assert [check["severity"] for check in outcome.checks] == ["warn", "warn"]


class Ambiguous:
    def __bool__(self) -> bool:
        raise ValueError("ambiguous")


async def forgotten() -> bool:
    return True


@pytest.mark.parametrize(
    ("conditions", "options", "message"),
    [
        ((), {}, "needs a condition"),
        (("text",), {}, "name="),
        ((Ambiguous(),), {}, r"\.all\(\)"),
        ((True,), {"severity": "fatal"}, '"error" or "warn"'),
    ],
)
def test_a_check_that_is_wrong_itself(
    conditions: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    async def checks(ctx: PipelineContext) -> None:
        ctx.check(*conditions, **options)

    outcome = run_pipeline(checks)
    assert isinstance(outcome.exception, TypeError | ValueError)
    with pytest.raises((TypeError, ValueError), match=message):
        raise outcome.exception


def test_a_check_of_what_was_not_awaited() -> None:
    async def checks(ctx: PipelineContext) -> None:
        condition = forgotten()
        try:
            ctx.check(condition)
        finally:
            condition.close()

    assert "await it first" in str(run_pipeline(checks).exception)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"a": (1, 2)}, "$.x.a"),
        ([1, {2}], "$.x[1]"),
        (float("nan"), "$.x"),
        ({1: 2}, "$.x"),
        (datetime(2026, 1, 1, tzinfo=UTC), "$.x"),
        (10**1250, "$.x"),
    ],
)
def test_state_is_plain_json(value: Any, path: str) -> None:
    async def keeps(ctx: PipelineContext) -> None:
        ctx.state["x"] = value

    error = run_pipeline(keeps).exception
    assert isinstance(error, StateInvalid)
    assert error.path == path


def test_state_is_checked_at_the_end_too() -> None:
    async def keeps(ctx: PipelineContext) -> None:
        ctx.state["rows"] = []
        ctx.state["rows"].append(ctx)

    async def circle(ctx: PipelineContext) -> None:
        rows: list[Any] = []
        ctx.state["rows"] = rows
        rows.append(rows)

    for fn in (keeps, circle):
        outcome = run_pipeline(fn, state={"old": 1})
        assert isinstance(outcome.exception, StateInvalid)
        assert outcome.state == {"old": 1}


def test_the_state_given_is_not_the_pipelines_to_change() -> None:
    given = {"rows": [1]}

    async def fails(ctx: PipelineContext) -> None:
        ctx.state["rows"].append(2)
        raise ValueError

    assert run_pipeline(fails, state=given).state == {"rows": [1]}


async def double(rows: list[int]) -> list[int]:
    return rows * 2


class AsyncCallable:
    async def __call__(self, rows: list[int]) -> list[int]:
        return rows * 3


async def stream(rows: list[int]) -> AsyncIterator[int]:
    for row in rows:
        yield row


@pytest.mark.parametrize(
    ("fn", "name", "rows_out"),
    [
        (double, "double", 2),
        (partial(double), "double", 2),
        (AsyncCallable(), "AsyncCallable", 3),
        (lambda rows: double(rows), "transform", 2),
        (len, "len", None),
        (dict.fromkeys, "fromkeys", None),
        (iter, "iter", None),
    ],
)
def test_transforms(fn: Any, name: str, rows_out: int | None) -> None:
    async def transforms(ctx: PipelineContext) -> None:
        await ctx.transform([1], fn)

    (step,) = run_pipeline(transforms).steps
    assert (step["name"], step["rows_in"], step.get("rows_out")) == (name, 1, rows_out)


def test_a_transform_that_fails() -> None:
    async def transforms(ctx: PipelineContext) -> None:
        await ctx.transform([1, 2], lambda rows: rows[5])

    outcome = run_pipeline(transforms)
    (step,) = outcome.steps
    assert (step["status"], step["error"]["type"]) == ("failed", "IndexError")
    assert outcome.failure is not None
    assert outcome.failure["step"] == "transform"
    assert isinstance(outcome.exception, IndexError)


def test_steps_that_are_used_wrongly() -> None:
    async def twice(ctx: PipelineContext) -> None:
        step = ctx.step("a")
        with step:
            pass
        with step:
            pass

    async def rows(ctx: PipelineContext) -> None:
        with ctx.step("a") as step:
            step.rows_out = [1]  # type: ignore[assignment]

    async def unnamed(ctx: PipelineContext) -> None:
        ctx.step(" ")

    assert "entered before" in str(run_pipeline(twice).exception)
    assert "number of rows" in str(run_pipeline(rows).exception)
    assert "needs a name" in str(run_pipeline(unnamed).exception)
    assert "one of debug, info" in str(run_pipeline(lambda_log).exception)


async def lambda_log(ctx: PipelineContext) -> None:
    ctx.log("x", level="loud")


def test_a_step_left_in_another_task() -> None:
    async def generator(ctx: PipelineContext) -> AsyncIterator[int]:
        async with ctx.step("inside"):
            yield 1
            yield 2

    async def main(ctx: PipelineContext) -> None:
        rows = generator(ctx)
        await asyncio.create_task(anext(rows))  # type: ignore[arg-type]
        await rows.aclose()  # type: ignore[attr-defined]

    outcome = run_pipeline(main)
    assert outcome.status == "success", outcome.failure
    assert [step["name"] for step in outcome.steps] == ["inside"]


def test_the_fake_clock() -> None:
    clock = FakeClock(datetime(2026, 3, 1, tzinfo=UTC))
    assert clock.now() == clock.now()
    assert clock.advance(90) == datetime(2026, 3, 1, 0, 1, 30, tzinfo=UTC)
    clock.advance(timedelta(days=1))
    assert clock.now().day == 2
    with pytest.raises(ValueError, match="back"):
        clock.advance(-1)
    with pytest.raises(ValueError, match="aware"):
        FakeClock(datetime(2026, 3, 1))  # noqa: DTZ001
