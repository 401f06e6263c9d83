"""One connection against every fault that a network, a proxy or a crash can make."""

import socket
import threading
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from tests.client.standin import KEY, StandIn, free_port, problem, serve

from tau.client import Client
from tau.client.http import Connection
from tau.client.target import Target
from tau.errors import (
    CATALOGUE,
    DaemonBadAnswer,
    DaemonUnreachable,
    IdempotencyKeyReused,
    KeyInvalid,
    KeyMissing,
    PipelineNotFound,
    StoreUnavailable,
    TauError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("fault", "error", "says"),
    [
        ("reset", DaemonUnreachable, "No daemon answers"),
        ("cut", DaemonBadAnswer, "was cut"),
        ("reset_midway", DaemonBadAnswer, "was cut"),
        ("truncated", DaemonBadAnswer, "HTTP 200"),
        ("list", DaemonBadAnswer, "HTTP 200"),
        ("html_200", DaemonBadAnswer, "HTTP 200"),
        ("html_502", DaemonBadAnswer, "HTTP 502"),
        ("html_401", DaemonBadAnswer, "HTTP 401"),
        ("html_302", DaemonBadAnswer, "HTTP 302"),
    ],
)
def test_a_fault_is_an_error_that_says_what_was_seen(
    daemon: StandIn, fault: str, error: type[TauError], says: str
) -> None:
    daemon.fault = fault
    with Client() as client, pytest.raises(error, match=says) as caught:
        client.list()
    assert caught.value.details["url"] == daemon.url
    if fault.startswith("html"):
        assert caught.value.details["body"].startswith("<html>")
        assert len(caught.value.details["body"]) == 200


@pytest.mark.parametrize("fault", ["reset", "reset_midway", "cut", "html_502"])
def test_a_fault_that_passes_is_not_seen(daemon: StandIn, fault: str) -> None:
    daemon.fault, daemon.fault_times = fault, 2
    with Client() as client:
        assert client.list()["total"] == 1
    assert len(daemon.seen) == 3


def test_a_repeated_post_carries_the_same_key(daemon: StandIn) -> None:
    daemon.fault, daemon.fault_times = "cut", 1
    with Client() as client:
        client.run("orders", detach=True)
        client.run("orders", detach=True)
    first, again, second = (seen.headers["idempotency-key"] for seen in daemon.seen)
    assert first == again != second


CHANGES = [
    lambda c, **how: c.undeploy("orders", **how),
    lambda c, **how: c.rollback("orders", **how),
    lambda c, **how: c.cancel("orders#7", **how),
    lambda c, **how: c.create_key("ci", ["read"], **how),
    lambda c, **how: c.revoke_key("k1", **how),
]


@pytest.mark.parametrize("fault", ["reset", "reset_midway", "cut", "html_502"])
@pytest.mark.parametrize("change", CHANGES)
def test_what_would_be_done_twice_is_asked_for_once(
    daemon: StandIn, change: Callable[..., Any], fault: str
) -> None:
    daemon.fault, daemon.fault_times = fault, 1
    with Client() as client:
        with pytest.raises(UnavailableError) as caught:
            change(client)
        assert len(daemon.seen) == 1
        assert "may have been carried out" in str(caught.value.hint)
        daemon.fault_times = 1
        assert change(client, dry_run=True)
    assert len(daemon.seen) == 3


def test_what_was_never_sent_may_be_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve() as daemon:
        target = Target(f"http://127.0.0.1:{free_port()}", KEY, "TAU_HOST")
        with Client(target) as client, pytest.raises(DaemonUnreachable) as caught:
            client.undeploy("orders")
        assert "may have been" not in str(caught.value.hint)
        assert daemon.seen == []


@pytest.mark.parametrize("fault", ["truncated", "html_200", "list"])
def test_an_answer_of_the_wrong_kind_is_not_asked_for_again(daemon: StandIn, fault: str) -> None:
    daemon.fault = fault
    with Client() as client, pytest.raises(DaemonBadAnswer):
        client.list()
    assert len(daemon.seen) == 1


def test_nothing_listens() -> None:
    target = Target(f"http://127.0.0.1:{free_port()}", KEY, "TAU_HOST")
    with Client(target) as client, pytest.raises(DaemonUnreachable) as caught:
        client.status()
    assert "TAU_HOST" in str(caught.value.hint)


def test_a_name_that_does_not_resolve() -> None:
    target = Target("http://tau.invalid", KEY, "env x")
    with Client(target) as client, pytest.raises(DaemonUnreachable, match="at http://tau.invalid"):
        client.status()


