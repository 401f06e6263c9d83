"""Events between their two shapes: the message of the protocol and the row of the store."""

from datetime import UTC, datetime
from typing import Any

from tau.models import Event
from tau.pipeline.protocol import JsonObject, decode_line
from tau.pipeline.types import EventKind, Level

RANKS = {Level.DEBUG: 10, Level.INFO: 20, Level.WARNING: 30, Level.ERROR: 40}
WARNING_RANK, ERROR_RANK = RANKS[Level.WARNING], RANKS[Level.ERROR]
LEVELS = {rank: level for level, rank in RANKS.items()}
_COLUMNS = {"k", "seq", "ts", "level", "step", "message"}
_STORED = frozenset(EventKind)
_KEPT_ELSEWHERE: dict[str, frozenset[str]] = {
    EventKind.RESULT: frozenset({"value", "state"}),
    EventKind.FAILURE: frozenset({"failure"}),
}
"""What the run's and the attempt's rows hold already."""


def to_row(run_id: str, attempt: int, line: bytes) -> dict[str, Any] | None:
    """The row of a spool line; None for one that is no event (a torn or foreign line)."""
    message = decode_line(line)
    if message is None or message.get("k") not in _STORED:
        return None
    seq, ts = message.get("seq"), message.get("ts")
    if not isinstance(seq, int) or not isinstance(ts, int | float):
        return None
    step, text = message.get("step"), message.get("message")
    left_out = _COLUMNS | _KEPT_ELSEWHERE.get(message["k"], frozenset())
    data = {key: value for key, value in message.items() if key not in left_out}
    return {
        "run_id": run_id,
        "attempt": attempt,
        "seq": seq,
        "at": _time(ts),
        "kind": message["k"],
        "level": RANKS.get(message.get("level", "")),
        "step": step if isinstance(step, int) else None,
        "message": None if text is None else storable(str(text)),
        "data": data or None,
    }


def to_message(event: Event) -> JsonObject:
    """The message that an event's row was made from."""
    message: JsonObject = {"k": event.kind, "seq": event.seq, "ts": event.at.timestamp()}
    if event.level is not None:
        message["level"] = str(LEVELS.get(event.level, Level.INFO))
    if event.step is not None:
        message["step"] = event.step
    if event.message is not None:
        message["message"] = event.message
    return message | (event.data or {})


def storable(text: str) -> str:
    """Text that both databases can hold: PostgreSQL takes no NUL, UTF-8 no lone surrogate."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def _time(ts: float) -> datetime:
    try:
        return datetime.fromtimestamp(ts, UTC)
    except (OverflowError, OSError, ValueError):
        return datetime.fromtimestamp(0, UTC)
