"""What a loop of the daemon does about errors that pass: told once, and tried again."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tau.errors import StoreUnavailable

T = TypeVar("T")

DELAYS_S = (0.1, 0.3, 1.0, 2.0)


class Trouble:
    """One thing that may fail again and again: its begin and its end are logged, no more.

    `what` says it as a sentence without its end: "the queue can't be read".
    """

    def __init__(self, logger: logging.Logger, what: str) -> None:
        self._logger, self._what = logger, what
        self._kind: type[Exception] | None = None
        self._began = 0.0

    @property
    def told(self) -> str | None:
        """What is wrong right now, and for how long; None where nothing is."""
        if self._kind is None:
            return None
        return f"{self._what}, for {time.monotonic() - self._began:.0f} s now"

    def met(self, error: Exception) -> None:
        """It failed. An error of another kind than the last one is told as well."""
        if type(error) is self._kind:
            return
        if self._kind is None:
            self._began = time.monotonic()
        self._kind = type(error)
        if isinstance(error, StoreUnavailable | OSError):
            self._logger.warning("%s, trying again until it can: %s", self._what, error)
        else:
            self._logger.error("%s, trying again", self._what, exc_info=error)

    def over(self) -> None:
        """It went well."""
        if self._kind is not None:
            self._kind = None
            seconds = time.monotonic() - self._began
            self._logger.warning("over after %.1f s: %s", seconds, self._what)


async def patiently(work: Callable[[], Awaitable[T]], trouble: Trouble) -> T:
    """What `work` answers, once the store is there for it; other errors are raised."""
    attempt = 0
    while True:
        try:
            answer = await work()
        except StoreUnavailable as error:
            trouble.met(error)
            await asyncio.sleep(DELAYS_S[min(attempt, len(DELAYS_S) - 1)])
            attempt += 1
        else:
            trouble.over()
            return answer
