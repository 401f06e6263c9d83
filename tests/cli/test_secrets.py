"""Where a secret's value comes from, and that a mistake does not show it."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.client.standin import StandIn

from tau.cli.main import HANDLERS
from tau.cli.secrets import without_line_break
from tau.commands.build import execute

Stdin = Callable[[bytes], Path]
VALUE = "hunter22"


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, Any]:
    code = execute("tau", words, handlers=HANDLERS)
    return code, json.loads(capsys.readouterr().out)


@pytest.fixture
def stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], Path]]:
    """Makes stdin a file with this content, and answers its path."""
    path = tmp_path / "value"
    with contextlib.ExitStack() as opened:

        def give(content: bytes) -> Path:
            path.write_bytes(content)
            monkeypatch.setattr("sys.stdin", opened.enter_context(path.open(encoding="utf-8")))
            return path

        yield give


@pytest.mark.parametrize(
    ("text", "value"),
    [("a\n", "a"), ("a\r\n", "a"), ("a", "a"), ("a\n\n", "a\n\n"), ("a\nb\n", "a\nb\n"),
     (" a ", " a ")],
)  # fmt: skip
def test_a_single_lines_break_is_not_part_of_it(text: str, value: str) -> None:
    assert without_line_break(text) == value


@pytest.mark.parametrize("source", ["stdin", "file", "env"])
def test_a_value_is_sent_in_the_body(
    capsys: pytest.CaptureFixture[str],
    daemon: StandIn,
    stdin: Stdin,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
) -> None:
    file = stdin(VALUE.encode() + b"\n")
    monkeypatch.setenv("THERE", VALUE)
    options = {"stdin": [], "file": ["--from-file", str(file)], "env": ["--from-env", "THERE"]}
    code, document = call(capsys, "secret", "set", "A", *options[source], "--reason", "why")
    assert (code, document["name"]) == (0, "A")
    assert VALUE not in json.dumps(document)
    (seen,) = daemon.seen
    assert (seen.method, seen.path) == ("PUT", "/api/v1/secrets/A")
    assert seen.body == {"value": VALUE, "reason": "why"}


@pytest.mark.parametrize(
    ("content", "code", "exit_code"),
    [(b"", "usage.missing_argument", 2), (b"\xff\xfe", "secret.invalid", 3),
     (b"x" * 70_000, "secret.invalid", 3)],
)  # fmt: skip
def test_what_is_no_value(
    capsys: pytest.CaptureFixture[str],
    daemon: StandIn,
    stdin: Stdin,
    content: bytes,
    code: str,
    exit_code: int,
) -> None:
    stdin(content)
    found, document = call(capsys, "secret", "set", "A")
    assert (found, document["error"]["code"]) == (exit_code, code)
    assert daemon.seen == []


@pytest.mark.parametrize(
    "line",
    [
        f"secret set A {VALUE}", f"secret set A --value {VALUE}", f"secret set A --value={VALUE}",
        f"secret set A --from-fil={VALUE}", f"secret put A {VALUE}", f"secrets set A {VALUE}",
        f"secrte set A {VALUE}", f"secret rotate {VALUE}", f"secret delete A {VALUE}",
        f"secret set {VALUE} --reason", f"secret set A --from-env X --from-file {VALUE}",
    ],
)  # fmt: skip
def test_a_value_in_the_wrong_place_is_not_repeated(
    capsys: pytest.CaptureFixture[str], daemon: StandIn, line: str
) -> None:
    code, document = call(capsys, *line.split())
    assert code == 2, document
    assert VALUE not in json.dumps(document)
