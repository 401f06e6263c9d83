"""What of a child's words becomes an event."""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau.pipeline.protocol import MAX_LOG_CHARS, SPOOL_FILE, Limits, encode_line
from tau.pipeline.redaction import Redactor
from tau.workers.attempt_files import mark_started
from tau.workers.intake import Intake
from tau.workers.spool import Spool
from tau.workers.streams import LineBuffer


class Table:
    """An intake over a real spool."""

    def __init__(self, folder: Path) -> None:
        self.requests: list[dict[str, Any]] = []
        self.redactor = Redactor()
        self._path = folder / SPOOL_FILE
        self._spool = Spool(mark_started(folder), Limits())
        self.intake = Intake(self._spool, self.redactor, on_request=self.requests.append)

    def events(self) -> list[dict[str, Any]]:
        self.intake.finish()
        return [json.loads(line) for line in self._path.read_bytes().splitlines()]

    def messages(self) -> list[str]:
        return [event["message"] for event in self.events()]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    return Table(tmp_path)


LOG = {"k": "log", "ts": 1.5, "level": "info", "message": "hi", "source": "ctx"}


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"no json",
        b"\x00\xff\xfe",
        b"[]",
        b'{"k":"log"}',
        b'{"k":["log"],"ts":1}',
        b'{"k":"truncated","ts":1,"dropped":1,"bytes":1}',
        b'{"k":"state","ts":1,"status":"success"}',
        b'{"k":"log","ts":NaN,"level":"info","message":"x"}',
        b'{"k":"log","ts":1e999,"level":"info","message":"x"}',
        b'{"k":"log","ts":1,"level":"loud","message":"x"}',
        b'{"k":"log","ts":1,"level":"info","message":7}',
        b'{"k":"step_start","ts":1,"step":"one","name":"x"}',
        b'{"k":"failure","ts":1,"failure":"x"}',
        b'{"k":["result"],"ts":1,"value":1}',
        b'{"k":"check","ts":1,"name":"x","passed":true,"severity":"warn","level":[]}',
        b'{"k":"step_end","ts":1,"step":1,"status":"success","rows_in":1e3}',
        b'{"k":"step_end","ts":1,"step":99999999999999999999,"status":"success"}',
        b'{"k":"hello","ts":1e300}',
        b'{"k":"hello","ts":-1}',
        b'{"k":"request","id":1,"op":"secret"}',
        b'{"k":"log","ts":1,"level":"info","message":"' + b"password " + b"x" * 9 + b'","fields":'
        + b"[" * 900 + b"]" * 900 + b"}",
        b"[" * 100_000,
        b'{"k":"log","ts":' + b"9" * 5000 + b',"level":"info","message":"x"}',
    ],
)  # fmt: skip
def test_what_is_no_message_is_counted_and_reported_once(line: bytes, table: Table) -> None:
    table.intake.take_message(line)
    table.intake.take_message(line)

    assert table.intake.malformed == 2
    (warning,) = table.events()
    assert (warning["level"], warning["source"]) == ("warning", "supervisor")


@given(
    st.dictionaries(
        st.sampled_from(["k", "ts", "level", "message", "step", "value", "failure", "args", "id"])
        | st.text(),
        st.sampled_from(["log", "check", "result", "failure", "request", "hello", "info", "secret"])
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ),
    )
)
def test_nothing_that_a_child_can_say_breaks_the_supervisor(message: dict[str, Any]) -> None:
    with TemporaryDirectory() as folder:
        table = Table(Path(folder))
        table.redactor.add("secret")
        line = json.dumps(message).encode()

        table.intake.take_message(line)
        table.intake.take_outcome(line)

        for event in table.events():
            encode_line(event)


@pytest.mark.parametrize("kind", ["result", "failure"])
def test_a_nested_bomb_is_no_message(kind: str, table: Table) -> None:
    bomb = b'{"a":' * 600 + b"1" + b"}" * 600

    table.intake.take_message(b'{"k":"%b","ts":1,"value":0,"failure":%b}' % (kind.encode(), bomb))

    assert table.intake.last is None


def test_a_message_passes_as_it_came(table: Table) -> None:
    table.intake.take_message(encode_line(LOG).strip())

    assert table.events() == [LOG | {"seq": 1}]


def test_a_childs_number_is_not_ours(table: Table) -> None:
    table.intake.take_message(encode_line(LOG | {"seq": 99}).strip())

    assert table.events() == [LOG | {"seq": 1}]


def test_what_a_store_can_not_hold_is_shown_as_escapes(table: Table) -> None:
    table.intake.take_message(
        encode_line(LOG | {"message": "a\0b\ud800c \U0001f600", "x\0": ["\udfff"]}).strip()
    )

    (event,) = table.events()
    assert event["message"] == "a\\x00b\\ud800c \U0001f600"
    assert event["x\\x00"] == ["\\udfff"]


def test_the_first_outcome_counts_and_comes_last(table: Table) -> None:
    for value in (1, 2):
        table.intake.take_message(encode_line({"k": "result", "ts": 1.0, "value": value}).strip())
    table.intake.take_message(encode_line(LOG).strip())

    assert table.intake.last == {"k": "result", "ts": 1.0, "value": 1}
    assert table.intake.malformed == 1
    assert [event["k"] for event in table.events()] == ["log", "log", "result"]


def test_requests_are_handed_on_and_are_no_events(table: Table) -> None:
    request = {"k": "request", "id": 1, "op": "secret", "args": {"name": "X"}}
    table.intake.take_message(encode_line(request).strip())

    assert table.requests == [request]
    assert table.events() == []


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"plain", "plain"),
        (b"10%\r50%\r100%\r", "100%"),
        (b"\x1b[1;31mred\x1b[0m \x1b]0;title\x07x", "red x"),
        (b"\x1b]8;;http://a\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("Grüße \U0001f600".encode(), "Grüße \U0001f600"),
        (b"bad \xff bytes", "bad � bytes"),
        (b"a\x00b\x07c", "abc"),
        (b"tab\tkept", "tab\tkept"),
    ],
)
def test_output_is_shown_as_a_terminal_would(raw: bytes, shown: str, table: Table) -> None:
    table.intake.take_output("stdout", raw)

    (event,) = table.events()
    assert (event["message"], event["level"], event["source"]) == (shown, "info", "stdout")


def test_empty_output_is_no_event(table: Table) -> None:
    for line in (b"", b"  ", b"\r", b"\x1b[0m"):
        table.intake.take_output("raw_stderr", line)

    assert table.events() == []


def test_a_secret_at_the_cut_of_a_long_line_is_hidden(table: Table) -> None:
    table.redactor.add("abcdefgh")
    start = b"x" * (MAX_LOG_CHARS - 4)
    table.intake.take_output("stdout", start + b"abcdefgh" + b"y" * 100, is_cut=True)

    (message,) = table.messages()
    assert "abc" not in message
    assert message.endswith("cut]")


def test_lines_are_put_together_and_cut_at_the_limit() -> None:
    lines = LineBuffer(5)

    assert lines.feed(b"ab") == []
    assert lines.feed(b"c\nde\n\nfghijk") == [(b"abc", False), (b"de", False), (b"", False)]
    assert lines.feed(b"lmnop") == []
    assert lines.feed(b"q\nr") == [(b"fghij", True)]
    assert lines.finish() == [(b"r", False)]
    assert lines.finish() == []
