"""`--fields a,b`: of what a command answers, only the fields that were asked for.

Of a list those of its rows, of anything else those of the document. A list keeps what stands
beside its rows, and a document the notes on what was cut from the fields that are kept.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from tau.commands.output import Answer, Document, Outcome, Stream
from tau.commands.spec import Command, Output
from tau.errors import UsageError

_WHOLE = ("end", "error")
"""The types of a stream's last line, which tells how it ended."""


def need_all(command: Command, names: Iterable[str]) -> bool:
    """Whether a field is asked for that the short answer does not have."""
    shown = command.output.row_keys if command.output.rows else command.output.keys
    return not set(names) <= set(shown)


def select(command: Command, answer: Answer, names: Sequence[str]) -> Answer:
    """The answer with these fields alone. Raises UsageError for one that there is not."""
    if isinstance(answer, Outcome):
        return replace(answer, document=_of_document(command.output, answer.document, names))
    if isinstance(answer, Stream):
        _check(names, command.output.row_keys)
        return Stream(_of_lines(answer.lines, names))
    return answer and _of_document(command.output, answer, names)


def _of_document(output: Output, document: Document, names: Sequence[str]) -> Document:
    rows = document.get(output.rows) if output.rows else None
    if output.rows and isinstance(rows, list):
        present = [key for row in rows for key in row]
        _check(names, [*output.row_keys, *output.full_keys, *present])
        return {**document, output.rows: [_pick(row, names) for row in rows]}
    _check(names, [*output.keys, *output.full_keys, *document])
    cuts = [cut for cut in document.get("truncated", ()) if _is_of(str(cut.get("path")), names)]
    return _pick(document, names) | ({"truncated": cuts} if cuts else {})


def _of_lines(lines: Iterable[Document], names: Sequence[str]) -> Iterator[Document]:
    for line in lines:
        yield line if line.get("type") in _WHOLE else _pick(line, ["type", *names])


def _pick(document: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: document[name] for name in names if name in document}


def _is_of(path: str, names: Sequence[str]) -> bool:
    return path.replace("[", ".").partition(".")[0] in names


def _check(names: Iterable[str], known: Iterable[str]) -> None:
    there = list(dict.fromkeys(known))
    unknown = [name for name in names if name not in there]
    if not unknown:
        return
    from difflib import get_close_matches

    near = get_close_matches(unknown[0], there, n=1)
    raise UsageError(
        f"There is no field {', '.join(unknown)}.",
        hint=f"Did you mean {near[0]}?" if near else None,
        fields=there,
    )
