"""The printer: text that no terminal acts upon, encodings, tables."""

import io
import json
import sys
from typing import Any

import pytest

from tau.commands import output
from tau.commands.tables import render, render_line
from tau.errors import ConfirmationRequired, PipelineNotFound

EVIL = "a\x1b[2Jb\x9b1mc\u202ed\x7f\u2028e\x00f"


class Stdout(io.TextIOWrapper):
    def __init__(self, encoding: str) -> None:
        self.bytes = io.BytesIO()
        super().__init__(self.bytes, encoding=encoding)

    def text(self) -> str:
        return self.bytes.getvalue().decode(self.encoding)


def printed(document: Any, monkeypatch: pytest.MonkeyPatch, *, encoding: str, **how: Any) -> str:
    stdout = Stdout(encoding)
    monkeypatch.setattr(sys, "stdout", stdout)
    output.emit(document, **how)
    return stdout.text()


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "latin-1", "cp1252"])
@pytest.mark.parametrize("text", ["é", "日本", "\ud800", EVIL, "\U0001f600"])
def test_json_survives_any_stdout(
    monkeypatch: pytest.MonkeyPatch, encoding: str, text: str
) -> None:
    shown = printed({"a": text}, monkeypatch, encoding=encoding)
    assert json.loads(shown) == {"a": text}
    assert shown.endswith("}\n")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("form", ["json", "table"])
def test_nothing_steers_a_terminal(
    monkeypatch: pytest.MonkeyPatch, encoding: str, form: str
) -> None:
    document = {"a": EVIL, EVIL: 1, "rows": [{"x": EVIL}], "code": f"1\n{EVIL}"}
    shown = printed(document, monkeypatch, encoding=encoding, form=form)
    assert not set(shown) & set("\x1b\x9b\u202e\x7f\u2028\x00")


def test_no_stdout_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    output.emit({"a": 1})
    output.emit_line({"a": 1})


def test_a_table_never_cuts_an_id() -> None:
    rows = [{"run": "a-long-pipeline-name#1234567", "id": "01k9" + "0" * 22, "error": "long " * 40}]
    for width in (20, 60, None):
        text = render({"runs": rows, "total": 1}, color=False, width=width)
        assert rows[0]["run"] in text
        assert rows[0]["id"] in text


@pytest.mark.parametrize("width", [20, 80, 140, None])
def test_a_table_of_schedules_loses_no_column(width: int | None) -> None:
    ticks = [f"2026-11-2{day}T05:00:00.000Z" for day in range(1, 6)]
    row = {"pipeline": "a-long-name-of-a-pipeline", "schedule": "0 6 * * * Europe/Berlin",
           "timezone": "Etc/UTC", "enabled": True, "set_by": "command", "next_fire_at": ticks[0],
           "next": ticks}  # fmt: skip
    text = render({"schedules": [row], "total": 1}, color=False, width=width)
    for word in ("a-long-name-of-a-pipeline", "Etc/UTC", "yes", "command"):
        assert word in text
    assert (", ".join(ticks) in text) == (width is None)


def test_a_table_of_everything() -> None:
    text = render(
        {"run": "a#1", "ok": True, "none": None, "empty": [], "failure": {"where": {"line": 3}},
         "next": ["tau x", "tau y"], "steps": [{"name": "s"}, {"ms": 4}], "code": "x\ny\n"},
        color=False, width=80,
    )  # fmt: skip
    parts = ("run: a#1", "ok: yes", "failure.where.line: 3", "next: tau x, tau y", "steps", "x\ny")
    for part in parts:
        assert part in text
    assert "none" not in text


DIFF: dict[str, Any] = {
    "pipeline": "orders", "from": 1, "to": 2, "changed": True, "added": 1, "removed": 1,
    "diff": "--- a (version 1)\n+++ a (version 2)\n@@ -1,2 +1,2 @@\n x = 1\n-y = 2\x1b\n+y = 3",
    "spec": {"retries": {"from": 0, "to": 2}, "tags": {"from": ["a"], "to": ["b", "c"]}},
}  # fmt: skip


def test_a_diff_is_text_after_the_facts() -> None:
    lines = render(DIFF, color=False, width=80).splitlines()
    assert lines[:3] == ["pipeline: orders", "from: 1", "to: 2"]
    begin = lines.index("--- a (version 1)")
    assert lines[begin:] == DIFF["diff"].replace("\x1b", "\\x1b").splitlines()
    assert [line.split() for line in lines[begin - 4 : begin]] == [
        ["spec"], ["name", "from", "to"], ["retries", "0", "2"], ["tags", "a", "b,", "c"],
    ]  # fmt: skip


def test_a_diff_in_colour() -> None:
    text = render(DIFF, color=True, width=80)
    assert "\x1b[31m-y = 2" in text
    assert "\x1b[32m+y = 3" in text
    assert "\n x = 1\n" in text


def test_versions_that_do_not_differ_show_no_diff() -> None:
    text = render({"from": 1, "to": 2, "changed": False, "diff": ""}, color=False, width=80)
    assert text == "from: 1\nto: 2\nchanged: no\n"


def test_keys_and_the_audit_trail_as_tables() -> None:
    keys = {"keys": [{"id": "k" * 16, "name": "ci", "scopes": ["read", "run"]}], "total": 1}
    assert ["k" * 16, "ci", "read,", "run"] in [
        line.split() for line in render(keys, color=False, width=40).splitlines()
    ]
    entry = {"id": "01", "action": "run.cancel", "target": "a-long-name-of-a-pipeline#1234",
             "detail": {"from": 1, "to": 2}, "reason": "because " * 20}  # fmt: skip
    text = render({"entries": [entry], "total": 1}, color=False, width=40)
    assert entry["target"] in text
    assert "from=1" in text


def test_what_needs_a_yes_as_a_table() -> None:
    error = ConfirmationRequired(would={"pipeline": "orders", "cancelled": ["orders#8"]})
    text = render(output.error_document(error), color=False, width=80)
    assert "error.would.pipeline: orders" in text
    assert "error.would.cancelled: orders#8" in text


def test_markup_in_data_is_text() -> None:
    text = render({"a": "[bold]x[/bold]", "rows": [{"b": "[red]y"}]}, color=False, width=80)
    assert "[bold]x[/bold]" in text
    assert "[red]y" in text


def test_an_error_as_a_table() -> None:
    error = PipelineNotFound("No 'x'.", next=["tau list"])
    text = render(output.error_document(error), color=False, width=80)
    assert "error.code: pipeline.not_found" in text
    assert "error.next: tau list" in text


def test_a_line_of_a_stream() -> None:
    line = {"type": "log", "seq": 1, "at": "T", "level": "info", "message": "hi\x1b", "step": "s"}
    assert render_line(line) == "T info hi\\x1b step=s\n"
    assert render_line({"type": "end", "status": "failed"}) == "end status=failed\n"
