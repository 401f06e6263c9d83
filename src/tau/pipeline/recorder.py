"""Turns what happens in an attempt into events on its channel, under the current step."""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar
from typing import Any

from tau.pipeline.channel import Channel
from tau.pipeline.encoding import encode_lenient
from tau.pipeline.protocol import JsonObject
from tau.pipeline.text import cut_middle, safe_text
from tau.pipeline.types import EventKind, Level

current_step: ContextVar[int | None] = ContextVar("tau_current_step", default=None)
"""The number of the innermost open step of this task or thread."""

STDOUT_FD, STDERR_FD = 1, 2

_ALIASES = {"warn": Level.WARNING, "critical": Level.ERROR, "fatal": Level.ERROR}


class Recorder:
    """The one place where the child's events are made."""

    def __init__(self, channel: Channel, *, clock: Callable[[], float] = time.time) -> None:
        self._channel = channel
        self._clock = clock

    def emit(self, kind: EventKind, /, **facts: Any) -> bool:
        """Send an event; facts that are None are left out."""
        return self._channel.send(self.event(kind, **facts))

    def event(self, kind: EventKind, /, **facts: Any) -> JsonObject:
        """An event as a message that is not sent yet."""
        known = {name: fact for name, fact in facts.items() if fact is not None}
        return {"k": kind.value, "ts": self._clock()} | known

    def log(
        self,
        message: str,
        *,
        level: str = Level.INFO,
        source: str = "ctx",
        fields: dict[str, Any] | None = None,
        logger: str | None = None,
    ) -> None:
        """Record one log line under the current step. Raises ValueError for an unknown level."""
        text = safe_text(cut_middle(message))
        sent = self.emit(
            EventKind.LOG,
            level=_level(level),
            message=text,
            source=source,
            step=current_step.get(),
            fields=encode_lenient(fields) if fields else None,
            logger=logger,
        )
        if not sent:
            _write_raw(STDOUT_FD if source == "print" else STDERR_FD, text)


def _level(level: str) -> str:
    try:
        return Level(_ALIASES.get(level, level)).value
    except ValueError:
        known = ", ".join(known.value for known in Level)
        raise ValueError(f"a level is one of {known}; not {level!r}") from None


def _write_raw(fd: int, text: str) -> None:
    """What the channel would not take goes to the descriptor that the supervisor reads as well."""
    with suppress(OSError):  # the user closed that one too: there is no place left to say it
        os.write(fd, text.encode("utf-8", "replace") + b"\n")
