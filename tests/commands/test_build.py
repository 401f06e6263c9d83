"""The runner: parsing, global options anywhere, usage errors, and what becomes of exceptions."""

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tau.commands import registry
from tau.commands.build import execute
from tau.commands.output import Document, Outcome, Stream
from tau.errors import ConfirmationRequired, PipelineNotFound

Run = Callable[..., tuple[int, Any]]


class Recorder:
    """Handlers that answer what they were called with."""

    def __init__(self) -> None:
        self.answer: Any = None

    def handlers(self, program: Any = "tau") -> dict[str, Callable[..., Any]]:
        return {c.name: self._handler for c in registry.of_program(program)}

    def _handler(self, **words: Any) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer if self.answer is not None else words


@pytest.fixture(autouse=True)
def _clean_environ(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [n for n in os.environ if n.startswith("TAU_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def run(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> Run:
    def call(*argv: str, program: Any = "tau") -> tuple[int, Any]:
        code = execute(program, argv, handlers=recorder.handlers(program))
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0])

    return call


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["deploy", "a.py"],
         {"file": "a.py", "name": None, "schedule": None, "dry_run": False, "reason": None}),
        (["deploy", "--dry-run", "a.py", "--reason", "-o", "--name=n", "--schedule", "0 6 * * *"],
         {"file": "a.py", "name": "n", "schedule": "0 6 * * *", "dry_run": True, "reason": "-o"}),
        (["deploy", "--", "--dry-run"],
         {"file": "--dry-run", "name": None, "schedule": None, "dry_run": False,
          "reason": None}),
        (["list"], {"tag": None, "limit": 20, "cursor": None, "full": False}),
        (["run", "x", "--params", '{"a": [1, null]}', "--wait", "1h30m"],
         {"name": "x", "params": {"a": [1, None]}, "start_date": None, "end_date": None,
          "wait": 5400.0, "detach": False, "timeout": None, "validate_only": False,
          "dry_run": False, "reason": None}),
        (["run", "x", "--timeout", "30m", "--dry-run", "--validate-only", "--reason", "why",
          "--start-date", "2026-11-01", "--end-date=2026-11-30"],
         {"name": "x", "params": None, "start_date": "2026-11-01", "end_date": "2026-11-30",
          "wait": None, "detach": False, "timeout": 1800.0,
          "validate_only": True, "dry_run": True, "reason": "why"}),
        (["schedule", "x", "0 6 * * *", "--timezone", "UTC", "--catchup=none"],
         {"name": "x", "cron": "0 6 * * *", "every": None, "timezone": "UTC", "catchup": "none",
          "deadline": None, "enable": False, "disable": False, "clear": False, "dry_run": False,
          "reason": None}),
        (["schedule", "x", "--every", "1d", "--deadline", "90", "--disable", "--dry-run"],
         {"name": "x", "cron": None, "every": 86400.0, "timezone": None, "catchup": None,
          "deadline": 90.0, "enable": False, "disable": True, "clear": False, "dry_run": True,
          "reason": None}),
        (["schedules", "--limit", "3"], {"limit": 3, "cursor": None}),
        (["diff", "x"], {"name": "x", "start": None, "end": None}),
        (["diff", "x", "1", "03"], {"name": "x", "start": 1, "end": 3}),
        (["rollback", "x", "--to", "2"],
         {"name": "x", "to": 2, "dry_run": False, "reason": None}),
        (["keys"], {"limit": 20, "cursor": None}),
        (["keys", "--limit", "3"], {"limit": 3, "cursor": None}),
        (["keys", "list", "--limit=3"], {"limit": 3, "cursor": None}),
        (["keys", "create", "ci", "--scope", "read", "--scope=run"],
         {"name": "ci", "scope": ["read", "run"], "expires": None, "dry_run": False,
          "reason": None}),
        (["keys", "revoke", "--yes", "k1"],
         {"key_id": "k1", "yes": True, "dry_run": False, "reason": None}),
        (["wait", "a", "b#2", "--timeout", "1.5"], {"runs": ["a", "b#2"], "timeout": 1.5}),
        (["runs", "--status", "failed", "--status", "crashed"],
         {"name": None, "last": 10, "status": ["failed", "crashed"], "cursor": None,
          "full": False}),
        (["runs", "x", "--full"],
         {"name": "x", "last": 10, "status": [], "cursor": None, "full": True}),
    ],
)  # fmt: skip
def test_words_become_keywords(run: Run, argv: list[str], words: dict[str, Any]) -> None:
    assert run(*argv) == (0, words | {"env": None})


