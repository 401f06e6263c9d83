"""Takes secrets out of messages: known values in the forms they travel in, and telltale patterns.

Redaction never touches what frames a message (its kind, times, numbers of steps), whatever the
secret is. Known values shorter than four characters are left alone: hiding them would hide
everything else too.
"""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from tau.pipeline.protocol import JsonObject, decode_line, encode_line
from tau.pipeline.secret_forms import MIN_SECRET_CHARS, Needles, forms, in_urls, needles_of, texts
from tau.pipeline.types import EventKind, Level, Severity

REDACTED = "[redacted]"

_MIN_TELLING_CHARS = 8  # what is shorter may stand in honest data by chance

_NAMES = (
    r"(?:password|passwd|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|dsn)"
    r"(?:[_-]?(?:key|value|id|hash|[0-9]))*"
)
_SECRET_NAME = re.compile(rf"{_NAMES}$", re.IGNORECASE)
_ASSIGNMENT = re.compile(
    rf"""(?P<name>{_NAMES}\\*["']?\]?(?:\s*(?:=>|:=|!=|={{1,3}}|:)\s*\\*|(?<=[a-z])\s+(?=["'])))"""
    r"""(?P<value>"(?:[^"\\]|\\.)*(?:\\?"|\Z)|'(?:[^'\\]|\\.)*(?:\\?'|\Z)|[^\s"',;&)\]}]+)""",
    re.IGNORECASE,
)
_OPTION = re.compile(r"(?<!\S)--?(?P<option>[\w-]+)\s+(?P<value>[^\s-]\S*)")
_HARMLESS_VALUE = re.compile(
    r"""(?:str|bytes|int|bool|None|True|False|null|Any|Optional|SecretStr)\b.*"""
    r"""|[A-Za-z_][\w.]*[(\[].*|["']?\[redacted.*|""|''""",
    re.DOTALL,
)
_NEXT_WORD = re.compile(r"\s+['\"]?[A-Za-z]")
_URL_USERINFO = re.compile(r"""(://[^\s/:@"']*:)[^\s/"']*@""")
_AUTHORIZATION = re.compile(
    r"\b([Bb]earer\s+)[\w.~+/=-]{6,}"
    r"|\b([Bb]asic\s+)(?=[a-z]*[A-Z0-9+/=])[A-Za-z0-9+/_-]{8,}={0,2}"
)
_PRIVATE_KEY = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL
)
_KNOWN_KEYS = re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b|\btau_[A-Za-z0-9]+_[\w-]{16,}")

_TRIGGERS = (
    "://", "bearer", "basic", "passw", "pwd", "secret", "token", "key", "dsn", "akia", "asia",
    "tau_",
)  # fmt: skip
"""What every pattern above has in it, in lower case; `key` also stands for PEM blocks."""

_BYTE_TRIGGERS = tuple(trigger.encode("ascii") for trigger in _TRIGGERS)

_STRUCTURE = frozenset(
    {
        "k", "ts", "seq", "level", "source", "step", "parent", "kind", "status", "ms",
        "rows_in", "rows_out", "passed", "severity", "line", "v", "pid", "python", "id",
        "op", "dropped", "bytes", "message", "fields", "logger", "name", "metrics", "error",
        "evidence", "value", "reason", "state", "failure", "args", "version",
    }
)  # fmt: skip
_FAILURE_STRUCTURE = frozenset(
    {
        "type", "module", "message", "code", "retry", "notes", "causes", "frames", "file",
        "line", "function", "source", "locals", "hidden_frames", "raised_in", "step",
        "exit_code", "hint", "details", "source_line", "package", "chain", "path", "fields",
        "field", "reason",
    }
)  # fmt: skip
_WORDS = frozenset(
    [*EventKind, *Level, *Severity, "request", "transform", "step", "success"]
    + ["ctx", "print", "stderr", "logging", "stdout", "raw_stderr", "supervisor"]
)
_WORD_FIELDS = frozenset({"k", "level", "source", "kind", "status", "severity"})
_RETRY = re.compile("same|after_fix|after_wait|human|never")
_ERROR_CODE = re.compile(r"[a-z_]{1,40}\.[a-z_]{1,40}")
_PLACES = frozenset({"line", "hidden_frames", "exit_code"})


