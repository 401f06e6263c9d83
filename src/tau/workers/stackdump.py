"""Where a process hung: the stacks it writes at a signal, and the user's frames among them."""

import os
import re
import sys
from pathlib import Path
from typing import Any

from tau.pipeline.protocol import JsonObject
from tau.pipeline.text import cut_middle

_FRAME = re.compile(r'  File "(?P<file>.*)", line (?P<line>\d+) in (?P<function>.+)')
_HEADER = re.compile(r"(?:Current thread|Thread|Task) .*\(most recent call first\):")
_LINES_AROUND = 3
_MAX_FRAMES = 12
_MAX_LINE_CHARS = 200


def write_tasks(descriptor: int) -> None:
    """Write the stacks of the running loop's tasks, in the form that faulthandler has.

    faulthandler sees threads alone, and a task that waits is on the stack of none. Called in a
    signal handler of the main thread.
    """
    asyncio = sys.modules.get("asyncio")
    if asyncio is None:
        return
    try:
        tasks = asyncio.all_tasks()
    except RuntimeError:  # no loop is running
        return
    for number, task in enumerate(tasks):
        frames = "".join(reversed(list(_awaited(task.get_coro()))))
        text = f"Task {number} (most recent call first):\n{frames}"
        os.write(descriptor, text.encode("ascii", "backslashreplace"))


def _awaited(coroutine: Any) -> list[str]:
    """The frames of a coroutine and of what it waits for, outermost first."""
    lines: list[str] = []
    while coroutine is not None and len(lines) < 100:
        frame = getattr(coroutine, "cr_frame", None) or getattr(coroutine, "gi_frame", None)
        if frame is None:
            break
        code = frame.f_code
        lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}\n')
        coroutine = getattr(coroutine, "cr_await", None) or getattr(coroutine, "gi_yieldfrom", None)
    return lines


def user_frames(dump: str, *, file_name: str, source_path: Path) -> JsonObject:
    """`frames` of the user's file as a failure has them, and how many of others are hidden.

    Of several threads and tasks it takes the one with most frames of the file.
    """
    wanted = file_name.encode("ascii", "backslashreplace").decode("ascii")
    best: list[re.Match[str]] = []
    best_own = 0
    for stack in _stacks(dump):
        own = sum(frame["file"] == wanted for frame in stack)
        if own > best_own:
            best, best_own = stack, own
    lines = _source_lines(source_path) if best else []
    own_frames = [frame for frame in reversed(best) if frame["file"] == wanted]
    return {
        "frames": [_describe(frame, file_name, lines) for frame in own_frames[-_MAX_FRAMES:]],
        "hidden_frames": next(
            (depth for depth, frame in enumerate(best) if frame["file"] == wanted), 0
        ),
    }


def _stacks(dump: str) -> list[list[re.Match[str]]]:
    stacks: list[list[re.Match[str]]] = []
    for line in dump.splitlines():
        if _HEADER.match(line):
            stacks.append([])
        elif stacks and (frame := _FRAME.fullmatch(line)):
            stacks[-1].append(frame)
    return stacks


def _source_lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _describe(frame: re.Match[str], file_name: str, lines: list[str]) -> JsonObject:
    number = int(frame["line"])
    around = range(max(number - _LINES_AROUND, 1), number + _LINES_AROUND + 1)
    shown = [(n, _line(lines, n)) for n in around if n <= len(lines)]
    return {
        "file": file_name,
        "line": number,
        "function": frame["function"],
        "code": _line(lines, number).strip(),
        "source": [f"{n}{'>' if n == number else ' '} {text}".rstrip() for n, text in shown],
        "locals": {},
    }


def _line(lines: list[str], number: int) -> str:
    return cut_middle(lines[number - 1].rstrip(), _MAX_LINE_CHARS) if number <= len(lines) else ""