@pytest.mark.parametrize(
    "argv",
    [
        ["--env", "prod", "list"],
        ["list", "--env", "prod"],
        ["--env=prod", "list", "-o", "json"],
        ["-o", "json", "--env", "dev", "list", "--env", "prod"],
        ["--env", "prod", "keys", "list"],
        ["keys", "--env", "prod"],
        ["keys", "--env", "prod", "list"],
        ["keys", "--env=prod", "-ojson", "-o", "json", "list"],
        ["keys", "--output=json", "revoke", "k1", "--env", "prod"],
    ],
)
def test_global_options_stand_anywhere(run: Run, argv: list[str]) -> None:
    assert run(*argv)[1]["env"] == "prod"


@pytest.mark.parametrize(
    ("argv", "code", "says"),
    [
        (["lsit"], "usage.unknown_command", "tau list"),
        (["zzz"], "usage.unknown_command", "tau schema"),
        (["lsit", "--tag", "a b"], "usage.unknown_command", "tau list --tag 'a b'"),
        (["list", "--tga", "x"], "usage.unknown_option", "tau list --tag x"),
        (["list", "--tga=x"], "usage.unknown_option", "tau list --tag=x"),
        (["--qqqq"], "usage.unknown_option", "tau schema"),
        (["show"], "usage.missing_argument", "tau schema show"),
        (["deploy", "--name"], "usage.invalid", "tau schema deploy"),
        (["show", "a", "b"], "usage.invalid", "tau schema show"),
        (["deploy", "a", "--dry-run=1"], "usage.invalid", "tau schema deploy"),
        (["keys", "craete", "a b"], "usage.unknown_command", "tau keys create 'a b'"),
        (["keys", "--env", "p", "lst"], "usage.unknown_command", "tau keys list --env p"),
        (["keys", "zzz"], "usage.unknown_command", "tau schema keys"),
        (["kyes", "create", "ci"], "usage.unknown_command", "tau keys create ci"),
        (["keys", "create", "--scope", "read"], "usage.missing_argument",
         "tau schema keys create"),
        (["keys", "create", "ci"], "usage.missing_argument", "tau schema keys create"),
        (["keys", "create", "ci", "--scope", "root"], "usage.invalid", "tau schema keys create"),
        (["keys", "revoke", "k1", "--yse"], "usage.unknown_option", "tau keys revoke k1 --yes"),
        (["keys", "list", "x"], "usage.invalid", "tau schema keys list"),
        (["keys", "--limit", "3", "create"], "usage.invalid", "tau schema keys list"),
        (["diff", "x", "one"], "usage.invalid", "tau schema diff"),
        (["diff", "x", "0"], "usage.invalid", "tau schema diff"),
        (["rollback", "x", "--to", "0"], "usage.invalid", "tau schema rollback"),
        (["schedule"], "usage.missing_argument", "tau schema schedule"),
        (["schedule", "x", "0", "6", "*", "*", "*"], "usage.invalid", "tau schema schedule"),
        (["schedule", "x", "--every", "often"], "usage.invalid", "tau schema schedule"),
        (["schedule", "x", "--catchup", "some"], "usage.invalid", "tau schema schedule"),
        (["schedule", "x", "--enabled"], "usage.unknown_option", "tau schedule x --enable"),
        (["scheduels"], "usage.unknown_command", "tau schedules"),
        (["list", "--fields", ""], "usage.invalid", "tau schema list"),
        (["list", "--fields", "a,,b"], "usage.invalid", "tau schema list"),
        (["list", "--limit", "x"], "usage.invalid", "tau schema list"),
        (["list", "--limit", "0"], "usage.invalid", "tau schema list"),
        (["run", "x", "--wait", "soon"], "usage.invalid", "tau schema run"),
        (["run", "x", "--wait", "-1"], "usage.invalid", "tau schema run"),
        (["run", "x", "--wait", ""], "usage.invalid", "tau schema run"),
        (["run", "x", "--wait", "9" * 400], "usage.invalid", "tau schema run"),
        (["logs", "x", "--level", "warn"], "usage.invalid", "tau schema logs"),
        (["list", "-o", "xml"], "usage.invalid", "tau schema list"),
        (["list", "\udcff"], "usage.invalid", ""),
        (["wait"], "usage.missing_argument", "tau schema wait"),
    ],
)  # fmt: skip
def test_a_usage_error_shows_the_way(run: Run, argv: list[str], code: str, says: str) -> None:
    exit_code, document = run(*argv)
    error = document["error"]
    assert (exit_code, error["code"], error["retry"]) == (2, code, "after_fix")
    if says:
        assert error["next"][0] == says
        assert error["example"].startswith("tau ")


