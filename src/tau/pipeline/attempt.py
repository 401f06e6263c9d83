"""One attempt from params to its last message: the same in the child and in `tau.testing`."""

import asyncio
from collections.abc import Callable
from typing import Any

from tau.pipeline.channel import Channel
from tau.pipeline.context import PipelineContext, RunFacts
from tau.pipeline.encoding import encode
from tau.pipeline.exceptions import ResultNotSerializable
from tau.pipeline.failure import describe
from tau.pipeline.invoke import Ending, call
from tau.pipeline.params import resolve_params
from tau.pipeline.protocol import JsonObject
from tau.pipeline.recorder import Recorder, current_step
from tau.pipeline.spec import PipelineSpec
from tau.pipeline.state import State
from tau.pipeline.steps import Steps
from tau.pipeline.types import EventKind


class Attempt:
    """A pipeline function with all it needs to be called once."""

    def __init__(
        self,
        function: Callable[..., Any],
        spec: PipelineSpec,
        *,
        facts: RunFacts,
        channel: Channel,
        file_name: str,
    ) -> None:
        self._function = function
        self._spec = spec
        self._facts = facts
        self._channel = channel
        self._file_name = file_name
        self._recorder = Recorder(channel)
        self._steps = Steps(self._recorder)
        self._state = State(lambda: channel.request("state", {}) or {})

    async def run(self, given_params: JsonObject) -> Ending:
        """Check the params and call the function; what is raised is the ending's `error`."""
        try:
            ctx = self._context(resolve_params(self._spec, given_params))
        except Exception as error:
            return Ending(error=error)
        return await _call_pipeline(self._function, ctx)

    def conclude(self, ending: Ending) -> tuple[JsonObject, BaseException | None]:
        """The last message, and the exception that it tells of.

        `sys.exit(0)` is a success without a result. A result or a state that is no JSON fails.
        """
        error, reason, value = ending.error, None, ending.value
        if isinstance(error, SystemExit) and error.code in (None, 0):
            error, reason = None, "sys.exit(0)"
        if error is None:
            try:
                return self._result(value, reason), None
            except Exception as unusable:
                error = unusable
        failure = describe(error, self._file_name, steps=self._steps)
        return self._recorder.event(EventKind.FAILURE, failure=failure), error

    def _result(self, value: Any, reason: str | None) -> JsonObject:
        result = encode(value, error=ResultNotSerializable)
        state = self._state.changed()
        event = self._recorder.event(EventKind.RESULT, reason=reason, state=state)
        return event | {"value": result}

    def _context(self, params: JsonObject) -> PipelineContext:
        return PipelineContext(
            self._facts,
            params,
            channel=self._channel,
            recorder=self._recorder,
            steps=self._steps,
            state=self._state,
        )


async def _call_pipeline(function: Callable[..., Any], ctx: PipelineContext) -> Ending:
    """Run a pipeline function to its end; whatever it raises is caught and handed on."""
    current_step.set(None)
    ctx.bind_loop(asyncio.get_running_loop())
    try:
        return Ending(value=await call(function, ctx))
    except BaseException as error:  # SystemExit and KeyboardInterrupt are endings like any other
        return Ending(error=error)
