"""The user's own frames of a traceback: source lines, and the shapes of local variables."""

import linecache
from itertools import islice
from types import FrameType, ModuleType, TracebackType
from typing import Any, NamedTuple

from tau.pipeline.protocol import JsonObject
from tau.pipeline.shapes import REDACTED, hints_at_secret, shape, type_name
from tau.pipeline.text import cut_middle, safe_text

FIRST_FRAMES, LAST_FRAMES = 4, 8
LINES_AROUND = 3
MAX_LINE_CHARS = 200
MAX_LOCALS = 20


class _Place(NamedTuple):
    frame: FrameType
    line: int


def frames_of(error: BaseException, file_name: str) -> JsonObject:
    """`frames`, `hidden_frames` and, where a library raised it, `raised_in`.

    Frames before the first one of the file are Tau's and asyncio's way to it: not counted.
    """
    places = _places(error.__traceback__)
    first = next((i for i, place in enumerate(places) if _is_of(place, file_name)), len(places))
    own = [place for place in places if _is_of(place, file_name)]
    library = [p for p in places[first:] if not _is_of(p, file_name) and not _is_tau(p)]
    document: JsonObject = {
        "frames": [_describe(place) for place in _bounded(own)],
        "hidden_frames": len(library),
    }
    deepest = places[-1] if places else None
    if deepest and not _is_of(deepest, file_name) and not _is_tau(deepest):
        document["raised_in"] = {
            "module": _module_of(deepest),
            "function": deepest.frame.f_code.co_qualname,
            "line": deepest.line,
        }
    return document


def last_line_in(error: BaseException, file_name: str) -> int | None:
    """The line of the file where the deepest of its frames stood."""
    lines = [p.line for p in _places(error.__traceback__) if _is_of(p, file_name)]
    return lines[-1] if lines else None


def files_of(error: BaseException) -> list[JsonObject]:
    """The file and line of each frame but the import machinery's and Tau's, outermost first."""
    return [
        {"file": place.frame.f_code.co_filename, "line": place.line, "module": _module_of(place)}
        for place in _places(error.__traceback__)
        if not _is_tau(place) and not place.frame.f_code.co_filename.startswith("<frozen")
    ]


def source_line(file_name: str, line: int) -> str:
    """One line of a file's source, without its margin."""
    return _line(file_name, line).strip()


def _places(traceback: TracebackType | None) -> list[_Place]:
    places: list[_Place] = []
    while traceback is not None:
        places.append(_Place(traceback.tb_frame, traceback.tb_lineno))
        traceback = traceback.tb_next
    return places


def _is_of(place: _Place, file_name: str) -> bool:
    return place.frame.f_code.co_filename == file_name


def _is_tau(place: _Place) -> bool:
    return _module_of(place).partition(".")[0] == "tau"


def _module_of(place: _Place) -> str:
    name = place.frame.f_globals.get("__name__")
    return name if isinstance(name, str) else ""


def _bounded(places: list[_Place]) -> list[_Place]:
    if len(places) <= FIRST_FRAMES + LAST_FRAMES:
        return places
    return places[:FIRST_FRAMES] + places[-LAST_FRAMES:]


def _describe(place: _Place) -> JsonObject:
    code = place.frame.f_code
    around = range(max(place.line - LINES_AROUND, 1), place.line + LINES_AROUND + 1)
    texts = [(number, _line(code.co_filename, number)) for number in around]
    while texts and not texts[-1][1] and texts[-1][0] > place.line:
        texts.pop()
    return {
        "file": code.co_filename,
        "line": place.line,
        "function": code.co_qualname,
        "code": source_line(code.co_filename, place.line),
        "source": [f"{n}{'>' if n == place.line else ' '} {text}".rstrip() for n, text in texts],
        "locals": _locals(place.frame),
    }


def _line(file_name: str, line: int) -> str:
    text = linecache.getline(file_name, line).rstrip()
    return safe_text(cut_middle(text, MAX_LINE_CHARS))


def _locals(frame: FrameType) -> dict[str, str]:
    shown = (
        (name, value)
        for name, value in list(frame.f_locals.items())
        if _is_variable(name, value, is_module=frame.f_code.co_name == "<module>")
    )
    return {
        safe_text(name): REDACTED if hints_at_secret(name) else safe_text(shape(value))
        for name, value in islice(shown, MAX_LOCALS)
    }


def _is_variable(name: str, value: Any, *, is_module: bool) -> bool:
    if not isinstance(name, str) or name.startswith(("__", ".")):
        return False  # ".0" is what CPython calls the iterator of a comprehension
    if not is_module:
        return True
    kind = type(value)
    return kind is not ModuleType and type_name(value) not in ("function", "type", "ABCMeta")
