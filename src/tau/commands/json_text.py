"""JSON as text that no terminal acts upon: control and direction-changing characters escaped."""

import json
import re
from collections.abc import Mapping
from typing import Any

UNSAFE = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""What `json.dumps` leaves as it is; below U+0020 it escapes everything by itself."""


def to_json(
    document: Mapping[str, Any] | list[Any], *, indent: int | None = None, ascii_only: bool = False
) -> str:
    """The document as JSON text, compact unless indented."""
    separators = (",", ":") if indent is None else None
    text = json.dumps(document, indent=indent, separators=separators, ensure_ascii=ascii_only)
    return UNSAFE.sub(escape, text)


def escape(match: re.Match[str]) -> str:
    """The character as JSON writes it."""
    return f"\\u{ord(match[0]):04x}"