@pytest.mark.parametrize("text", ["{", "[1]", "NaN", '{"a": NaN}', "", "{'a': 1}", "[" * 100_000])
def test_params_that_are_no_object(run: Run, text: str) -> None:
    code, document = run("run", "x", "--params", text)
    assert (code, document["error"]["code"]) == (3, "params.invalid")


def test_params_from_a_file(run: Run, tmp_path: Any) -> None:
    file = tmp_path / "p.json"
    file.write_text('{"é": 1}', encoding="utf-8")
    assert run("run", "x", "--params", f"@{file}")[1]["params"] == {"é": 1}
    file.write_bytes(b"\xff")
    assert run("run", "x", "--params", f"@{file}")[0] == 3
    assert run("run", "x", "--params", f"@{file}.no")[0] == 8
    assert run("run", "x", "--params", f"@{tmp_path}")[0] == 2


def test_an_error_of_a_handler(run: Run, recorder: Recorder) -> None:
    recorder.answer = PipelineNotFound("No 'x'.", hint="h", next=["tau list"], candidates=["y"])
    assert run("show", "x") == (8, {
        "error": {"code": "pipeline.not_found", "message": "No 'x'.", "hint": "h",
                  "retry": "after_fix", "next": ["tau list"], "candidates": ["y"]}
    })  # fmt: skip


@pytest.mark.parametrize(
    ("raised", "exit_code", "code"),
    [
        (RuntimeError("boom"), 1, "internal.error"),
        (RecursionError(), 1, "internal.error"),
        (SystemExit(3), 1, "internal.error"),
        (KeyboardInterrupt(), 130, "command.interrupted"),
    ],
)
def test_an_exception_is_an_error_without_a_traceback(
    recorder: Recorder,
    capsys: pytest.CaptureFixture[str],
    raised: BaseException,
    exit_code: int,
    code: str,
) -> None:
    recorder.answer = raised
    assert execute("tau", ["list"], handlers=recorder.handlers()) == exit_code
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == code
    assert captured.err == ""


def test_the_traceback_for_those_who_ask(
    recorder: Recorder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_DEBUG", "1")
    recorder.answer = RuntimeError("boom")
    execute("tau", ["list"], handlers=recorder.handlers())
    captured = capsys.readouterr()
    assert "Traceback" in captured.err
    assert "Traceback" not in captured.out


def test_an_outcome_has_its_exit_code(run: Run, recorder: Recorder) -> None:
    recorder.answer = Outcome({"run": "a#1"}, 4)
    assert run("wait", "a#1") == (4, {"run": "a#1"})


def test_nothing_to_print(recorder: Recorder, capsys: pytest.CaptureFixture[str]) -> None:
    handlers = {"start": lambda **words: None}
    assert execute("taud", ["start"], handlers=handlers) == 0
    assert capsys.readouterr().out == ""


def test_a_stream_that_breaks_ends_with_its_error(
    recorder: Recorder, capsys: pytest.CaptureFixture[str]
) -> None:
    def lines() -> Iterator[Document]:
        yield {"type": "log"}
        raise PipelineNotFound("gone")

    recorder.answer = Stream(lines())
    assert execute("tau", ["logs", "x"], handlers=recorder.handlers()) == 8
    first, last = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"type": "log"}
    assert (last["type"], last["error"]["code"]) == ("error", "pipeline.not_found")


