"""Real daemons that tell a real receiver: killed between commit and send, two on one store.

A user's receiver looks at `webhook-id`: what counts is that each event has one, is seen, and is
processed once by it.
"""

import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.receiver import Receiver
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]
LOCAL = {
    "TAU_WEBHOOKS__ALLOW_PRIVATE": '["127.0.0.1/32"]',
    "TAU_WEBHOOKS__ALLOW_HTTP": "true",
}
TOKEN = "s3cretT0kenOfTheService"
PATIENCE_S = 60.0
ROUNDS = 40 if os.environ.get("TAU_TEST_LONG") == "1" else 8
SOURCE = """
from tau import pipeline

@pipeline(params={"fail": True})
def orders(ctx):
    if ctx.params["fail"]:
        raise ValueError("password=hunter2hunter2")
"""


def add_webhook(daemon: DaemonProcess, receiver: Receiver, *options: str) -> dict[str, Any]:
    answer = daemon.tau("webhook", "add", receiver.url, *options)
    assert answer.exit_code == 0, answer.stdout
    document: dict[str, Any] = answer.json
    return document


def start_run(daemon: DaemonProcess, **params: Any) -> str:
    with daemon.client() as client:
        made = client.post("/pipelines/orders/runs", json={"params": params})
    assert made.status_code == 202, made.text
    return str(made.json()["id"])


def webhooks(daemon: DaemonProcess) -> dict[str, Any]:
    with daemon.client() as client:
        document: dict[str, Any] = client.get("/webhooks").json()
    return document


def nothing_pending(daemon: DaemonProcess) -> bool:
    document = webhooks(daemon)
    rows = [*document["webhooks"], *document.get("notify", [])]
    return all(row["pending"] == 0 for row in rows)


def failed_runs(receiver: Receiver) -> list[str]:
    """The run of each event that was processed, by a receiver that looks at the id."""
    return sorted(
        event["data"]["id"] for event in receiver.events.values() if event["type"] == "run.failed"
    )


def test_a_day_of_a_webhook(make_daemon: Make, receiver: Receiver) -> None:
    daemon = make_daemon(**LOCAL).start()
    daemon.deploy(SOURCE.replace("@pipeline(", '@pipeline(schedule="0 0 29 2 *", '), "orders.py")
    hook = add_webhook(daemon, receiver, "--reason", "the pager")
    tested = daemon.tau("webhook", "test", hook["id"])
    assert (tested.exit_code, tested.json["http_status"]) == (0, 204)
    assert daemon.run("orders", fail=True)["status"] == "failed"
    assert daemon.run("orders", fail=False)["status"] == "success"
    assert daemon.run("orders", fail=False)["status"] == "success"
    paused = daemon.tau("schedule", "orders", "--disable", "--reason", "the source is down")
    assert paused.exit_code == 0
    eventually(lambda: len(receiver.arrived) == 4)
    documents = [request.verified(hook["secret"]) for request in receiver.arrived]
    assert len(receiver.events) == 4
    assert sorted(document["type"] for document in documents) == [
        "run.failed", "run.recovered", "schedule.paused", "test",
    ]  # fmt: skip
    assert b"hunter2" not in b"".join(request.body for request in receiver.arrived)
    eventually(lambda: nothing_pending(daemon))
    [row] = daemon.tau("webhooks").json["webhooks"]
    assert (row["http_status"], row["failures"], row["dead"]) == (204, 0, 0)
    assert row["last_delivered_at"]

    receiver.answers = [500]
    assert daemon.tau("webhook", "test", hook["id"]).exit_code == 7
    shown = daemon.tau("webhook", "delete", hook["id"])
    assert (shown.exit_code, shown.json["error"]["would"]["id"]) == (6, hook["id"])
    assert daemon.tau("webhook", "delete", hook["id"], "--yes").exit_code == 0
    assert daemon.tau("webhook", "test", hook["id"]).exit_code == 8
    entries = daemon.tau("audit", "--action", "webhook.add").json["entries"]
    assert [entry["reason"] for entry in entries] == ["the pager"]


