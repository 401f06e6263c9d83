"""Turns what a child says into events: checked messages of its channel, lines of its output."""

import re
import time
from collections.abc import Callable

from tau.pipeline.protocol import MAX_LOG_CHARS, JsonObject, encode_line
from tau.pipeline.redaction import Redactor
from tau.pipeline.text import cut_middle
from tau.pipeline.types import Level
from tau.workers.messages import parse
from tau.workers.spool import Spool

MAX_LOG_LINE_BYTES = 8 * MAX_LOG_CHARS
"""Of a raw line that much is read; the rest of it is passed over."""

_MAX_MALFORMED = 1000  # after so many, a child is read as slowly as one that floods its log
_LAST_KINDS = ("result", "failure")
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
        self._has_said_hello = False
        self._handed: list[JsonObject] = []
        self.fatal_dump: list[str] = []
        """The latest lines of stderr since the interpreter said that it dies."""

    @property
    def is_flooded(self) -> bool:
        """Whether more comes than is kept, so that it is not worth a core to read it."""
        return self._spool.is_capped or self.malformed > _MAX_MALFORMED

    def take_message(self, line: bytes, *, is_cut: bool = False) -> None:
        """One line of the child's channel; whatever it holds, this never raises."""
        message = None if is_cut else parse(line)
        if message is None:
            self._count_malformed(line)
        elif message["k"] == "request":
            self._on_request(message)
        else:
            self._accept(message, line)

    def take_outcome(self, document: bytes) -> None:
        """The last message as a file: its way over the channel was closed."""
        message = parse(document)
        if message is None or message["k"] not in _LAST_KINDS:
            self._count_malformed(document)
        else:
            self._accept(message, document.strip())

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

    def note_secret(self, facts: JsonObject) -> None:
        """That a secret is handed out: its name and where it is from, once a value."""
        if facts not in self._handed:
            self._handed.append(facts)
            event = {"k": "secret", "ts": time.time()} | facts
            self._spool.add("secret", _encode(self._redactor.redact_message(event)))

    def finish(self) -> None:
        """Bring the spool to its end: the logs it held back, then the last message."""
        self._spool.finish()
        if self.last is not None:
            self._spool.add(self.last["k"], self._last_event)
            self._spool.flush()

    def warn(self, text: str) -> None:
        """A warning of the supervisor's own among the events."""
        self._log(Level.WARNING, self._redactor.redact_text(text), "supervisor")

    def _accept(self, message: JsonObject, line: bytes) -> None:
        kind = message["k"]
        is_last = kind in _LAST_KINDS
        if (is_last and self.last is not None) or (kind == "hello" and self._has_said_hello):
            self._count_malformed(line)
            return
        if kind == "result" and self._redactor.is_told_by(message.get("state")):
            message = _refusal_of_state(message)
            line = _encode(message)
        event = self._event(message, line)
        if is_last:
            self.last, self._last_event = message, event
            return
        self._has_said_hello = self._has_said_hello or kind == "hello"
        self._spool.add(kind, event)

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


def _refusal_of_state(result: JsonObject) -> JsonObject:
    """In place of a result whose state would be kept in the clear; redacted it would be wrong."""
    failure = {
        "type": "StateInvalid",
        "module": "tau",
        "message": "ctx.state holds the value of a secret, and state is kept in the clear: "
        "keep the secret's name, or a hash of it",
        "retry": "never",
        "causes": [],
        "frames": [],
        "hidden_frames": 0,
    }
    return {"k": "failure", "ts": result["ts"], "failure": failure}


def _encode(event: JsonObject) -> bytes:
    return encode_line(event).rstrip(b"\n")


def _clean(line: bytes) -> str:
    """A terminal's line as the reader would see it: after its last carriage return, no colours."""
    text = line.decode("utf-8", "replace").rstrip("\r").rpartition("\r")[2]
    return _TERMINAL.sub("", text)
