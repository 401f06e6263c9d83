"""The forms in which a secret travels, and how to tell fast that a line holds none of them."""

import base64
import json
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from html import escape
from typing import Any
from urllib.parse import quote, quote_plus, unquote, urlsplit

MIN_SECRET_CHARS = 4

MIN_LINE_CHARS = 8  # of a secret with several lines, each longer line counts as a secret
MAX_MIXED_CHARS = 256  # of what is longer, not every mixture of escapes in a URL is looked for
_WRAPPED = (57, 48)  # bytes in a line of base64 as MIME and PEM wrap it
_FEW, _GRAM = 32, 6


def texts(value: Any, *, names: Callable[[str], bool]) -> tuple[set[str], set[str]]:
    """What counts as a secret in itself, and the parts of it that do too.

    The parts are its lines where it has several, a URL's password, and what the names of a JSON
    document tell, which `names` knows.
    """
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        found = [texts(item, names=names) for item in value]
        return {t for whole, _ in found for t in whole}, {t for _, parts in found for t in parts}
    if value is None or isinstance(value, bool):
        return set(), set()
    text = value if isinstance(value, str) else json.dumps(value)
    return {text, text.strip()}, {*_lines(text), *_parts(text, names)}


def _lines(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines()]
    if len(lines) > 1:
        yield from (line for line in lines if len(line) >= MIN_LINE_CHARS)


def _parts(text: str, names: Callable[[str], bool]) -> Iterator[str]:
    if "://" in text and "@" in text:
        try:
            password = urlsplit(text.strip()).password or ""
        except ValueError:
            password = ""
        yield from {password, unquote(password)}
    if text.lstrip().startswith("{"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            return
        for name, value in document.items():
            if isinstance(value, str) and names(name):
                yield from (value, *_lines(value))


class Needles:
    """Tells whether a line holds any of many; it may say yes where there is none."""

    def __init__(self, needles: Collection[bytes]) -> None:
        is_long = len(needles) > _FEW
        # Of many each is looked for by its first bytes, all with one look at each place.
        self._grams = frozenset(n[:_GRAM] for n in needles if is_long and len(n) >= _GRAM)
        self._each = tuple(n for n in needles if not is_long or len(n) < _GRAM)

    def are_in(self, line: bytes) -> bool:
        if any(needle in line for needle in self._each):
            return True
        grams = self._grams
        return bool(grams) and any(
            line[at : at + _GRAM] in grams for at in range(len(line) - _GRAM + 1)
        )


def needles_of(known: Iterable[str], secrets: Iterable[str]) -> set[bytes]:
    """What a line of JSON holds if it holds one of the forms, or a secret in a URL."""
    # What has no stretch that every encoding leaves as it is shows by an escape.
    escapes = set() if all(map(_has_stretch, secrets)) else {b"%"}
    return {_needle(form) for form in known} | escapes


def _needle(form: str) -> bytes:
    """The longest stretch that most forms share."""
    stretch = max(re.findall("[A-Za-z0-9]+", form), key=len, default="")
    if len(stretch) < MIN_SECRET_CHARS:
        stretch = json.dumps(form)[1:-1]
    return stretch.encode("ascii")


def _has_stretch(text: str) -> bool:
    """Whether the text can be looked for by what no encoding of URLs changes."""
    return re.search(f"[A-Za-z0-9]{{{MIN_SECRET_CHARS}}}", text) is not None


def in_urls(text: str) -> str | None:
    """A pattern for a text in a URL: each library escapes other characters, in either case."""
    if len(text) > MAX_MIXED_CHARS or (text.isascii() and text.isalnum()):
        return None
    pieces = []
    for char in text:
        data = char.encode("utf-8", "surrogatepass")
        escaped = "".join(f"%(?i:{byte:02X})" for byte in data)
        choices = [re.escape(char), escaped] + ([r"\+"] if char == " " else [])
        is_plain = char.isascii() and char.isalnum()
        pieces.append(char if is_plain else f"(?:{'|'.join(choices)})")
    return "".join(pieces)


def forms(text: str, *, every: bool) -> Iterator[str]:
    """The forms of a secret; of one that is only a part of another, the likely ones."""
    data = text.encode("utf-8", "surrogatepass")
    once = json.dumps(text)[1:-1]
    yield from (text, once, json.dumps(once)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    yield from (repr(text)[1:-1], repr(data)[2:-1], escape(text), data.hex())
    for quoted in (quote(data), quote(data, safe=""), quote_plus(data)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), quoted)
    for encoded in _in_base64(data, wrapped=every):
        yield encoded
        yield encoded.replace("+", "-").replace("/", "_")
    if every:
        yield data.hex().upper()
        yield from (re.sub("..", r"%\g<0>", digits) for digits in (data.hex(), data.hex().upper()))


def _in_base64(data: bytes, *, wrapped: bool) -> Iterator[str]:
    """What every base64 of a text with these bytes in it holds, at each of three places."""
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + data).decode("ascii")
        yield encoded[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]
    for width in _WRAPPED if wrapped else ():
        if len(data) > width:
            lines = (data[at : at + width] for at in range(0, len(data), width))
            yield from (base64.b64encode(line).decode("ascii") for line in lines if len(line) > 8)
