"""`PipelineContext`: what a pipeline is given. A front only: others do the work.

It is part of `from tau import …`, so nothing here imports more than names at run time.
"""

import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, cast

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from tau.pipeline.channel import Channel
    from tau.pipeline.checks import CheckOutcome
    from tau.pipeline.recorder import Recorder
    from tau.pipeline.state import State
    from tau.pipeline.steps import Step, Steps

Data = TypeVar("Data")
Result = TypeVar("Result")

_MISSING: Any = object()


class RunFacts(NamedTuple):
    """What the context knows of its run; times are aware."""

    run_id: str
    pipeline: str
    attempt: int = 1
    run_number: int | None = None
    trigger: str | None = None
    last_successful_run: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None


class PipelineContext:
    """The facts of a run and the ways to record, check, ask and remember. Usable in any thread.

    Made by the runtime and by `tau.testing`; a pipeline gets it as its only argument.
    """

    def __init__(
        self,
        facts: RunFacts,
        params: dict[str, Any],
        *,
        channel: "Channel",
        recorder: "Recorder",
        steps: "Steps",
        state: "State",
    ) -> None:
        self._facts = facts
        self._params = params
        self._channel = channel
        self._recorder = recorder
        self._steps = steps
        self._state = state
        self._loop: AbstractEventLoop | None = None

    def log(self, message: object, level: str = "info", **fields: Any) -> None:
        """Record a log line with fields. `level`: debug, info, warning, error.

        Raises ValueError for another level.
        """
        self._recorder.log(str(message), level=level, fields=fields)

    def step(self, name: str) -> "Step":
        """A timed span, for `with` and `async with`; steps nest."""
        return self._steps.open(name)

    def transform(
        self,
        data: Data,
        fn: "Callable[[Data], Awaitable[Result] | Result]",
        name: str | None = None,
    ) -> "Awaitable[Result]":
        """Apply `fn` to the data as a step that counts rows; await it for fn's result.

        A plain function runs in a thread, so that it does not block the loop. In a plain `def`
        pipeline, which can't await, the call itself gives the result.
        """
        from tau.pipeline.transforms import transform

        work: Coroutine[Any, Any, Result] = transform(self._steps, data, fn, name=name)
        return self._bridge(work)

    def check(
        self, *conditions: Any, name: str | None = None, severity: str = "error", **evidence: Any
    ) -> "CheckOutcome":
        """Record whether all conditions hold; works with and without `await`.

        One that does not fails the run with its evidence (raises CheckFailed at once), or, with
        `severity="warn"`, only marks it. The outcome is true or false.
        """
        if not conditions:
            raise TypeError("a check needs a condition: ctx.check(len(rows) > 0, rows=len(rows))")
        from tau.pipeline.checks import record_check

        return record_check(
            self._recorder,
            conditions,
            name=name,
            severity=severity,
            evidence=evidence,
            caller=sys._getframe(1),
        )

    def secret(self, name: str, default: Any = _MISSING) -> Any:
        """The secret's text; the default where none is set. Raises SecretMissing without one."""
        from tau.pipeline.exceptions import SecretMissing

        if not isinstance(name, str) or not name:
            raise ValueError("a secret has a name: ctx.secret('API_TOKEN')")
        value = self._channel.request("secret", {"name": name})
        if value is not None:
            return value
        if default is _MISSING:
            raise SecretMissing(name)
        return default

    @property
    def params(self) -> dict[str, Any]:
        """The run's params: the declared defaults under what the run was given."""
        return self._params

    @property
    def state(self) -> "State":
        """A JSON mapping that is kept for the pipeline's next run if this one succeeds."""
        return self._state

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._facts.run_id

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self._facts.pipeline

    @property
    def attempt(self) -> int:
        """Which attempt of the run this is, from 1."""
        return self._facts.attempt

    @property
    def run_number(self) -> int | None:
        """The run's number within its pipeline, from 1."""
        return self._facts.run_number

    @property
    def trigger(self) -> str | None:
        """What asked for the run: manual, schedule, retry, dag or backfill."""
        return self._facts.trigger

    @property
    def last_successful_run(self) -> datetime | None:
        """When the last successful run that was no backfill started; None before the first."""
        return self._facts.last_successful_run

    @property
    def interval_start(self) -> datetime | None:
        """Where the span of data time that the run covers starts, if it has one."""
        return self._facts.interval_start

    @property
    def interval_end(self) -> datetime | None:
        """Where the span of data time that the run covers ends, if it has one."""
        return self._facts.interval_end

    def bind_loop(self, loop: "AbstractEventLoop") -> None:
        """Tell which loop runs the pipeline, so that its threads can hand work to it."""
        self._loop = loop

    def _bridge(self, work: "Coroutine[Any, Any, Result]") -> "Awaitable[Result]":
        """The work itself to await; in a thread of a plain pipeline its result."""
        import asyncio

        if self._loop is None or asyncio._get_running_loop() is not None:
            return work
        result: Any = asyncio.run_coroutine_threadsafe(work, self._loop).result()
        return cast("Awaitable[Result]", result)  # a thread has nothing to await with
