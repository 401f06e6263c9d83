"""Doubles for users' tests: run a pipeline in process, without a daemon, and look at all it did."""

import asyncio
import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tau.pipeline.attempt import Attempt
from tau.pipeline.context import RunFacts
from tau.pipeline.decorators import SPEC_ATTRIBUTE
from tau.pipeline.encoding import encode
from tau.pipeline.exceptions import RequestRefused
from tau.pipeline.protocol import JsonObject, decode_line, encode_line
from tau.pipeline.spec import PipelineSpec, written
from tau.pipeline.trace import Trace
from tau.pipeline.types import EventKind, RunStatus, Trigger

__all__ = ["FakeClock", "MemoryChannel", "RunOutcome", "arun_pipeline", "run_pipeline"]

TEST_RUN_ID = "test-run"


@dataclass(frozen=True)
class RunOutcome:
    """What a pipeline did in a test.

    `status` is "success" or "failed"; `result` the returned value as JSON; `failure` the failure
    document and `exception` what was raised; `logs` the lines of `ctx.log`, `steps` and `checks`
    as in the trace; `state` the mapping that the next run would find.
    """

    status: str
    result: Any
    failure: JsonObject | None
    logs: list[JsonObject]
    steps: list[JsonObject]
    checks: list[JsonObject]
    state: JsonObject
    trace: JsonObject
    exception: BaseException | None = field(repr=False)


class MemoryChannel:
    """A channel that keeps what is sent and answers from what it was given.

    Messages go through the same encoding as on the real channel, so that what could not be sent
    there can't be sent here.
    """

    def __init__(
        self, *, secrets: Mapping[str, str] | None = None, state: JsonObject | None = None
    ) -> None:
        self.messages: list[JsonObject] = []
        self._secrets = dict(secrets or {})
        self._state = copy.deepcopy(state or {})

    def send(self, message: JsonObject) -> bool:
        decoded = decode_line(encode_line(message)) or {}
        self.messages.append(decoded | {"seq": len(self.messages) + 1})
        return True

    def request(self, op: str, args: JsonObject) -> Any:
        if op == "secret":
            return self._secrets.get(args["name"])
        if op == "state":
            return {"data": copy.deepcopy(self._state), "run_number": None}
        raise RequestRefused(op, {"message": "tau.testing does not answer this"})


class FakeClock:
    """A clock that a test moves: `now()` is aware, UTC, and stands still between advances."""

    def __init__(self, start: datetime | None = None) -> None:
        self._now = start or datetime(2026, 1, 1, tzinfo=UTC)
        if self._now.tzinfo is None:
            raise ValueError("a clock starts at an aware datetime")

    def now(self) -> datetime:
        return self._now

    def advance(self, by: timedelta | float) -> datetime:
        """Move on by a timedelta or seconds; the new time."""
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta(0):
            raise ValueError("a clock does not go back")
        self._now += step
        return self._now


def run_pipeline(
    fn: Callable[..., Any],
    *,
    params: JsonObject | None = None,
    secrets: Mapping[str, str] | None = None,
    state: JsonObject | None = None,
    last_successful_run: datetime | None = None,
    interval_start: datetime | None = None,
    interval_end: datetime | None = None,
    attempt: int = 1,
) -> RunOutcome:
    """Run a pipeline function to its end, with the context it would have in a real run.

    What it raises is in the outcome. In an async test, where a loop is running already, await
    `arun_pipeline`, which takes the same. Raises RuntimeError there.
    """
    if asyncio._get_running_loop() is not None:
        raise RuntimeError("a loop is running here: await tau.testing.arun_pipeline(…) instead")
    return asyncio.run(
        arun_pipeline(
            fn,
            params=params,
            secrets=secrets,
            state=state,
            last_successful_run=last_successful_run,
            interval_start=interval_start,
            interval_end=interval_end,
            attempt=attempt,
        )
    )


async def arun_pipeline(
    fn: Callable[..., Any],
    *,
    params: JsonObject | None = None,
    secrets: Mapping[str, str] | None = None,
    state: JsonObject | None = None,
    last_successful_run: datetime | None = None,
    interval_start: datetime | None = None,
    interval_end: datetime | None = None,
    attempt: int = 1,
) -> RunOutcome:
    """`run_pipeline` for a running loop."""
    spec: PipelineSpec = getattr(fn, SPEC_ATTRIBUTE, None) or PipelineSpec.of(fn, {})
    channel = MemoryChannel(secrets=secrets, state=state)
    facts = RunFacts(
        run_id=TEST_RUN_ID,
        pipeline=spec.name,
        attempt=attempt,
        run_number=1,
        trigger=Trigger.MANUAL,
        last_successful_run=_aware(last_successful_run),
        interval_start=_aware(interval_start),
        interval_end=_aware(interval_end),
    )
    file_name = written(fn).__code__.co_filename
    one = Attempt(fn, spec, facts=facts, channel=channel, file_name=file_name)
    # In a task of its own, as in a real run: its current step is none of the caller's.
    ending = await asyncio.create_task(one.run(encode(dict(params or {}))))
    current = asyncio.current_task()
    if current is not None and current.cancelling():
        raise asyncio.CancelledError
    message, exception = one.conclude(ending)
    channel.send(message)
    return _outcome(channel, dict(state or {}), exception)


def _aware(time: datetime | None) -> datetime | None:
    if time is not None and time.tzinfo is None:
        return time.replace(tzinfo=UTC)
    return time


def _outcome(
    channel: MemoryChannel, state: JsonObject, exception: BaseException | None
) -> RunOutcome:
    last = channel.messages[-1]
    status = RunStatus.SUCCESS if last["k"] == EventKind.RESULT else RunStatus.FAILED
    trace = Trace(channel.messages).document(status=status)
    return RunOutcome(
        status=status.value,
        result=trace["result"],
        failure=trace["failure"],
        logs=[message for message in channel.messages if message["k"] == EventKind.LOG],
        steps=trace["steps"],
        checks=trace["checks"],
        state=last.get("state", state),
        trace=trace,
        exception=exception,
    )