class Redactor:
    """Knows the secrets that an attempt was given, and hides them in what it says."""

    def __init__(self) -> None:
        self._texts: set[str] = set()
        self._forms: list[str] = []
        self._telling: list[str] = []
        self._needles = Needles(())
        self._in_urls: re.Pattern[str] | None = None

    def add(self, value: Any) -> None:
        """Learn a secret: a text, or a JSON value, whose texts and numbers then all count."""
        whole, parts = texts(value, names=is_secret_name)
        added = {text for text in whole | parts if len(text) >= MIN_SECRET_CHARS}
        if added <= self._texts:
            return
        self._texts |= added
        known = {form for text in added for form in forms(text, every=text in whole)}
        self._forms = sorted(known.union(self._forms), key=len, reverse=True)
        telling = (text for text in added if len(text) >= _MIN_TELLING_CHARS)
        self._telling += {form for text in telling for form in forms(text, every=text in whole)}
        self._needles = Needles(needles_of(self._forms, self._texts))
        patterns = sorted(filter(None, map(in_urls, self._texts)), key=len, reverse=True)
        self._in_urls = re.compile("|".join(patterns)) if patterns else None

    def is_told_by(self, value: Any) -> bool:
        """Whether a JSON value holds a known secret that is too long to be there by chance."""
        if isinstance(value, dict):
            return any(self.is_told_by(part) for pair in value.items() for part in pair)
        if isinstance(value, list):
            return any(map(self.is_told_by, value))
        if value is None or isinstance(value, bool):
            return False
        text = value if isinstance(value, str) else json.dumps(value)
        return any(form in text for form in self._telling)

    def suspects(self, line: bytes) -> bool:
        """Whether a line may hold something to hide; cheap, and never wrong when it says no.

        The line is ASCII JSON in the escapes that `json.dumps` writes.
        """
        if self._needles.are_in(line):
            return True
        lowered = line.lower()
        return any(trigger in lowered for trigger in _BYTE_TRIGGERS)

    def redact_line(self, line: bytes) -> bytes:
        """One message as a line; one that is no message passes as it is."""
        if not self.suspects(line) or (message := decode_line(line)) is None:
            return line
        return encode_line(self.redact_message(message)).removesuffix(
            b"" if line.endswith(b"\n") else b"\n"
        )

    def redact_message(self, message: Mapping[str, Any]) -> JsonObject:
        """A message of the protocol with its user content cleaned and its frame as it was.

        A result's value and state lose known secrets only: patterns would maim honest data.
        """
        known_only = message.get("k") == EventKind.RESULT
        return {
            key if key in _STRUCTURE else self.redact_text(key): self._field(key, value, known_only)
            for key, value in message.items()
        }

    def redact_failure(self, failure: Mapping[str, Any]) -> JsonObject:
        """A failure as the protocol describes it; its `code` and `retry` stay readable."""
        kept = {
            key: failure[key]
            for key, words in (("code", _ERROR_CODE), ("retry", _RETRY))
            if isinstance(failure.get(key), str) and words.fullmatch(failure[key])
        }
        return self._failure_object(failure) | kept

    def redact_known(self, value: Any) -> Any:
        """Any JSON value without the known secrets; names and patterns do not count."""
        return self._walk(value, self._hide_known, by_name=False)

    def redact_text(self, text: str) -> str:
        """A text without known secrets and without what looks like one."""
        text = self._hide_known(text)
        lowered = text.lower()
        if not any(trigger in lowered for trigger in _TRIGGERS):
            return text
        text = _PRIVATE_KEY.sub(REDACTED, text)
        text = _URL_USERINFO.sub(rf"\1{REDACTED}@", text)
        text = _AUTHORIZATION.sub(lambda m: f"{m[1] or m[2]}{REDACTED}", text)
        text = _ASSIGNMENT.sub(_hide_value, text)
        text = _OPTION.sub(_hide_option, text)
        return _KNOWN_KEYS.sub(REDACTED, text)

    def _field(self, key: str, value: Any, known_only: bool) -> Any:
        if key == "failure" and isinstance(value, dict):
            return self.redact_failure(value)
        if _is_frame(key, value):
            return value
        hide = self._hide_known if known_only else self.redact_text
        return self._walk(value, hide, by_name=not known_only)

    def _failure_object(self, failure: Mapping[str, Any]) -> JsonObject:
        return {
            key if key in _FAILURE_STRUCTURE else self.redact_text(key): (
                value
                if key in _PLACES and isinstance(value, int)
                else self._failure_part(key, value)
            )
            for key, value in failure.items()
        }

    def _failure_part(self, key: str, value: Any) -> Any:
        if key == "locals":
            return self._walk(value, self.redact_text, by_name=True)
        if isinstance(value, dict):
            return self._failure_object(value)
        if isinstance(value, list):
            return [self._failure_part(key, item) for item in value]
        return self._walk(value, self.redact_text, by_name=False)

    def _walk(self, value: Any, hide: Callable[[str], str], *, by_name: bool) -> Any:
        if isinstance(value, str):
            return hide(value)
        if isinstance(value, dict):
            return {
                hide(key): (
                    REDACTED
                    if by_name and _holds_secret(key, item)
                    else self._walk(item, hide, by_name=by_name)
                )
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [self._walk(item, hide, by_name=by_name) for item in value]
        if value is None or isinstance(value, bool):
            return value
        shown = json.dumps(value)
        return value if self._hide_known(shown) == shown else REDACTED

    def _hide_known(self, text: str) -> str:
        """The longest forms first. A pattern of them all would be slower by far."""
        for form in self._forms:
            if form in text:
                text = text.replace(form, REDACTED)
        if self._in_urls is not None and ("%" in text or "+" in text):
            text = self._in_urls.sub(REDACTED, text)
        return text


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name usually holds a secret."""
    return bool(_SECRET_NAME.search(name))


def _holds_secret(key: str, value: Any) -> bool:
    return isinstance(value, str) and value != "" and is_secret_name(key)


def _is_frame(key: str, value: Any) -> bool:
    if isinstance(value, str):
        return key in _WORD_FIELDS and value in _WORDS
    if key in ("value", "name", "message", "reason", "error"):
        return False
    return key in _STRUCTURE and not isinstance(value, (dict, list))


def _hide_value(match: re.Match[str]) -> str:
    value = match["value"]
    if _HARMLESS_VALUE.fullmatch(value) or _is_prose(match):
        return match[0]
    quote_mark = value[0] if value[0] in "\"'" and len(value) > 1 and value[-1] == value[0] else ""
    return f"{match['name']}{quote_mark}{REDACTED}{quote_mark}"


def _is_prose(match: re.Match[str]) -> bool:
    """Whether a sentence goes on after a colon, as in `secret: no such name is known`."""
    is_word = match["name"].endswith(" ") and match["value"].isalpha()
    return is_word and bool(_NEXT_WORD.match(match.string, match.end()))


def _hide_option(match: re.Match[str]) -> str:
    if not is_secret_name(match["option"]):
        return match[0]
    return match[0].removesuffix(match["value"]) + REDACTED
