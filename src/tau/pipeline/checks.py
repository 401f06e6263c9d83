"""`ctx.check`: a condition that the data has to meet, recorded with its evidence."""

import ast
import linecache
from collections.abc import Generator
from types import FrameType
from typing import Any

from tau.pipeline.encoding import encode_lenient
from tau.pipeline.exceptions import CheckFailed
from tau.pipeline.protocol import JsonObject
from tau.pipeline.recorder import Recorder, current_step
from tau.pipeline.text import cut_middle, safe_text
from tau.pipeline.types import EventKind, Severity

MAX_NAME_CHARS = 120


class CheckOutcome:
    """Whether the check held: true or false as it is, and when awaited."""

    def __init__(self, passed: bool) -> None:
        self.passed = passed

    def __bool__(self) -> bool:
        return self.passed

    def __await__(self) -> Generator[Any, None, bool]:
        yield from ()
        return self.passed

    def __repr__(self) -> str:
        return f"CheckOutcome(passed={self.passed})"


def record_check(
    recorder: Recorder,
    conditions: tuple[Any, ...],
    *,
    name: str | None,
    severity: str,
    evidence: JsonObject,
    caller: FrameType,
) -> CheckOutcome:
    """Record a check of all `conditions`. Raises CheckFailed where an `error` does not hold."""
    weight = _severity(severity)
    passed = all([_truth(condition) for condition in conditions])
    label = safe_text(cut_middle(str(name), MAX_NAME_CHARS)) if name else _expression(caller)
    shown: JsonObject = encode_lenient(evidence)
    recorder.emit(
        EventKind.CHECK,
        name=label,
        passed=passed,
        severity=weight.value,
        step=current_step.get(),
        evidence=shown or None,
        line=caller.f_lineno,
    )
    if not passed and weight is Severity.ERROR:
        raise CheckFailed(label, evidence=shown)
    return CheckOutcome(passed)


def _severity(severity: str) -> Severity:
    try:
        return Severity(severity)
    except ValueError:
        raise ValueError(f'severity is "error" or "warn", not {severity!r}') from None


def _truth(condition: Any) -> bool:
    if isinstance(condition, str):
        raise TypeError("a check's conditions are true or false; give text as name=…")
    if hasattr(type(condition), "__await__") and not isinstance(condition, CheckOutcome):
        raise TypeError("a check was given something to await; await it first")
    try:
        return bool(condition)
    except (TypeError, ValueError) as error:
        kind = type(condition).__name__
        raise TypeError(f"a {kind} is neither true nor false; reduce it: .all()") from error


def _expression(caller: FrameType) -> str:
    """The conditions as they are written, which names a check better than its line alone."""
    fallback = f"line {caller.f_lineno}"
    position = list(caller.f_code.co_positions())[caller.f_lasti // 2]
    start, end, column, end_column = position
    if start is None or end is None:
        return fallback
    lines = [linecache.getline(caller.f_code.co_filename, n) for n in range(start, end + 1)]
    source = "".join(lines).encode()
    if not source or column is None or end_column is None:
        return fallback
    tail = len(lines[-1].encode()) - end_column
    try:
        call = ast.parse(source[column : len(source) - tail].decode().strip(), mode="eval").body
    except (SyntaxError, ValueError):
        return fallback
    if not isinstance(call, ast.Call) or not call.args:
        return fallback
    return safe_text(cut_middle(", ".join(map(ast.unparse, call.args)), MAX_NAME_CHARS))