def test_a_local_daemon_that_is_gone_says_how_to_start_it() -> None:
    target = Target(f"http://127.0.0.1:{free_port()}", KEY)
    with Client(target) as client, pytest.raises(DaemonUnreachable) as caught:
        client.status()
    assert caught.value.next[0] == "taud start --daemon"


def test_a_daemon_that_says_nothing(daemon: StandIn) -> None:
    daemon.fault = "silent"
    connection = Connection(Target(daemon.url, KEY, "TAU_HOST"), answer_timeout_s=0.2)
    with closing(connection), pytest.raises(DaemonUnreachable, match="no answer in time"):
        connection.get("/pipelines")
    assert len(daemon.seen) == 1


def test_what_is_no_http_at_all() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=_say_nonsense, args=(server,))
        thread.start()
        target = Target(f"http://127.0.0.1:{server.getsockname()[1]}", KEY, "TAU_HOST")
        with Client(target) as client, pytest.raises(DaemonUnreachable):
            client.list()
        thread.join()


def _say_nonsense(server: socket.socket) -> None:
    for _ in range(3):
        connection, _ = server.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"SSH-2.0-OpenSSH_9\r\n")


def test_a_problem_is_the_error_of_its_code(daemon: StandIn) -> None:
    daemon.problem = 404, problem(
        "pipeline.not_found", 404, message="No pipeline 'x'.", hint="Did you mean 'y'?",
        next=["tau show y"], candidates=["y"],
    )  # fmt: skip
    with Client() as client, pytest.raises(PipelineNotFound) as caught:
        client.show("x")
    assert caught.value.to_dict() == {
        "code": "pipeline.not_found",
        "message": "No pipeline 'x'.",
        "hint": "Did you mean 'y'?",
        "retry": "after_fix",
        "next": ["tau show y"],
        "candidates": ["y"],
        "request_id": "r1",
    }


def test_a_code_of_a_newer_daemon_keeps_its_name(daemon: StandIn) -> None:
    daemon.problem = 409, problem("schedule.taken", 409)
    with Client() as client, pytest.raises(IdempotencyKeyReused) as caught:
        client.list()
    assert caught.value.details["daemon_code"] == "schedule.taken"


def test_a_problem_of_503_is_asked_again_and_then_told(daemon: StandIn) -> None:
    daemon.problem = 503, problem("store.unavailable", 503)
    with Client() as client, pytest.raises(StoreUnavailable):
        client.list()
    assert len(daemon.seen) == 3


def test_a_json_error_that_is_no_problem_of_ours(daemon: StandIn) -> None:
    daemon.problem = 404, {"detail": "Not Found"}
    with Client() as client, pytest.raises(DaemonBadAnswer, match="HTTP 404"):
        client.list()


def test_a_problem_whose_keys_collide_is_no_crash(daemon: StandIn) -> None:
    daemon.problem = 400, problem("request.invalid", 400) | {"self": 1}
    with Client() as client, pytest.raises(DaemonBadAnswer):
        client.list()


def test_every_code_survives_the_way(daemon: StandIn) -> None:
    with Client() as client:
        for code, cls in CATALOGUE.items():
            if cls.http_status in (502, 503, 504):
                continue
            daemon.problem = cls.http_status, problem(code, cls.http_status)
            with pytest.raises(cls) as caught:
                client.list()
            assert caught.value.exit_code == cls.exit_code


def test_what_a_request_says_of_its_sender(
    daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_AGENT", "tester\x1b é")
    with Client() as client:
        client.list()
    headers = daemon.seen[0].headers
    assert headers["authorization"] == f"Bearer {KEY}"
    assert headers["user-agent"].startswith("tau-cli/")
    assert headers["x-tau-agent"] == "tester? ?"
    assert len(headers["x-request-id"]) == 32


def test_no_key_is_said_before_anything_is_sent(daemon: StandIn) -> None:
    with Client(Target(daemon.url, None, "TAU_HOST")) as client, pytest.raises(KeyMissing):
        client.list()
    assert daemon.seen == []


def test_a_wrong_key(daemon: StandIn) -> None:
    with Client(Target(daemon.url, "tau_x_y", "TAU_HOST")) as client, pytest.raises(KeyInvalid):
        client.list()


def test_no_proxy_stands_between_a_client_and_its_own_machine(
    daemon: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    with Client() as client:
        assert client.list()["total"] == 1


def test_health_needs_no_key(daemon: StandIn) -> None:
    with closing(Connection(Target(daemon.url, None, "TAU_HOST"))) as connection:
        assert connection.health()["status"] == "ok"
    assert "authorization" not in daemon.seen[0].headers
