"""Every example of the registry, run as it is written against a real daemon.

It exits 0 and prints one JSON document, with no key that the registry does not name.
"""

import json
import shlex
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.receiver import Receiver, serve
from tests.fixtures.waiting import eventually

from tau.commands import registry
from tau.commands.spec import Command

Done = subprocess.CompletedProcess[str]
Make = Callable[..., DaemonProcess]

SOURCE = """
import time
from tau import pipeline

@pipeline(name={name!r}, tags=["warehouse"], params={{"region": "eu", "then": "succeed"}})
def work(ctx):
    print("rows of", ctx.params["region"])
    if ctx.params["then"] == "fail":
        raise ValueError("no rows")
    while ctx.params["then"] == "go on":
        time.sleep(0.01)
    return {{"version": {version}}}
"""


@dataclass
class Scene:
    """A daemon with what the examples speak of: pipelines, versions, runs and a key to revoke."""

    daemon: DaemonProcess
    receiver: Receiver
    key_id: str = ""
    webhook_id: str = ""

    def build(self) -> None:
        (self.daemon.home / "tau.toml").write_text("[env.prod.executor]\nslots = 2\n")
        for version in (1, 2, 3):
            source = SOURCE.format(name="orders", version=version)
            (self.daemon.home / "orders.py").write_text(source)
            self.deploy_orders()
        for number in range(1, 8):
            run = self.daemon.run("orders", then="fail" if number == 3 else "succeed")
            expected = "failed" if number == 3 else "success"
            assert (run["run"], run["status"]) == (f"orders#{number}", expected)
        (self.daemon.home / "token.txt").write_text("of-a-file\n")
        (self.daemon.home / "id_ed25519").write_text("-----BEGIN\nkey\n-----END\n")
        self.daemon.deploy(SOURCE.format(name="users", version=1), "users.py")
        assert self.daemon.run("users")["status"] == "success"

    def deploy_orders(self) -> None:
        source = (self.daemon.home / "orders.py").read_text()
        self._post("/deployments", file_name="orders.py", source=source, reason="the examples")

    def make_key(self) -> None:
        made = self._post("/keys", name="spare", scopes=["read"])
        self.key_id = made["id"]

    def set_a_secret(self) -> None:
        with self.daemon.client() as client:
            client.put("/secrets/API_TOKEN", json={"value": "something"})

    def add_a_webhook(self) -> None:
        self.webhook_id = self._post("/webhooks", url=self.receiver.url)["id"]

    def set_a_schedule(self) -> None:
        """One that is not due while the examples run."""
        self._post("/pipelines/orders/schedule", cron="0 0 29 2 *")

    def clear_the_schedule(self) -> None:
        self._post("/pipelines/orders/schedule", clear=True)

    def start_a_long_run(self) -> None:
        self._post("/pipelines/orders/runs", params={"then": "go on"})
        self._until_the_last_is("running")

    def end_the_long_run(self) -> None:
        """And leave one that went well as `orders@last`."""
        self._post("/runs/orders%40last/cancel")
        self._until_the_last_is("cancelled")
        assert self.daemon.run("orders")["status"] == "success"

    def run(self, example: str) -> Done:
        made = self.webhook_id if example.startswith("tau webhook") else self.key_id
        return run_example(self.daemon, example.replace(" ID", f" {made}"))

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        with self.daemon.client() as client:
            document: dict[str, Any] = client.post(path, json=body).json()
        return document

    def _until_the_last_is(self, status: str) -> None:
        with self.daemon.client() as client:
            eventually(lambda: client.get("/runs/orders%40last").json()["status"] == status)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    receiving = serve()
    receiver = next(receiving)
    settings = {
        "TAU_WEBHOOKS__ALLOW_PRIVATE": '["127.0.0.1/32"]',
        "TAU_WEBHOOKS__ALLOW_HTTP": "true",
        "TAU_NOTIFY__URLS": f'["json://127.0.0.1:{receiver.port}/"]',
    }
    home = tmp_path_factory.mktemp("examples") / "home"
    daemon = DaemonProcess(home, env=settings).start()
    scene = Scene(daemon, receiver)
    scene.build()
    yield scene
    daemon.stop()
    receiving.close()  # type: ignore[attr-defined]


BEFORE: dict[str, Callable[[Scene], None]] = {
    "cancel": Scene.start_a_long_run,
    "keys revoke": Scene.make_key,
    "schedule": Scene.set_a_schedule,
    "schedules": Scene.set_a_schedule,
    "secrets": Scene.set_a_secret,
    "secret delete": Scene.set_a_secret,
    "webhooks": Scene.add_a_webhook,
    "webhook delete": Scene.add_a_webhook,
    "webhook test": Scene.add_a_webhook,
}
AFTER: dict[str, Callable[[Scene], None]] = {
    "deploy": Scene.clear_the_schedule,
    "schedule": Scene.clear_the_schedule,
    "schedules": Scene.clear_the_schedule,
    "cancel": Scene.end_the_long_run,
    "undeploy": Scene.deploy_orders,
    "rollback": Scene.deploy_orders,
}
OF_TAU = [(c, example) for c in registry.of_program("tau") for example in c.examples]


