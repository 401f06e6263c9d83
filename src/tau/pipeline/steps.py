"""Timed spans of an attempt: nested by context variable, so right in tasks and threads."""

import itertools
import operator
import threading
import time
from collections import deque
from contextlib import suppress
from contextvars import Token
from types import TracebackType
from typing import Any, Literal, Self

from tau.pipeline.encoding import encode_lenient
from tau.pipeline.recorder import Recorder, current_step
from tau.pipeline.text import cut_middle, safe_text
from tau.pipeline.types import EventKind

StepKind = Literal["step", "transform"]

MAX_NAME_CHARS = 200
MAX_ERROR_CHARS = 1000
REMEMBERED_FAILURES = 16


class Steps:
    """Opens steps, numbers them from 1, and remembers which one an exception went through."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._failed: deque[tuple[BaseException, str]] = deque(maxlen=REMEMBERED_FAILURES)

    def open(self, name: str, *, kind: StepKind = "step") -> "Step":
        """A step that starts when its `with` block is entered."""
        if not isinstance(name, str) or not name.strip():
            raise ValueError("a step needs a name: ctx.step('extract')")
        return Step(self, safe_text(cut_middle(name.strip(), MAX_NAME_CHARS)), kind)

    def started(self, step: "Step") -> int:
        with self._lock:
            number = next(self._numbers)
        self._recorder.emit(
            EventKind.STEP_START,
            step=number,
            parent=current_step.get(),
            name=step.name,
            kind=step.kind,
        )
        return number

    def ended(self, step: "Step", number: int, milliseconds: float) -> None:
        self._recorder.emit(
            EventKind.STEP_END,
            step=number,
            status=step.status,
            ms=round(milliseconds, 3),
            rows_in=step.rows_in,
            rows_out=step.rows_out,
            metrics=encode_lenient(step.metrics) or None,
            error=step.error,
        )

    def failed(self, error: BaseException, name: str) -> None:
        """Remember the innermost step that an exception left."""
        if self.step_of(error) is None:
            self._failed.append((error, name))

    def step_of(self, error: BaseException) -> str | None:
        """The name of the innermost step that this very exception left, if any."""
        return next((name for known, name in self._failed if known is error), None)


class Step:
    """One span: `with ctx.step("load") as step:`, or `async with`.

    `rows_in` and `rows_out` are numbers of rows; `metric(name, value)` records any other figure.
    """

    def __init__(self, steps: Steps, name: str, kind: StepKind) -> None:
        self._steps = steps
        self.name = name
        self.kind = kind
        self.status: Literal["open", "success", "failed"] = "open"
        self.metrics: dict[str, Any] = {}
        self.error: dict[str, str] | None = None
        self._number: int | None = None
        self._token: Token[int | None] | None = None
        self._started = 0.0
        self._rows: dict[str, int | None] = {}

    @property
    def rows_in(self) -> int | None:
        """How many rows went in."""
        return self._rows.get("rows_in")

    @rows_in.setter
    def rows_in(self, rows: int | None) -> None:
        self._rows["rows_in"] = _count("rows_in", rows)

    @property
    def rows_out(self) -> int | None:
        """How many rows came out."""
        return self._rows.get("rows_out")

    @rows_out.setter
    def rows_out(self, rows: int | None) -> None:
        self._rows["rows_out"] = _count("rows_out", rows)

    def metric(self, name: str, value: Any) -> None:
        """Record a figure of this step; the last value of a name counts."""
        self.metrics[safe_text(cut_middle(str(name), MAX_NAME_CHARS))] = encode_lenient(value)

    def __enter__(self) -> Self:
        if self._number is not None:
            raise RuntimeError(f"the step {self.name!r} was entered before; open a new one")
        self._number = self._steps.started(self)
        self._token = current_step.set(self._number)
        self._started = time.perf_counter()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        milliseconds = (time.perf_counter() - self._started) * 1000
        if self._number is None or self._token is None:
            raise RuntimeError(f"the step {self.name!r} was left without being entered")
        # Refused where it is left in another task than it was entered in, as the block of an async
        # generator may be: that task's current step is not this one's to change.
        with suppress(ValueError):
            current_step.reset(self._token)
        self.status = "success" if _is_success(error) else "failed"
        if error is not None and self.status == "failed":
            self.error = {"type": type(error).__name__, "message": _message(error)}
            self._steps.failed(error, self.name)
        self._steps.ended(self, self._number, milliseconds)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)


def _is_success(error: BaseException | None) -> bool:
    return error is None or (isinstance(error, SystemExit) and error.code in (None, 0))


def _message(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception as broken:  # a user's __str__ may raise anything
        text = f"<no message: {type(broken).__name__}>"
    return safe_text(cut_middle(text, MAX_ERROR_CHARS))


def _count(name: str, rows: Any) -> int | None:
    if rows is None:
        return None
    try:
        count = operator.index(rows)
    except TypeError:
        raise TypeError(f"step.{name} takes a number of rows, not {type(rows).__name__}") from None
    if count < 0:
        raise ValueError(f"step.{name} takes a number of rows, not {count}")
    return count