@pytest.mark.parametrize("argv", [[], ["--port", "9000"], ["start"]])
def test_taud_alone_starts(run: Run, argv: list[str]) -> None:
    code, words = run(*argv, program="taud")
    assert code == 0
    assert words["port"] == (9000 if argv[:1] == ["--port"] else None)
    assert "env" not in words


def test_a_wrong_option_of_taud_points_to_its_own_schema(run: Run) -> None:
    error = run("start", "--prot", "1", program="taud")[1]["error"]
    assert error["next"] == ["taud start --port 1", "tau schema taud start"]


def test_tau_output_that_is_neither(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAU_OUTPUT", "yaml")
    code, document = run("list")
    assert (code, document["error"]["code"]) == (2, "config.invalid")


@pytest.mark.parametrize(
    ("argv", "variable", "is_json"),
    [
        (["lsit"], "", True),
        (["lsit"], "table", False),
        (["lsit", "-o", "table"], "", False),
        (["lsit", "--output=table"], "json", False),
        (["lsit", "-o", "json"], "table", True),
        (["list", "-ojson", "--tga"], "table", True),
        (["list", "--limit", "0"], "table", False),
    ],
)
def test_the_format_of_an_error(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    argv: list[str],
    variable: str,
    is_json: bool,
) -> None:
    monkeypatch.setenv("TAU_OUTPUT", variable)
    assert execute("tau", argv, handlers={}) == 2
    assert capsys.readouterr().out.startswith('{"error"' if is_json else "error.code: usage.")


@pytest.mark.parametrize("argv", [["--help"], ["-h"], []])
def test_help_in_a_pipe_is_the_surface(run: Run, argv: list[str]) -> None:
    code, document = run(*argv)
    assert code == 0
    assert len(document["commands"]) == len(registry.COMMANDS)


@pytest.mark.parametrize(
    ("argv", "command"),
    [
        (["run", "--help"], "tau run"),
        (["run", "x", "--wait", "1", "-h"], "tau run"),
        (["keys", "create", "--help"], "tau keys create"),
        (["keys", "list", "-h"], "tau keys list"),
        (["keys", "-o", "json", "--help"], "tau keys list"),
    ],
)
def test_help_of_a_command_in_a_pipe(run: Run, argv: list[str], command: str) -> None:
    code, document = run(*argv)
    assert (code, document["command"]) == (0, command)


@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_of_the_first_of_two_words_is_that_of_all(run: Run, option: str) -> None:
    code, document = run("keys", option)
    assert (code, document["more"]) == (0, "tau schema keys list")
    assert [line["usage"].split()[2] for line in document["commands"]] == [
        "list", "create", "revoke",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("argv", "again"),
    [
        (["undeploy", "x"], "tau undeploy x --yes"),
        (["--env", "prod", "undeploy", "x", "--reason", "a b"],
         "tau --env prod undeploy x --reason 'a b' --yes"),
        (["undeploy", "--", "-x"], "tau undeploy --yes -- -x"),
        (["keys", "revoke", "k1"], "tau keys revoke k1 --yes"),
    ],
)  # fmt: skip
def test_what_needs_a_yes_names_the_same_command_with_it(
    run: Run, recorder: Recorder, argv: list[str], again: str
) -> None:
    recorder.answer = ConfirmationRequired(would={"dry_run": True})
    code, document = run(*argv)
    error = document["error"]
    assert (code, error["code"], error["next"]) == (6, "confirmation.required", [again])
    assert error["would"] == {"dry_run": True}


def test_version_as_an_option(run: Run) -> None:
    assert set(run("--version")[1]) == {"version"}
    assert set(run("--version", program="taud")[1]) == {"version"}
