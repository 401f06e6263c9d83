"""Every command against every fault: one JSON document on stdout, and the right exit code."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.cli.every_command import COMMANDS, NEEDS_YES
from tests.client.standin import StandIn, free_port, problem, run_document

from tau.cli.main import HANDLERS
from tau.commands import registry
from tau.commands.build import execute
from tau.commands.version import client_version

Tau = Callable[..., tuple[int, Any]]

PROBLEMS = {
    "internal.error": (500, 1),
    "request.invalid": (422, 2),
    "pipeline.syntax_error": (422, 3),
    "dependency.missing_module": (422, 5),
    "auth.missing_scope": (403, 6),
    "run.not_found": (404, 8),
    "run.ambiguous": (409, 9),
    "queue.full": (429, 10),
}


@pytest.fixture
def tau(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Tau:
    file = tmp_path / "orders.py"
    file.write_text("x = 1\n")

    def call(*argv: str) -> tuple[int, Any]:
        words = [str(file) if word == "FILE" else word for word in argv]
        code = execute("tau", words, handlers=HANDLERS)
        captured = capsys.readouterr()
        assert captured.err == ""
        lines = captured.out.splitlines()
        assert len(lines) == 1, lines
        return code, json.loads(lines[0])

    return call


@pytest.fixture(params=list(COMMANDS))
def argv(request: pytest.FixtureRequest) -> list[str]:
    return COMMANDS[request.param]


def test_no_command_is_left_out() -> None:
    of_table = {registry.match("tau", argv)[0].name for argv in COMMANDS.values()}
    alone = {"version"}  # it answers whether a daemon does or not
    assert of_table | alone == {c.name for c in registry.of_program("tau") if not c.offline}


@pytest.mark.parametrize("code", list(PROBLEMS))
def test_a_problem(tau: Tau, daemon: StandIn, argv: list[str], code: str) -> None:
    status, exit_code = PROBLEMS[code]
    daemon.problem = status, problem(code, status)
    assert_error(tau(*argv), code, exit_code)


@pytest.mark.parametrize("fault", ["html_404", "list"])
def test_an_answer_that_is_none(tau: Tau, daemon: StandIn, argv: list[str], fault: str) -> None:
    daemon.fault = fault
    assert_error(tau(*argv), "daemon.bad_answer", 7)


def assert_error(answer: tuple[int, Any], code: str, exit_code: int) -> None:
    found, document = answer
    assert set(document) == {"error"}
    assert (document["error"]["code"], found) == (code, exit_code)
    assert document["error"]["message"]
    assert document["error"]["retry"]


ONE_OF_EACH_KIND = [COMMANDS[name] for name in ("list", "deploy", "wait", "logs --follow")]


@pytest.mark.parametrize("argv", ONE_OF_EACH_KIND)
def test_nothing_listens(tau: Tau, argv: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAU_HOST", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("TAU_API_KEY", "tau_a_b")
    assert_error(tau(*argv), "daemon.unreachable", 7)


def test_no_key(
    tau: Tau, argv: list[str], daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAU_API_KEY")
    assert_error(tau(*argv), "auth.missing_key", 6)


def test_a_wrong_key(
    tau: Tau, argv: list[str], daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_API_KEY", "tau_wrong_key")
    if "--follow" not in argv:
        assert_error(tau(*argv), "auth.invalid_key", 6)


def test_no_daemon_and_no_autostart(tau: Tau, argv: list[str]) -> None:
    code, document = tau(*argv)
    assert_error((code, document), "daemon.unreachable", 7)
    assert document["error"]["next"] == ["taud start --daemon"]


def test_an_environment_that_is_not_there(tau: Tau, argv: list[str]) -> None:
    assert_error(tau(*argv, "--env", "prod"), "config.unknown_environment", 2)


def test_an_address_that_is_none(
    tau: Tau, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_HOST", "localhost:8400")
    assert_error(tau(*argv), "config.invalid", 2)


def test_environment_and_host_together(tau: Tau, argv: list[str], daemon: StandIn) -> None:
    assert_error(tau(*argv, "--env", "prod"), "usage.invalid", 2)


def test_success_is_one_document(tau: Tau, daemon: StandIn, argv: list[str]) -> None:
    daemon.streams = [b'event: end\ndata: {"run":"orders#7","status":"failed"}\n\n']
    code, document = tau(*argv)
    assert (code, "error" in document) == ((6, True) if argv == NEEDS_YES else (0, False))


STATUSES = [("success", 0), ("failed", 4), ("timeout", 4), ("cancelled", 4), ("skipped", 4),
            ("crashed", 4)]  # fmt: skip


@pytest.mark.parametrize(("status", "exit_code"), STATUSES)
@pytest.mark.parametrize("command", ["run", "wait", "retry"])
def test_the_outcome_of_a_run(
    tau: Tau, daemon: StandIn, command: str, status: str, exit_code: int
) -> None:
    daemon.statuses = ["running", status]
    code, document = tau(command, "orders")
    assert (code, document["status"], document["run"]) == (exit_code, status, "orders#7")


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "x", "--wait", "0"],
        ["retry", "x#6", "--wait", "0"],
        ["wait", "x#7", "--timeout", "0"],
    ],
)
def test_giving_up(tau: Tau, daemon: StandIn, argv: list[str]) -> None:
    daemon.statuses = ["running"]
    code, document = tau(*argv)
    error = document["error"]
    assert (code, error["code"], error["run"]) == (11, "wait.timeout", "orders#7")
    assert error["next"] == ["tau wait orders#7"]


@pytest.mark.parametrize("command", ["run", "retry"])
def test_detach_exits_0_with_the_queued_run(tau: Tau, daemon: StandIn, command: str) -> None:
    code, document = tau(command, "orders", "--detach")
    assert (code, document["status"]) == (0, "queued")
    assert len(daemon.seen) == 1


@pytest.mark.parametrize(
    "argv",
    [["run", "x", "--dry-run"], ["run", "x", "--validate-only"], ["retry", "x#1", "--dry-run"]],
)
def test_what_is_only_planned_exits_0_and_waits_for_nothing(
    tau: Tau, daemon: StandIn, argv: list[str]
) -> None:
    code, document = tau(*argv)
    assert (code, document["would"]) == (0, "queue")
    assert len(daemon.seen) == 1


@pytest.mark.parametrize(
    ("argv", "path", "would"),
    [
        (["undeploy", "orders"], "/pipelines/orders/undeploy", {"dry_run": True}),
        (["keys", "revoke", "k1"], "/keys/k1/revoke", {"revoked": False}),
    ],
)
def test_what_cannot_be_undone(
    tau: Tau, daemon: StandIn, argv: list[str], path: str, would: dict[str, bool]
) -> None:
    """Without --yes it is shown what would happen; a dry run is no refusal."""
    code, document = tau(*argv, "--reason", "why")
    error = document["error"]
    assert (code, error["code"], error["retry"]) == (6, "confirmation.required", "human")
    assert error["next"] == [" ".join(["tau", *argv, "--reason why --yes"])]
    assert error["would"].items() >= would.items()
    assert tau(*argv, "--dry-run", "--yes")[0] == 0
    assert [seen.body["dry_run"] for seen in daemon.seen if seen.body] == [True, True]
    assert tau(*argv, "--yes", "--reason", "why")[0] == 0
    assert (daemon.seen[2].path, daemon.seen[2].body) == (f"/api/v1{path}", {"reason": "why"})


def test_what_would_fail_fails_without_asking_for_a_yes(tau: Tau, daemon: StandIn) -> None:
    daemon.problem = 404, problem("pipeline.not_found", 404)
    assert_error(tau("undeploy", "x"), "pipeline.not_found", 8)


def test_keys_alone_lists_them(tau: Tau, daemon: StandIn) -> None:
    assert tau("keys") == tau("keys", "list")
    assert daemon.paths() == ["/api/v1/keys"] * 2


def test_the_two_versions_of_a_diff(tau: Tau, daemon: StandIn) -> None:
    assert tau("diff", "orders", "1", "3")[1]["diff"].startswith("--- a\n")
    assert daemon.seen[0].query == {"from": ["1"], "to": ["3"]}


def test_a_diff_for_people_is_text(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute("tau", ["diff", "orders", "-o", "table"], handlers=HANDLERS) == 0
    assert capsys.readouterr().out.endswith("\n--- a\n+++ b\n@@ -1 +1 @@\n-x = 1\n+x = 2\n")


@pytest.mark.parametrize(
    ("argv", "document"),
    [
        (["list", "--fields", "runs"], {"pipelines": [{"runs": 3}], "total": 1}),
        (["versions", "x", "--fields", "version"],
         {"pipeline": "x", "versions": [{"version": 2}, {"version": 1}], "total": 2}),
        (["schedules", "--fields", "enabled"], {"schedules": [{"enabled": True}], "total": 1}),
        (["wait", "orders#7", "--fields", "status"], {"status": "success"}),
        (["status", "--fields", "client,pid"], {"client": {"version": client_version()}, "pid": 1}),
    ],
)  # fmt: skip
def test_only_some_fields(tau: Tau, daemon: StandIn, argv: list[str], document: Any) -> None:
    assert tau(*argv) == (0, document)


@pytest.mark.parametrize("command", ["list", "runs", "errors", "show", "inspect"])
def test_full_is_asked_of_the_daemon(tau: Tau, daemon: StandIn, command: str) -> None:
    tau(command, *(["orders"] if command in ("show", "inspect") else []), "--full")
    assert daemon.seen[0].query["full"] == ["true"]


def test_a_file_with_several_pipelines(tau: Tau, daemon: StandIn) -> None:
    daemon.pipelines = ["a", "b"]
    code, document = tau("run", "FILE")
    assert (code, document["error"]["next"]) == (9, ["tau run a", "tau run b"])


@pytest.mark.parametrize(
    ("statuses", "exit_code"),
    [(["success", "success"], 0), (["failed", "crashed"], 4), (["success", "failed"], 12)],
)
def test_waiting_for_several(
    tau: Tau, daemon: StandIn, statuses: list[str], exit_code: int
) -> None:
    daemon.statuses = list(statuses)
    code, document = tau("wait", "a#1", "b#1")
    assert code == exit_code
    assert [run["status"] for run in document["runs"]] == statuses


def test_giving_up_on_several_says_how_each_stands(tau: Tau, daemon: StandIn) -> None:
    daemon.overrides["/runs/a%231"] = lambda seen: (200, run_document(number=1, pipeline="a"))
    daemon.statuses = ["running"]
    code, document = tau("wait", "a#1", "orders#7", "--timeout", "0")
    assert code == 11
    assert [run["status"] for run in document["error"]["runs"]] == ["success", "running"]
    assert document["error"]["next"] == ["tau wait a#1 orders#7"]


@pytest.mark.parametrize(
    ("argv", "path"),
    [
        (["inspect", "orders"], "orders%40last/inspect"),
        (["inspect", "orders", "--last-run"], "orders%40last/inspect"),
        (["inspect", "orders#7"], "orders%237/inspect"),
        (["inspect", "orders@last-failed"], "orders%40last-failed/inspect"),
        (["inspect", "01k9abc"], "01k9abc/inspect"),
        (["inspect", "01_orders"], "01_orders%40last/inspect"),
        (["inspect", "--run", "01k9"], "01k9/inspect"),
        (["inspect", "orders", "--run", "7"], "orders%237/inspect"),
        (["logs", "orders"], "orders%40last/logs"),
        (["logs", "orders#7", "--follow"], "orders%237/events"),
    ],
)
def test_how_a_run_is_named(tau: Tau, daemon: StandIn, argv: list[str], path: str) -> None:
    daemon.streams = [b'event: end\ndata: {"status":"failed"}\n\n']
    tau(*argv)
    assert daemon.paths() == [f"/api/v1/runs/{path}"]


@pytest.mark.parametrize(
    "argv",
    [
        ["inspect"],
        ["inspect", "--last-run"],
        ["inspect", "orders#7", "--last-run"],
        ["inspect", "orders#7", "--run", "01k9"],
        ["inspect", "orders", "--last-run", "--run", "01k9"],
        ["logs"],
        ["logs", "orders", "--follow", "--limit", "3"],
        ["logs", "orders", "--follow", "--cursor", "x"],
        ["run", "orders", "--detach", "--wait", "3"],
        ["run", "orders", "--dry-run", "--wait", "3"],
        ["run", "orders", "--dry-run", "--detach"],
        ["run", "orders", "--validate-only", "--detach"],
        ["run", "orders", "--validate-only", "--dry-run"],
        ["retry", "orders#7", "--detach", "--wait", "3"],
        ["retry", "orders#7", "--dry-run", "--detach"],
        ["schedule", "orders"],
        ["schedule", "orders", "--dry-run", "--reason", "why"],
        ["schedule", "orders", "@daily", "--every", "1h"],
        ["schedule", "orders", "--enable", "--disable"],
        ["schedule", "orders", "@daily", "--clear"],
        ["schedule", "orders", "--clear", "--enable"],
    ],
)
def test_words_that_contradict(tau: Tau, daemon: StandIn, argv: list[str]) -> None:
    code, document = tau(*argv)
    assert code == 2
    assert document["error"]["example"].startswith(f"tau {argv[0]}")
    assert daemon.seen == []


@pytest.mark.parametrize(
    ("words", "body"),
    [
        (["0 6 * * *", "--timezone", "UTC"], {"cron": "0 6 * * *", "timezone": "UTC"}),
        (["--every", "1h30m", "--dry-run"], {"every": 5400.0, "dry_run": True}),
        (["--catchup", "all", "--deadline", "1d"], {"catchup": "all", "deadline": 86400.0}),
        (["--enable"], {"enabled": True}),
        (["@daily", "--disable"], {"cron": "@daily", "enabled": False}),
        (["--clear", "--reason", "why"], {"clear": True, "reason": "why"}),
    ],
)
def test_what_a_schedule_is_set_to(
    tau: Tau, daemon: StandIn, words: list[str], body: dict[str, Any]
) -> None:
    code, document = tau("schedule", "orders", *words)
    assert (code, document["pipeline"]) == (0, "orders")
    [seen] = daemon.seen
    assert (seen.path, seen.body) == ("/api/v1/pipelines/orders/schedule", body)


def test_a_schedule_without_a_change_points_to_where_it_is_shown(tau: Tau, daemon: StandIn) -> None:
    code, document = tau("schedule", "orders")
    error = document["error"]
    assert (code, error["code"]) == (2, "usage.missing_argument")
    assert error["next"] == ["tau show orders"]
    assert error["example"] == "tau schedule orders '0 6 * * *' --timezone Europe/Berlin"


def test_a_schedule_goes_with_a_deploy(tau: Tau, daemon: StandIn) -> None:
    assert tau("deploy", "FILE", "--schedule", "0 6 * * *")[0] == 0
    assert (daemon.seen[0].body or {})["schedule"] == "0 6 * * *"


def test_the_dates_of_a_run_are_left_to_the_daemon(tau: Tau, daemon: StandIn) -> None:
    words = ["--start-date", "2026-11-01T06:00", "--end-date", "yesterday"]
    assert tau("run", "orders", "--detach", *words)[0] == 0
    assert daemon.seen[0].body == {"start_date": "2026-11-01T06:00", "end_date": "yesterday"}


def test_a_run_of_another_pipeline(tau: Tau, daemon: StandIn) -> None:
    code, document = tau("inspect", "customers", "--run", "01k9")
    assert (code, document["error"]["code"]) == (8, "run.not_found")
    assert "orders" in document["error"]["message"]


def test_a_file_name_for_a_pipeline_owns_its_runs(tau: Tau, daemon: StandIn) -> None:
    daemon.overrides["/pipelines/orders_file"] = lambda seen: (200, {"name": "orders"})
    assert tau("inspect", "orders_file", "--run", "01k9")[0] == 0


@pytest.mark.parametrize("argv", [["deploy", "no.py"], ["run", "no.py"], ["run", "./no"]])
def test_a_file_that_is_not_there(tau: Tau, daemon: StandIn, argv: list[str]) -> None:
    assert_error(tau(*argv), "file.not_found", 8)


def test_bytes_that_are_no_text(tau: Tau, daemon: StandIn, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_bytes(b"\xff")
    assert_error(tau("deploy", str(tmp_path / "bad.py")), "pipeline.not_text", 3)


def test_status_has_the_version_of_the_client(tau: Tau, daemon: StandIn) -> None:
    assert tau("status")[1]["client"]["version"] != tau("status")[1]["version"] == "9.9.9"


def test_version_with_and_without_a_daemon(
    tau: Tau, daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TAU_API_KEY")
    assert tau("version")[1]["daemon"] == {"version": "9.9.9", "url": daemon.url}
    monkeypatch.setenv("TAU_HOST", f"http://127.0.0.1:{free_port()}")
    code, document = tau("version")
    assert (code, document["daemon"]["error"]["code"]) == (0, "daemon.unreachable")
    monkeypatch.delenv("TAU_HOST")
    assert set(tau("version")[1]) == {"version"}


def test_follow_filters_log_lines_only(daemon: StandIn, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [
        ("log", {"level": "info", "message": "Rows read"}),
        ("log", {"level": "error", "message": "rows LOST"}),
        ("log", {"level": "error", "message": "else"}),
        ("step_end", {"name": "s"}),
        ("end", {"status": "failed"}),
    ]
    text = "".join(f"event: {kind}\ndata: {json.dumps(data)}\n\n" for kind, data in lines)
    daemon.streams = [text.encode()]
    argv = ["logs", "orders", "--follow", "--level", "warning", "--grep", "rows"]
    assert execute("tau", argv, handlers=HANDLERS) == 0
    shown = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["type"] for line in shown] == ["log", "step", "end"]
    assert shown[0]["message"] == "rows LOST"