def test_where_no_webhook_may_lead(make_daemon: Make, receiver: Receiver) -> None:
    daemon = make_daemon().start()
    for url in (
        receiver.url,
        receiver.url.replace("http:", "https:"),
        "https://169.254.169.254/latest/meta-data/",
        "https://[::1]/",
        "https://localhost/",
    ):
        answer = daemon.tau("webhook", "add", url)
        assert (answer.exit_code, answer.json["error"]["code"]) == (6, "webhook.url_refused")
        assert answer.json["error"]["hint"]
    assert webhooks(daemon)["webhooks"] == []
    assert receiver.arrived == []


def test_what_was_allowed_once_is_refused_when_it_is_not_any_more(
    make_daemon: Make, receiver: Receiver
) -> None:
    daemon = make_daemon(**LOCAL).start()
    daemon.deploy(SOURCE, "orders.py")
    add_webhook(daemon, receiver)
    assert daemon.stop(signal.SIGTERM) == 0
    daemon.env.pop("TAU_WEBHOOKS__ALLOW_PRIVATE")
    daemon.start()
    start_run(daemon)
    [row] = eventually(lambda: [r for r in webhooks(daemon)["webhooks"] if r["failures"]])
    assert "127.0.0.1, which is no public address" in row["last_error"]
    assert receiver.arrived == []


# --- killed between commit and send ----------------------------------------------------------


def on(store_url: str) -> dict[str, str]:
    return LOCAL | {"TAU_DATABASE_URL": store_url}


@pytest.mark.timeout(180)
def test_a_daemon_killed_while_it_sends(
    make_daemon: Make, receiver: Receiver, store_url: str
) -> None:
    """The end of the run is committed, the message on its way, nothing heard of it yet."""
    daemon = make_daemon(**on(store_url)).start()
    daemon.deploy(SOURCE, "orders.py")
    hook = add_webhook(daemon, receiver)
    receiver.hold.clear()
    run_id = start_run(daemon)
    eventually(lambda: receiver.arrived, within=PATIENCE_S)
    daemon.kill()
    receiver.hold.set()
    daemon.start()
    eventually(lambda: len(receiver.arrived) == 2, within=PATIENCE_S)
    eventually(lambda: nothing_pending(daemon))
    first, second = receiver.arrived
    assert first.event_id == second.event_id
    assert first.body == second.body
    for request in (first, second):
        assert request.verified(hook["secret"])["data"]["id"] == run_id
    assert failed_runs(receiver) == [run_id]


@pytest.mark.timeout(1200)
def test_daemons_killed_at_random(make_daemon: Make, receiver: Receiver, store_url: str) -> None:
    seed = random.randrange(10**9)
    print(f"seed {seed}")  # noqa: T201
    chance = random.Random(seed)
    daemon = make_daemon(**on(store_url)).start()
    daemon.deploy(SOURCE, "orders.py")
    hook = add_webhook(daemon, receiver)
    asked: list[str] = []
    for _ in range(ROUNDS):
        asked += [start_run(daemon) for _ in range(chance.randrange(1, 6))]
        time.sleep(chance.uniform(0.0, 0.25))
        daemon.kill()
        daemon.start()
    eventually(lambda: len(failed_runs(receiver)) >= len(asked), within=PATIENCE_S)
    eventually(lambda: nothing_pending(daemon), within=PATIENCE_S)
    with daemon.client() as client:
        statuses = [client.get(f"/runs/{run_id}").json()["status"] for run_id in asked]
    assert set(statuses) == {"failed"}
    assert failed_runs(receiver) == sorted(asked)
    for request in receiver.arrived:
        request.verified(hook["secret"])


