"""Documents for people, drawn by rich; imported only where a table or colour is asked for."""

import io
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.table import Table
from rich.text import Text

from tau.commands.json_text import UNSAFE, escape, to_json

_UNCUT = frozenset({"run", "id", "name", "pipeline", "target", "fingerprint", "get", "cursor"})
_PIPED_WIDTH = 100_000
_MIN_COLUMN = 8
_DIFF_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def render(document: Mapping[str, Any], *, color: bool, width: int | None) -> str:
    """The document as text: plain facts first, then a table for each list of objects."""
    console = _console(color=color, width=width)
    _draw(console, document, title="")
    return _text(console)


def render_line(line: Mapping[str, Any]) -> str:
    """One line of a stream as a line of text."""
    at, kind = str(line.get("at", "")), str(line.get("type", ""))
    rest = {k: v for k, v in line.items() if k not in ("at", "type", "seq", "attempt")}
    if kind == "log":
        words = [str(rest.pop("level", "")), str(rest.pop("message", ""))]
        rest = {k: rest[k] for k in ("step", "fields") if k in rest}
    else:
        words = [kind]
    facts = [f"{key}={_cell(value)}" for key, value in rest.items()]
    return _safe(" ".join(word for word in (at, *words, *facts) if word)) + "\n"


def colored_json(text: str) -> str:
    """Indented JSON with the colours of rich."""
    console = _console(color=True, width=_PIPED_WIDTH)
    console.print(JSONHighlighter()(Text(text)), soft_wrap=True)
    return _text(console)


def _console(*, color: bool, width: int | None) -> Console:
    return Console(
        file=io.StringIO(), force_terminal=color, no_color=not color, width=width or _PIPED_WIDTH,
        color_system="standard" if color else None, legacy_windows=False,
    )  # fmt: skip


def _text(console: Console) -> str:
    file = console.file
    return file.getvalue() if isinstance(file, io.StringIO) else ""


def _draw(console: Console, document: Mapping[str, Any], *, title: str) -> None:
    tables = {k: rows for k, v in document.items() if (rows := _rows_of(v))}
    rest = {k: v for k, v in document.items() if k not in tables}
    nested = {k: v for k, v in rest.items() if isinstance(v, Mapping) and v}
    blocks = {k: v for k, v in document.items() if isinstance(v, str) and "\n" in v}
    apart = {*tables, *nested, *blocks}
    _facts(console, {k: v for k, v in document.items() if k not in apart}, title=title)
    for name, rows in tables.items():
        _rows(console, rows, title=f"{title}{name}")
    for name, facts in nested.items():
        _draw(console, facts, title=f"{title}{name}.")
    for name, block in blocks.items():
        text = _diff(block) if name == "diff" else Text(_safe(block))
        console.print(text, soft_wrap=True)


def _diff(block: str) -> Text:
    lines = [Text(_safe(line), style=_DIFF_STYLES.get(line[:1], "")) for line in block.split("\n")]
    return Text("\n").join(lines)


def _facts(console: Console, facts: Mapping[str, Any], *, title: str) -> None:
    shown = {key: value for key, value in facts.items() if value not in (None, "", [], {})}
    for key, value in shown.items():
        label = Text(_safe(f"{title}{key}: "), style="bold")
        console.print(label.append(_safe(_cell(value)), style="default"), soft_wrap=True)


def _rows(console: Console, rows: list[dict[str, Any]], *, title: str) -> None:
    columns = list(dict.fromkeys(key for row in rows for key in row))
    table = Table(title=_safe(title), title_justify="left", box=None, pad_edge=False)
    for column in columns:
        uncut = column in _UNCUT
        table.add_column(_safe(column), no_wrap=uncut, overflow="ignore" if uncut else "fold",
                         min_width=_least_width(rows, column))  # fmt: skip
    for row in rows:
        table.add_row(*(Text(_safe(_cell(row.get(column)))) for column in columns))
    # A table that is too wide for its ids is left to the terminal to wrap: rich would cut them.
    least = sum(_least_width(rows, column) for column in columns) + len(columns)
    table.width = least if least > console.width else None
    console.print(table, crop=False)


def _least_width(rows: Iterable[Mapping[str, Any]], column: str) -> int:
    widest = _widest(rows, column)
    return widest if column in _UNCUT else min(widest, _MIN_COLUMN)


def _widest(rows: Iterable[Mapping[str, Any]], column: str) -> int:
    return max(len(column), *(len(_safe(_cell(row.get(column)))) for row in rows))


def _rows_of(value: Any) -> list[dict[str, Any]]:
    """The rows of what is a table: a list of objects, or an object of objects; else none."""
    if isinstance(value, list):
        return value if all(isinstance(row, dict) for row in value) else []
    if not isinstance(value, dict) or len(value) < 2:
        return []
    rows = [{"name": key, **row} for key, row in value.items() if isinstance(row, dict)]
    return rows if len(rows) == len(value) else []


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, dict):
        return " ".join(f"{key}={_cell(inner)}" for key, inner in value.items())
    return to_json(value) if isinstance(value, list) else str(value)


def _safe(text: str) -> str:
    shown = "".join(c if c >= " " or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)
    return UNSAFE.sub(escape, shown)
