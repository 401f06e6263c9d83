"""The one printer: documents, errors and streams to stdout, notes to stderr.

JSON is compact where stdout is piped, indented and coloured on a terminal; `table` is for people.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TextIO

from tau.commands.json_text import to_json
from tau.errors import ConfigurationError, TauError

Document = Mapping[str, Any]
Format = Literal["json", "table"]


@dataclass(frozen=True)
class Outcome:
    """A handler's answer where the exit code is not 0."""

    document: Document
    exit_code: int = 0


@dataclass(frozen=True)
class Stream:
    """A handler's answer in lines; each is printed the moment it comes."""

    lines: Iterable[Document]


Answer = Document | Outcome | Stream | None
"""What a handler answers; None where there is nothing to print."""


def requested_format(value: str | None, environ: Mapping[str, str] = os.environ) -> Format:
    """The format of `--output`, else of TAU_OUTPUT, else json. Raises ConfigurationError."""
    chosen = value or environ.get("TAU_OUTPUT") or "json"
    if chosen == "json":
        return "json"
    if chosen == "table":
        return "table"
    raise ConfigurationError(
        f"TAU_OUTPUT cannot be {chosen!r}.", hint="Set it to json or table, or unset it."
    )


def emit(document: Document, *, form: Format = "json") -> None:
    """Print one document."""
    out = sys.stdout
    if out is None:
        return
    if form == "table":
        from tau.commands.tables import render

        _write(out, render(document, color=is_colored(out), width=_width(out)))
    elif out.isatty():
        _write(out, _on_terminal(document, out))
    else:
        _write(out, to_json(document) + "\n", escaped=to_json(document, ascii_only=True) + "\n")


def emit_line(document: Document, *, form: Format = "json") -> None:
    """Print one line of a stream."""
    out = sys.stdout
    if out is None:
        return
    if form == "table":
        from tau.commands.tables import render_line

        _write(out, render_line(document))
    else:
        _write(out, to_json(document) + "\n", escaped=to_json(document, ascii_only=True) + "\n")


def error_document(error: TauError) -> dict[str, Any]:
    """`{"error": {…}}`."""
    return {"error": error.to_dict()}


def note(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        with contextlib.suppress(OSError):  # nobody is left to be told
            _write(sys.stderr, text + "\n")


def is_colored(stream: TextIO) -> bool:
    """Whether colour is wanted and can be shown there."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    return stream.isatty() and not plain


def _on_terminal(document: Document, out: TextIO) -> str:
    ascii_only = not _can_encode(to_json(document), out)
    text = to_json(document, indent=2, ascii_only=ascii_only)
    if not is_colored(out):
        return text + "\n"
    from tau.commands.tables import colored_json

    return colored_json(text)


def _width(out: TextIO) -> int | None:
    if not out.isatty():
        return None
    try:
        return os.get_terminal_size(out.fileno()).columns or 80
    except OSError:
        return 80


def _can_encode(text: str, out: TextIO) -> bool:
    try:
        text.encode(out.encoding or "ascii")
    except UnicodeEncodeError:
        return False
    return True


def _write(out: TextIO, text: str, *, escaped: str | None = None) -> None:
    if not _can_encode(text, out):
        encoding = out.encoding or "ascii"
        text = escaped or text.encode(encoding, "backslashreplace").decode(encoding)
    out.write(text)
    out.flush()