@pytest.mark.timeout(180)
def test_of_two_daemons_one_tells(
    make_daemon: Make, receiver: Receiver, empty_postgres: str
) -> None:
    # What signs is sealed by a key that all daemons of the store have.
    key = base64.b64encode(os.urandom(32)).decode()
    both = on(empty_postgres) | {"TAU_SECRETS_KEY": key}
    first = make_daemon("first", **both).start()
    second = make_daemon("second", **both).start()
    first.deploy(SOURCE, "orders.py")
    add_webhook(second, receiver)
    asked = [start_run(daemon) for daemon in (first, second) * 15]
    eventually(lambda: len(failed_runs(receiver)) == 30, within=PATIENCE_S)
    eventually(lambda: nothing_pending(first))
    assert failed_runs(receiver) == sorted(asked)
    assert len(receiver.arrived) == 30


# --- [notify] --------------------------------------------------------------------------------


def test_services_are_told_and_their_urls_are_told_to_nobody(
    make_daemon: Make, make_receiver: Callable[..., Receiver]
) -> None:
    good, bad = make_receiver(), make_receiver()
    bad.answers = [500]
    urls = [f"json://user:{TOKEN}@127.0.0.1:{r.port}/{TOKEN}" for r in (good, bad)]
    daemon = make_daemon(TAU_LOG__LEVEL="debug")
    daemon.home.mkdir()
    text = f"[notify]\nurls = {json.dumps(urls)}\nevents = ['run.failed', 'run.recovered']\n"
    (daemon.home / "tau.toml").write_text(text)
    daemon.start()
    daemon.deploy(SOURCE, "orders.py")
    tested = daemon.tau("notify", "test")
    assert tested.exit_code == 12
    rows = tested.json["services"]
    assert [(row["service"], row["delivered"]) for row in rows] == [
        ("json://…", True), ("json://…", False),
    ]  # fmt: skip
    assert daemon.run("orders", fail=True)["status"] == "failed"
    assert daemon.run("orders", fail=False)["status"] == "success"
    eventually(lambda: len(good.arrived) == 3, within=20)
    assert sorted(request.json["title"] for request in good.arrived)[1:] == [
        "orders#1: failed", "orders#2: works again",
    ]  # fmt: skip
    [failed] = [request.json for request in good.arrived if "#1" in request.json["title"]]
    assert "tau inspect orders#1" in failed["message"]
    listed = eventually(
        lambda: [row for row in webhooks(daemon)["notify"] if row.get("last_error")]
    )
    assert listed[0]["pending"] == 2
    said = [tested.stdout, daemon.tau("webhooks").stdout, daemon.tau("status").stdout]
    said.append((daemon.home / "test.log").read_text())
    daemon.stop()
    said.append((daemon.home / "tau.db").read_bytes().decode("latin-1"))
    assert TOKEN not in "".join(said)


WITHOUT = "import sys; sys.modules['apprise'] = None; from tau.daemon.app import main; main()"


@pytest.mark.parametrize(
    ("program", "urls", "exit_code", "code"),
    [
        ([sys.executable, "-c", WITHOUT], f'["slack://{TOKEN}"]', 5, "dependency.missing_extra"),
        ([str(BIN / "taud")], f'["nonsense://{TOKEN}"]', 2, "config.invalid"),
    ],
)
def test_a_setting_that_can_not_be_honoured_ends_the_start(
    make_daemon: Make, program: list[str], urls: str, exit_code: int, code: str
) -> None:
    daemon = make_daemon(TAU_NOTIFY__URLS=urls)
    daemon.home.mkdir()
    done = subprocess.run(
        [*program, "start", "--port", "0"], env=daemon.environment(), cwd=daemon.home,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    error = json.loads(done.stdout)["error"]
    assert (done.returncode, error["code"]) == (exit_code, code)
    if exit_code == 5:
        assert "tau-pipelines[notify]" in error["hint"]
    assert TOKEN not in done.stdout + done.stderr
