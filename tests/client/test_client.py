"""What each method asks for, waiting, following, and files."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.client.standin import StandIn, problem, run_document

from tau.client import Client
from tau.client.agent import find_agent
from tau.client.sse import decode
from tau.client.waiting import FINAL_STATUSES
from tau.commands.runs import STATUSES
from tau.commands.schedules import CATCHUPS
from tau.commands.traces import LEVELS
from tau.errors import (
    DaemonBadAnswer,
    DaemonUnreachable,
    FileNotFound,
    PipelineAmbiguous,
    PipelineNotText,
    PipelineTooLarge,
    RunNotFound,
    UsageError,
    WaitTimeout,
)
from tau.pipeline import types
from tau.schedule.policy import Catchup

Call = Callable[[Client], Any]


@pytest.mark.parametrize(
    ("call", "path", "query"),
    [
        (lambda c: c.list(tag="a b", cursor="x"), "/pipelines",
         {"tag": ["a b"], "limit": ["20"], "cursor": ["x"]}),
        (lambda c: c.show("orders"), "/pipelines/orders", {}),
        (lambda c: c.show("../status"), "/pipelines/..%2Fstatus", {}),
        (lambda c: c.code("orders", version=3), "/pipelines/orders/code", {"version": ["3"]}),
        (lambda c: c.get_run("orders#7"), "/runs/orders%237", {}),
        (lambda c: c.get_run("a/b?c"), "/runs/a%2Fb%3Fc", {}),
        (lambda c: c.runs("orders", status=["failed", "crashed"]), "/runs",
         {"pipeline": ["orders"], "status": ["failed", "crashed"], "limit": ["10"]}),
        (lambda c: c.runs(status="failed"), "/runs", {"status": ["failed"], "limit": ["10"]}),
        (lambda c: c.inspect("orders@last", full=True), "/runs/orders%40last/inspect",
         {"full": ["true"]}),
        (lambda c: c.logs("orders#7", level="error", grep="é&"), "/runs/orders%237/logs",
         {"level": ["error"], "grep": ["é&"], "limit": ["100"]}),
        (lambda c: c.errors(since="24h"), "/errors", {"since": ["24h"], "limit": ["20"]}),
        (lambda c: c.status(), "/status", {}),
        (lambda c: c.list(full=True), "/pipelines", {"limit": ["20"], "full": ["true"]}),
        (lambda c: c.show("orders", full=True), "/pipelines/orders", {"full": ["true"]}),
        (lambda c: c.runs(full=True), "/runs", {"limit": ["10"], "full": ["true"]}),
        (lambda c: c.errors(full=True), "/errors", {"limit": ["20"], "full": ["true"]}),
        (lambda c: c.versions("orders", limit=3, cursor="x"), "/pipelines/orders/versions",
         {"limit": ["3"], "cursor": ["x"]}),
        (lambda c: c.diff("orders"), "/pipelines/orders/diff", {}),
        (lambda c: c.diff("orders", start=1, end=3), "/pipelines/orders/diff",
         {"from": ["1"], "to": ["3"]}),
        (lambda c: c.schedules(limit=3, cursor="x"), "/schedules",
         {"limit": ["3"], "cursor": ["x"]}),
        (lambda c: c.keys(cursor="x"), "/keys", {"limit": ["20"], "cursor": ["x"]}),
        (lambda c: c.audit(target="orders#7", action="run.cancel", actor="ci"), "/audit",
         {"target": ["orders#7"], "action": ["run.cancel"], "actor": ["ci"], "limit": ["20"]}),
    ],
)  # fmt: skip
def test_what_a_method_asks(daemon: StandIn, call: Call, path: str, query: dict[str, Any]) -> None:
    with Client() as client:
        assert call(client)
    assert (daemon.seen[0].path, daemon.seen[0].query) == (f"/api/v1{path}", query)


@pytest.mark.parametrize(
    ("call", "path", "body"),
    [
        (lambda c: c.undeploy("orders"), "/pipelines/orders/undeploy", {}),
        (lambda c: c.undeploy("a/b", dry_run=True, reason="why"), "/pipelines/a%2Fb/undeploy",
         {"dry_run": True, "reason": "why"}),
        (lambda c: c.rollback("orders", to=2), "/pipelines/orders/rollback", {"to": 2}),
        (lambda c: c.rollback("orders", dry_run=True), "/pipelines/orders/rollback",
         {"dry_run": True}),
        (lambda c: c.cancel("orders#7", reason="why"), "/runs/orders%237/cancel",
         {"reason": "why"}),
        (lambda c: c.retry("orders@last", detach=True, reason="why"),
         "/runs/orders%40last/retry", {"reason": "why"}),
        (lambda c: c.retry("orders#7", dry_run=True), "/runs/orders%237/retry",
         {"dry_run": True}),
        (lambda c: c.create_key("ci", ("read", "run"), expires="30d"), "/keys",
         {"name": "ci", "scopes": ["read", "run"], "expires": "30d"}),
        (lambda c: c.revoke_key("k/1", dry_run=True), "/keys/k%2F1/revoke", {"dry_run": True}),
        (lambda c: c.run("orders", timeout="30m", detach=True), "/pipelines/orders/runs",
         {"timeout": "30m"}),
        (lambda c: c.run("orders", timeout=90.0, dry_run=True), "/pipelines/orders/runs",
         {"timeout": 90.0, "dry_run": True}),
        (lambda c: c.run("orders", detach=True, start_date="2026-11-01", end_date="2026-11-30"),
         "/pipelines/orders/runs", {"start_date": "2026-11-01", "end_date": "2026-11-30"}),
        (lambda c: c.schedule("a/b", "0 6 * * *", timezone="Europe/Berlin", catchup="all"),
         "/pipelines/a%2Fb/schedule",
         {"cron": "0 6 * * *", "timezone": "Europe/Berlin", "catchup": "all"}),
        (lambda c: c.schedule("orders", every="1h", deadline=60, dry_run=True, reason="why"),
         "/pipelines/orders/schedule",
         {"every": "1h", "deadline": 60, "dry_run": True, "reason": "why"}),
        (lambda c: c.schedule("orders", enabled=False), "/pipelines/orders/schedule",
         {"enabled": False}),
        (lambda c: c.schedule("orders", clear=True), "/pipelines/orders/schedule",
         {"clear": True}),
        (lambda c: c.run("orders", validate_only=True, params={"a": 1}), "/pipelines/orders/runs",
         {"validate_only": True, "params": {"a": 1}}),
    ],
)  # fmt: skip
def test_what_a_change_sends(daemon: StandIn, call: Call, path: str, body: dict[str, Any]) -> None:
    with Client() as client:
        assert call(client)
    [seen] = daemon.seen
    assert (seen.method, seen.path, seen.body) == ("POST", f"/api/v1{path}", body)
    assert seen.headers["idempotency-key"]


@pytest.mark.parametrize("name", ["", ".", ".."])
def test_a_name_that_would_be_another_path(daemon: StandIn, name: str) -> None:
    with Client() as client, pytest.raises(UsageError):
        client.show(name)
    assert daemon.seen == []


def test_deploy_sends_the_file_byte_for_byte(daemon: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_bytes("a = 'é'\r\n\tb\n".encode())
    with Client() as client:
        client.deploy(file, name="n", schedule="@daily", dry_run=True, reason="why")
    assert daemon.seen[0].body == {
        "origin": str(tmp_path / "orders.py"),
        "file_name": "orders.py",
        "source": "a = 'é'\r\n\tb\n",
        "name": "n",
        "schedule": "@daily",
        "dry_run": True,
        "reason": "why",
    }


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"\xff\xfe", PipelineNotText), (b"#" * (1024 * 1024 + 1), PipelineTooLarge)],
)
def test_files_that_are_refused_here(
    daemon: StandIn, tmp_path: Path, content: bytes, error: type[Exception]
) -> None:
    file = tmp_path / "orders.py"
    file.write_bytes(content)
    with Client() as client, pytest.raises(error):
        client.deploy(file)
    assert daemon.seen == []


def test_the_largest_file_is_sent(daemon: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_bytes(b"#" * 1024 * 1024)
    with Client() as client:
        assert client.deploy(file)["changed"]


def test_a_file_that_is_not_there_names_the_nearest(daemon: StandIn, tmp_path: Path) -> None:
    (tmp_path / "orders.py").write_text("")
    with Client() as client:
        with pytest.raises(FileNotFound) as caught:
            client.deploy(tmp_path / "oders.py")
        with pytest.raises(UsageError):
            client.deploy(tmp_path)
    assert "orders.py" in str(caught.value.hint)


def test_run_waits_by_long_polls(daemon: StandIn) -> None:
    daemon.statuses = ["running", "success"]
    with Client() as client:
        run = client.run("orders", params={"a": 1}, reason="why")
    assert run["status"] == "success"
    assert daemon.seen[0].body == {"params": {"a": 1}, "reason": "why"}
    assert daemon.seen[1].query == {"wait": ["25"]}


def test_detach_asks_once(daemon: StandIn) -> None:
    with Client() as client:
        assert client.run("orders", detach=True)["status"] == "queued"
    assert len(daemon.seen) == 1


def test_giving_up_names_the_run_that_goes_on(daemon: StandIn) -> None:
    daemon.statuses = ["running"]
    with Client() as client, pytest.raises(WaitTimeout) as caught:
        client.run("orders", wait=0)
    error = caught.value
    assert (error.details["run"], error.details["status"]) == ("orders#7", "running")
    assert error.next == ["tau wait orders#7"]


def test_a_fault_while_waiting_names_the_run(daemon: StandIn) -> None:
    daemon.overrides[f"/runs/{run_document()['id']}"] = lambda seen: (
        404,
        problem("run.not_found", 404),
    )
    with Client() as client, pytest.raises(RunNotFound) as caught:
        client.run("orders")
    assert caught.value.details["run"] == "orders#7"


def test_a_daemon_that_is_away_while_a_run_is_waited_for(daemon: StandIn) -> None:
    """Longer than the repeats of one request last."""

    def go_away(run: dict[str, Any]) -> None:
        if not seen:
            daemon.fault, daemon.fault_times = "reset", 4
            daemon.statuses = ["success"]
        seen.append(run["status"])

    seen: list[str] = []
    daemon.statuses = ["running"]
    with Client() as client:
        assert client.wait("orders#7", on_progress=go_away)["status"] == "success"
    assert (seen[0], seen[-1]) == ("running", "success")


def test_a_daemon_that_never_was_there_is_not_waited_for(daemon: StandIn) -> None:
    daemon.fault = "reset"
    with Client() as client, pytest.raises(DaemonUnreachable):
        client.wait("orders#7", timeout=60)
    assert len(daemon.seen) == 3


def test_run_deploys_a_file_first(daemon: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "orders.py"
    file.write_text("x = 1\n")
    with Client() as client:
        client.run(str(file), detach=True, reason="why")
    assert daemon.paths("POST") == ["/api/v1/deployments", "/api/v1/pipelines/orders/runs"]
    assert daemon.seen[0].body is not None
    assert daemon.seen[0].body["reason"] == "why"


def test_run_of_a_file_with_several_pipelines(daemon: StandIn, tmp_path: Path) -> None:
    file = tmp_path / "many.py"
    file.write_text("x = 1\n")
    daemon.pipelines = ["a", "b"]
    with Client() as client, pytest.raises(PipelineAmbiguous) as caught:
        client.run(str(file))
    assert caught.value.next == ["tau run a", "tau run b"]
    assert daemon.paths("POST") == ["/api/v1/deployments"]


def test_retry_waits_as_run_does(daemon: StandIn) -> None:
    daemon.statuses = ["running", "failed"]
    with Client() as client:
        assert client.retry("orders@last-failed")["status"] == "failed"
    identity = run_document()["id"]
    assert daemon.paths() == [f"/api/v1/runs/{identity}"] * 2


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "or ders.py"
    path.write_text("x = 1\n")
    return str(path)


def test_what_running_a_file_would_do(daemon: StandIn, file: str) -> None:
    with Client() as client:
        plan = client.run(file, dry_run=True)
    assert daemon.paths("POST") == ["/api/v1/deployments"]
    assert daemon.seen[0].body is not None
    assert daemon.seen[0].body["dry_run"] is True
    assert (plan["would"], plan["pipeline"], plan["version"]) == ("deploy", "orders", 1)
    assert plan["deployment"]["dry_run"] is True
    assert plan["next"] == [f"tau run '{file}'"]


def test_what_running_a_deployed_file_would_do(daemon: StandIn, file: str) -> None:
    daemon.changed = False
    with Client() as client:
        plan = client.run(file, dry_run=True, params={"a": 1}, end_date="2026-11-30")
    assert plan["would"] == "queue"
    assert daemon.seen[1].body == {
        "dry_run": True, "params": {"a": 1}, "end_date": "2026-11-30",
    }  # fmt: skip


def test_checking_a_file(daemon: StandIn, file: str) -> None:
    with Client() as client:
        checked = client.run(file, validate_only=True)
        with pytest.raises(UsageError, match="--params can't") as caught:
            client.run(file, validate_only=True, params={"a": 1})
        with pytest.raises(UsageError, match="--start-date, --end-date can't"):
            client.run(file, validate_only=True, start_date="2026-11-01", end_date="2026-11-30")
    assert (checked["valid"], checked["pipeline"]) == (True, "orders")
    assert caught.value.next == [f"tau deploy '{file}'"]
    assert all(seen.body and seen.body["dry_run"] for seen in daemon.seen)


def test_planning_a_file_with_several_pipelines(daemon: StandIn, file: str) -> None:
    daemon.pipelines = ["a", "b"]
    with Client() as client, pytest.raises(PipelineAmbiguous) as caught:
        client.run(file, dry_run=True)
    assert caught.value.next == [f"tau deploy '{file}'"]


def event(identity: str, kind: str, data: str) -> bytes:
    return f"id: {identity}\nevent: {kind}\ndata: {data}\n\n".encode()


END = event("1-9", "end", '{"run":"orders#7","status":"failed"}')


def test_follow_names_the_type_of_each_line(daemon: StandIn) -> None:
    daemon.streams = [
        b": keep-alive\n\n"
        + event("1-1", "log", '{"seq":1,"message":"hi\\u2028"}')
        + event("1-2", "step_start", '{"seq":2}')
        + event("1-3", "state", '{"seq":3}')
        + event("1-4", "check", '{"seq":4}')
        + END
    ]
    with Client() as client:
        lines = list(client.follow("orders#7"))
    assert [line["type"] for line in lines] == ["log", "step", "status", "check", "end"]
    assert lines[-1] == {"type": "end", "run": "orders#7", "status": "failed"}


def test_follow_resumes_where_it_was(daemon: StandIn) -> None:
    first = event("1-1", "log", '{"seq":1}')
    daemon.streams = [
        first + b"id: 1-2\nevent: log\ndata: {",
        event("1-2", "log", '{"seq":2}'),
        END,
    ]
    with Client() as client:
        lines = list(client.follow("orders#7"))
    assert [line.get("seq") for line in lines] == [1, 2, None]
    assert [seen.headers.get("last-event-id") for seen in daemon.seen] == [None, "1-1", "1-2"]


def test_follow_keeps_to_the_run_that_was_the_last_one(daemon: StandIn) -> None:
    daemon.streams = [b"", END]
    with Client() as client:
        list(client.follow("orders@last"))
    identity = run_document()["id"]
    assert daemon.paths()[0] == "/api/v1/runs/orders%40last"
    assert daemon.paths()[1:] == [f"/api/v1/runs/{identity}/events"] * 2


def test_wait_keeps_to_the_run_that_was_the_last_one(daemon: StandIn) -> None:
    daemon.statuses = ["running", "success"]
    with Client() as client:
        client.wait("orders@last")
    identity = run_document()["id"]
    assert daemon.paths() == ["/api/v1/runs/orders%40last", f"/api/v1/runs/{identity}"]


def test_follow_gives_up_on_a_daemon_that_never_begins(daemon: StandIn) -> None:
    daemon.fault = "reset"
    with Client() as client, pytest.raises(DaemonUnreachable):
        list(client.follow("orders#7"))


def test_follow_of_what_is_no_stream(daemon: StandIn) -> None:
    daemon.fault = "html_200"
    with Client() as client, pytest.raises(DaemonBadAnswer):
        list(client.follow("orders#7"))
    daemon.fault = "truncated"
    with Client() as client, pytest.raises(DaemonBadAnswer):
        list(client.follow("orders#7"))


def test_follow_of_a_run_that_is_not_there(daemon: StandIn) -> None:
    daemon.problem = 404, problem("run.not_found", 404)
    with Client() as client, pytest.raises(RunNotFound):
        list(client.follow("orders#7"))


def test_an_event_that_is_no_json(daemon: StandIn) -> None:
    daemon.streams = [event("1-1", "log", "nonsense")]
    with Client() as client, pytest.raises(DaemonBadAnswer, match="no JSON object"):
        list(client.follow("orders#7"))


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_decoding_does_not_depend_on_how_bytes_arrive(size: int) -> None:
    stream = (
        "id: 1\r\nevent: log\r\ndata: a\r\ndata:b\r\n\r\n"
        ":comment\n\ndata: \u2028\x85\rdata\r\rid: 2\ndata: c: d\n\nevent: cut\ndata: x\n"
    ).encode()
    chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
    found = [(e.event, e.data, e.id) for e in decode(chunks)]
    assert found == [
        ("log", "a\nb", "1"),
        ("message", "\u2028\x85\n", "1"),
        ("message", "c: d", "2"),
    ]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, None),
        ({"CLAUDECODE": "1"}, "claude-code"),
        ({"CURSOR_AGENT": "1", "AGENT": "x"}, "cursor"),
        ({"AI_AGENT": "mine"}, "mine"),
        ({"AGENT": "other"}, "other"),
        ({"TAU_AGENT": "me", "CLAUDECODE": "1"}, "me"),
        ({"TAU_AGENT": "a\r\nX: y"}, "a??X: y"),
        ({"TAU_AGENT": "x" * 200}, "x" * 100),
    ],
)
def test_who_asks(environ: dict[str, str], name: str | None) -> None:
    assert find_agent(environ) == name


def test_the_words_of_the_client_are_those_of_the_pipeline() -> None:
    assert types.FINAL_STATUSES == FINAL_STATUSES
    assert tuple(types.RunStatus) == STATUSES
    assert tuple(types.Level) == LEVELS
    assert tuple(Catchup) == CATCHUPS


def test_a_target_and_an_environment_contradict(daemon: StandIn) -> None:
    from tau.client.target import Target

    with pytest.raises(UsageError):
        Client(Target(daemon.url), env="prod")
