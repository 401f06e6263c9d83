"""Turns what a child says into events: checked messages of its channel, lines of its output."""

import json
import math
import re
import time
from collections.abc import Callable
from typing import Any

from tau.pipeline.protocol import (
    MAX_LOG_CHARS,
    MAX_STATE_BYTES,
    JsonObject,
    encode_line,
)
from tau.pipeline.redaction import Redactor
from tau.pipeline.text import cut_middle, safe_text
from tau.pipeline.types import Level
from tau.workers.spool import Spool

MAX_LOG_LINE_BYTES = 8 * MAX_LOG_CHARS
"""Of a raw line that much is read; the rest of it is passed over."""

_MAX_REQUEST_BYTES = MAX_STATE_BYTES
_NUMBER = (int, float)
_REQUIRED: dict[str, dict[str, type | tuple[type, ...]]] = {
    "hello": {"ts": _NUMBER},
    "log": {"ts": _NUMBER, "message": str, "level": str},
    "step_start": {"ts": _NUMBER, "step": int, "name": str},
    "step_end": {"ts": _NUMBER, "step": int, "status": str},
    "check": {"ts": _NUMBER, "name": str, "passed": bool, "severity": str},
    "result": {"ts": _NUMBER, "value": object},
    "failure": {"ts": _NUMBER, "failure": dict},
    "request": {"id": (int, str), "op": str, "args": dict},
}
_LEVELS = frozenset(Level)
_LAST_KINDS = frozenset({"result", "failure"})
_UNSTORABLE_ESCAPES = (b"\\u0000", b"\\ud", b"\\uD")
_SUSPECT_ESCAPES = (b"\\u00", b"\\ud", b"\\uD", b"\\/", b'"seq"')
_TERMINAL = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]"  # colours and cursor movements
    r"|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?"  # titles and links
    r"|\x1b[ -/]*[0-~]?"
    r"|[\x00-\x08\x0b-\x1f\x7f]"
)


class Intake:
    """Accepts what is well formed into the spool, redacted; counts the rest.

    `on_request` gets each request of the child. `last` is the first result or failure that came:
    there is no second one. It becomes the last event of all, when `finish` is called.
    """

    def __init__(
        self, spool: Spool, redactor: Redactor, *, on_request: Callable[[JsonObject], None]
    ) -> None:
        self._spool = spool
        self._redactor = redactor
        self._on_request = on_request
        self.malformed = 0
        self.last: JsonObject | None = None
        self._last_event = b""
        self.fatal_dump: list[str] = []
        """The latest lines of stderr since the interpreter said that it dies."""

    def take_message(self, line: bytes, *, is_cut: bool = False) -> None:
        """One line of the child's channel; whatever it holds, this never raises."""
        message = None if is_cut else _decode(line)
        if message is None or not _is_well_formed(message, line):
            self._count_malformed(line)
        elif message["k"] == "request":
            self._on_request(message)
        elif not self._accept(message, line):
            self._count_malformed(line)

    def take_outcome(self, document: bytes) -> None:
        """The last message as a file: its way over the channel was closed."""
        message = _decode(document)
        if message is None or message.get("k") not in _LAST_KINDS:
            self._count_malformed(document)
        elif self.last is None:
            self.take_message(document.strip())

    def take_output(self, source: str, line: bytes, *, is_cut: bool = False) -> None:
        """One line of descriptor 1 ("stdout") or 2 ("raw_stderr")."""
        text = _clean(line)
        if not text.strip():
            return
        if source == "raw_stderr":
            self._watch_for_dump(text)
        text = self._redactor.redact_text(text)
        if is_cut:
            text = text[:MAX_LOG_CHARS] + " …[the rest of the line was cut]"
        level = Level.WARNING if source == "raw_stderr" else Level.INFO
        self._log(level, cut_middle(text), source)

    def finish(self) -> None:
        """Bring the spool to its end: the logs it held back, then the last message."""
        self._spool.finish()
        if self.last is not None:
            self._spool.add(self.last["k"], self._last_event)
            self._spool.flush()

    def warn(self, text: str) -> None:
        """A warning of the supervisor's own among the events."""
        self._log(Level.WARNING, self._redactor.redact_text(text), "supervisor")

    def _accept(self, message: JsonObject, line: bytes) -> bool:
        kind = message["k"]
        is_last = kind in _LAST_KINDS
        if is_last and self.last is not None:
            return False
        try:
            event = self._event(message, line)
        except RecursionError:
            return False
        if is_last:
            self.last, self._last_event = message, event
        else:
            self._spool.add(kind, event)
        return True

    def _event(self, message: JsonObject, line: bytes) -> bytes:
        """The event as it is to be kept: most lines pass as they came, which is cheap."""
        is_plain = line.isascii() and not any(escape in line for escape in _SUSPECT_ESCAPES)
        if is_plain and line.endswith(b"}") and not self._redactor.suspects(line):
            return line
        message = {name: value for name, value in message.items() if name != "seq"}
        return _encode(self._redactor.redact_message(message))

    def _log(self, level: Level, text: str, source: str) -> None:
        event = {"k": "log", "ts": time.time(), "level": level, "message": text, "source": source}
        self._spool.add("log", _encode(event))

    def _count_malformed(self, line: bytes) -> None:
        self.malformed += 1
        if self.malformed == 1:
            shown = _clean(line[:80])
            self.warn(f"a message on Tau's channel was not understood and is left out: {shown!r}")

    def _watch_for_dump(self, text: str) -> None:
        if text.startswith("Fatal Python error"):
            self.fatal_dump = []
        elif len(self.fatal_dump) >= 200:
            return
        self.fatal_dump.append(text)


def _decode(line: bytes) -> JsonObject | None:
    """The object of a line that every store can hold, else None."""
    try:
        message = _DECODER.decode(line.decode("utf-8"))
        if any(escape in line for escape in _UNSTORABLE_ESCAPES):
            message = _storable(message)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _is_well_formed(message: JsonObject, line: bytes) -> bool:
    kind = message.get("k")
    required = _REQUIRED.get(kind) if isinstance(kind, str) else None
    if required is None:
        return False
    if kind == "request":
        return len(line) <= _MAX_REQUEST_BYTES and _has(message, required)
    return _has(message, required) and message.get("level", "info") in _LEVELS


def _has(message: JsonObject, required: dict[str, type | tuple[type, ...]]) -> bool:
    return all(
        name in message and isinstance(message[name], kind) for name, kind in required.items()
    )


def _encode(event: JsonObject) -> bytes:
    return encode_line(event).rstrip(b"\n")


def _storable(value: Any) -> Any:
    """The value with NUL and lone surrogates in its texts shown as escapes."""
    if isinstance(value, str):
        return safe_text(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {safe_text(key): _storable(item) for key, item in value.items()}
    return value


def _clean(line: bytes) -> str:
    """A terminal's line as the reader would see it: after its last carriage return, no colours."""
    text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    return _TERMINAL.sub("", text)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is no JSON number")
    return number


def _refuse(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_refuse)
