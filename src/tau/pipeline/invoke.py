"""Calls user functions: an `async def` is awaited, a plain one runs in a thread."""

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any


@dataclass(frozen=True)
class Ending:
    """How a pipeline function ended: with a value, or with what it raised."""

    value: Any = None
    error: BaseException | None = None


async def call(function: Callable[..., Any], argument: Any) -> Any:
    """What the function gives, awaited where it is to be awaited."""
    if _is_async(function):
        result = function(argument)
    else:
        result = await _call_in_thread(function, argument)
    return await result if inspect.isawaitable(result) else result


def _is_async(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(type(function), "__call__", None)  # noqa: B004 - its kind is asked for
    )


async def _call_in_thread(function: Callable[..., Any], argument: Any) -> Any:
    """Like `asyncio.to_thread`, in a thread of its own.

    A pool's thread makes each process that user code forks in it end with 1, is one of six on a
    small machine, and hands exceptions to a future, which can't carry StopIteration.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[Ending] = loop.create_future()
    context = contextvars.copy_context()

    def work() -> None:
        ending = context.run(_attempt, function, argument)
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, ended, ending)

    threading.Thread(target=work, name="tau-call", daemon=True).start()
    ending = await ended
    if isinstance(ending.error, StopIteration):
        raise RuntimeError("the function raised StopIteration") from ending.error
    if ending.error is not None:
        raise ending.error
    return ending.value


def _attempt(function: Callable[..., Any], argument: Any) -> Ending:
    try:
        return Ending(value=function(argument))
    except BaseException as error:  # raised again where it is awaited
        return Ending(error=error)


def _settle(ended: "asyncio.Future[Ending]", ending: Ending) -> None:
    if not ended.done():
        ended.set_result(ending)
