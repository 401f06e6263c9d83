"""What `tau inspect`, `logs` and `errors` do: they read, and exit 0 whatever they show."""

from collections.abc import Iterator, Mapping
from typing import Any

from tau.cli.references import check_owner, run_reference
from tau.client.client import Client
from tau.commands.output import Document, Stream
from tau.commands.traces import LEVELS
from tau.errors import UsageError


def inspect(
    *, target: str | None, last_run: bool, run: str | None, full: bool, env: str | None
) -> Document:
    reference = run_reference(target, run=run, last_run=last_run)
    with Client(env=env) as client:
        check_owner(client, target, run=run)
        return client.inspect(reference, full=full)


def logs(
    *, target: str | None, run: str | None, follow: bool, level: str | None, grep: str | None,
    limit: int | None, cursor: str | None, env: str | None,
) -> Document | Stream:  # fmt: skip
    reference = run_reference(target, run=run)
    if follow:
        if limit is not None or cursor is not None:
            raise UsageError("--follow prints every line: leave --limit and --cursor out.")
        return Stream(_follow(target, run=run, level=level, grep=grep, env=env))
    with Client(env=env) as client:
        check_owner(client, target, run=run)
        return client.logs(reference, level=level, grep=grep, limit=limit or 100, cursor=cursor)


def errors(*, limit: int, since: str | None, full: bool, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.errors(since=since, limit=limit, full=full)


def _follow(
    target: str | None, *, run: str | None, level: str | None, grep: str | None, env: str | None
) -> Iterator[Document]:
    with Client(env=env) as client:
        check_owner(client, target, run=run)
        for line in client.follow(run_reference(target, run=run)):
            if line["type"] != "log" or _is_wanted(line, level=level, grep=grep):
                yield line


def _is_wanted(line: Mapping[str, Any], *, level: str | None, grep: str | None) -> bool:
    if level and _rank(str(line.get("level"))) < _rank(level):
        return False
    return grep is None or grep.casefold() in str(line.get("message", "")).casefold()


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("info")
