"""`--fields`: rows of a list, keys of a document, lines of a stream; and what there is not."""

import json
from typing import Any

import pytest

from tau.commands import registry
from tau.commands.build import execute
from tau.commands.output import Outcome, Stream

ROW = {"run": "a#1", "id": "01", "status": "failed", "version": 1}
PAGE = {"runs": [ROW, {"run": "a#2"}], "total": 2, "next_cursor": "c", "next": ["tau runs"]}


def ask(
    capsys: pytest.CaptureFixture[str], answer: Any, *argv: str
) -> tuple[int, list[Any], dict[str, Any]]:
    """The exit code, the lines printed, and what the handler was called with."""
    called: dict[str, Any] = {}

    def handler(**words: Any) -> Any:
        called.update(words)
        return answer

    handlers = {c.name: handler for c in registry.of_program("tau")}
    code = execute("tau", argv, handlers=handlers)
    return code, [json.loads(line) for line in capsys.readouterr().out.splitlines()], called


def test_of_a_list_the_rows_are_cut_down(capsys: pytest.CaptureFixture[str]) -> None:
    code, [document], _ = ask(capsys, PAGE, "runs", "--fields", "status, run,status")
    assert code == 0
    assert document == PAGE | {"runs": [{"status": "failed", "run": "a#1"}, {"run": "a#2"}]}
    assert list(document["runs"][0]) == ["status", "run"]


def test_of_anything_else_the_document_is(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"name": "a", "version": 2, "params": {"x": 1}, "next": ["tau run a"]}
    _, [document], _ = ask(capsys, answer, "show", "a", "--fields", "params,timeout,name")
    assert document == {"params": {"x": 1}, "name": "a"}


def test_what_was_cut_from_a_kept_field_is_still_said(capsys: pytest.CaptureFixture[str]) -> None:
    cuts = [{"path": "steps[].name"}, {"path": "params.x"}, {"path": "result"}]
    answer = {"run": "a#1", "steps": [], "result": 1, "truncated": cuts}
    _, [document], _ = ask(capsys, answer, "inspect", "a", "--fields", "result,steps")
    assert document == {"result": 1, "steps": [], "truncated": [cuts[0], cuts[2]]}
    _, [document], _ = ask(capsys, answer, "inspect", "a", "--fields", "run")
    assert document == {"run": "a#1"}


def test_the_exit_code_stays(capsys: pytest.CaptureFixture[str]) -> None:
    code, [document], _ = ask(capsys, Outcome(ROW, 4), "wait", "a#1", "--fields", "status")
    assert (code, document) == (4, {"status": "failed"})
    both = Outcome({"runs": [ROW, ROW]}, 12)
    code, [document], _ = ask(capsys, both, "wait", "a#1", "b#1", "--fields", "status")
    assert (code, document) == (12, {"runs": [{"status": "failed"}] * 2})


def test_of_a_stream_the_lines_are_but_not_the_last(capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        {"type": "log", "at": "T", "message": "m", "level": "info"},
        {"type": "step", "name": "s", "at": "T"},
        {"type": "end", "run": "a#1", "status": "failed"},
    ]
    _, shown, _ = ask(capsys, Stream(lines), "logs", "a", "--follow", "--fields", "message,at")
    assert shown == [{"type": "log", "message": "m", "at": "T"}, {"type": "step", "at": "T"},
                     lines[2]]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "answer"),
    [
        (["runs", "--fields", "run,stauts"], PAGE),
        (["runs", "--fields", "stauts"], {"runs": [], "total": 0}),
        (["inspect", "a", "--fields", "stauts"], ROW),
        (["wait", "a#1", "--fields", "stauts"], Outcome(ROW, 4)),
    ],
)
def test_a_field_that_there_is_not(
    capsys: pytest.CaptureFixture[str], argv: list[str], answer: Any
) -> None:
    code, [document], _ = ask(capsys, answer, *argv)
    error = document["error"]
    assert (code, error["code"], error["hint"]) == (2, "usage.invalid", "Did you mean status?")
    assert {"run", "status"} <= set(error["fields"])
    assert error["next"] == [f"tau schema {argv[0]}"]


def test_a_field_that_no_line_of_a_stream_has(capsys: pytest.CaptureFixture[str]) -> None:
    answer = Stream([{"type": "log", "message": "m"}])
    code, [document], _ = ask(capsys, answer, "logs", "a", "--follow", "--fields", "mesage")
    assert (code, document["error"]["hint"]) == (2, "Did you mean message?")


def test_a_field_of_a_newer_daemon_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    answer = {"runs": [{"run": "a#1", "cost": 3}], "total": 1}
    _, [document], _ = ask(capsys, answer, "runs", "--fields", "cost")
    assert document["runs"] == [{"cost": 3}]


@pytest.mark.parametrize(
    ("fields", "full"), [("run,status", False), ("run,params", True), ("error", False)]
)
def test_a_field_of_the_full_answer_asks_for_it(
    capsys: pytest.CaptureFixture[str], fields: str, full: bool
) -> None:
    answer = {"runs": [ROW | {"params": {}, "error": "e"}], "total": 1}
    code, _, called = ask(capsys, answer, "runs", "--fields", fields)
    assert (code, called["full"]) == (0, full)
    assert "fields" not in called


def test_an_error_is_never_cut_down(capsys: pytest.CaptureFixture[str]) -> None:
    code, [document], _ = ask(capsys, None, "runs", "--limit", "3", "--fields", "run")
    assert (code, document["error"]["code"]) == (2, "usage.unknown_option")