@pytest.mark.xdist_group("examples of commands")
@pytest.mark.parametrize(("command", "example"), OF_TAU, ids=[example for _, example in OF_TAU])
def test_an_example_of_tau(scene: Scene, command: Command, example: str) -> None:
    BEFORE.get(command.name, _nothing)(scene)
    try:
        done = scene.run(example)
    finally:
        AFTER.get(command.name, _nothing)(scene)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    if "-o table" in example:
        assert not done.stdout.startswith("{")
    elif "--follow" in example:
        assert json.loads(done.stdout.splitlines()[-1])["type"] == "end"
    else:
        check_document(command, done.stdout)
        check_fields(command, json.loads(done.stdout), example)


FULL = ["tau list --full", "tau show orders --full", "tau runs --full", "tau errors --full",
        "tau inspect orders@last-failed --full"]  # fmt: skip


@pytest.mark.xdist_group("examples of commands")
@pytest.mark.parametrize("line", FULL)
def test_what_full_shows_is_declared(scene: Scene, line: str) -> None:
    done = scene.run(line)
    assert done.returncode == 0, done.stdout
    check_document(registry.match("tau", shlex.split(line)[1:])[0], done.stdout)


def test_every_command_with_a_full_answer_is_tried() -> None:
    named = {registry.match("tau", line.split()[1:])[0].name for line in FULL}
    assert named == {c.name for c in registry.of_program("tau") if "full" in c.keywords}


@pytest.mark.parametrize("example", ["taud status", "taud doctor", "taud stop", "taud stop --kill"])
def test_an_example_with_a_daemon(make_daemon: Make, example: str) -> None:
    check_example(run_example(make_daemon().start(), example), example)


def test_the_example_that_starts_one(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_PORT="0")
    daemon.home.mkdir()
    try:
        check_example(run_example(daemon, "taud start --daemon"), "taud start --daemon")
    finally:
        assert run_example(daemon, "taud stop").returncode == 0


def test_the_example_of_a_table(make_daemon: Make) -> None:
    done = run_example(make_daemon().start(), "taud doctor -o table")
    assert (done.returncode, done.stderr) == (0, "")
    assert "sqlite" in done.stdout


@pytest.mark.parametrize("example", ["taud", "taud start --port 8500"])
def test_an_example_in_the_foreground(make_daemon: Make, example: str) -> None:
    """It prints nothing; a port of its own, as the one named may be taken here."""
    daemon = make_daemon(TAU_PORT="0")
    daemon.home.mkdir()
    _, *words = shlex.split(example.replace("8500", "0"))
    process = subprocess.Popen(
        [BIN / "taud", *words], env=daemon.environment(), cwd=daemon.home,
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        eventually(daemon.info, within=30)
    finally:
        process.send_signal(signal.SIGTERM)
        stdout, _ = process.communicate(timeout=30)
    assert (process.returncode, stdout) == (0, b"")


def test_no_example_of_taud_is_left_out() -> None:
    tried = {"taud", "taud start --daemon", "taud start --port 8500", "taud status",
             "taud doctor", "taud doctor -o table", "taud stop", "taud stop --kill"}  # fmt: skip
    assert tried == {example for c in registry.of_program("taud") for example in c.examples}


def run_example(daemon: DaemonProcess, example: str) -> Done:
    line, _, stdin = example.partition(" < ")
    program, *words = shlex.split(line)
    given = (daemon.home / stdin).read_text() if stdin else ""
    return subprocess.run(
        [BIN / program, *words], env=daemon.environment() | {"TOKEN": "of-the-environment"},
        cwd=daemon.home, input=given, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def check_example(done: Done, example: str) -> None:
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    words = shlex.split(example)[1:]
    check_document(registry.match("taud", words)[0], done.stdout)


def check_document(command: Command, text: str) -> None:
    """One line of JSON, with no key that the command does not declare."""
    assert text.endswith("\n")
    assert text.count("\n") == 1
    document, output = json.loads(text), command.output
    assert set(document) <= {*output.keys, *output.full_keys}
    for row in document.get(output.rows, ()):
        assert set(row) <= {*output.row_keys, *output.full_keys}


def check_fields(command: Command, document: dict[str, Any], example: str) -> None:
    """Those asked for are there, and no others."""
    _, _, names = example.partition("--fields ")
    rows = document.get(command.output.rows, [document])
    if names:
        assert {key for row in rows for key in row} == set(names.split(","))


def _nothing(scene: Scene) -> None:
    """Most examples leave the scene as it is."""
