"""What an operator does with a daemon: its log, its settings before a restart, its store."""

import json
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]

SOURCE = """
import os, time
from tau import pipeline

@pipeline
def slow(ctx):
    while not os.path.exists(ctx.params["until"]):
        time.sleep(0.01)
"""
CANARY = "canary-5f3a9b-canary"


def log_of(daemon: DaemonProcess) -> str:
    return (daemon.home / "test.log").read_text()


def lines_of(daemon: DaemonProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log_of(daemon).splitlines()]


def test_the_log_is_one_json_object_a_line_and_tells_of_which_run(
    make_daemon: Make, tmp_path: Path
) -> None:
    daemon = make_daemon(TAU_API_KEY=CANARY, TAU_LOG__LEVEL="debug").start()
    daemon.deploy(SOURCE)
    until = tmp_path / "go on"
    with daemon.client() as client:
        run = client.post("/pipelines/slow/runs", json={"params": {"until": str(until)}}).json()
        eventually(lambda: client.get(f"/runs/{run['id']}").json()["status"] == "running")
    daemon.kill()
    daemon.start()
    until.touch()
    daemon.stop()
    lines = lines_of(daemon)
    assert all(list(line)[:4] == ["ts", "level", "logger", "event"] for line in lines)
    assert {"tau.daemon", "uvicorn.error"} <= {line["logger"] for line in lines}
    [adopted] = [line for line in lines if line["event"].startswith("adopting")]
    assert (adopted["run"], adopted["run_id"], adopted["attempt"]) == ("slow#1", run["id"], 1)
    assert lines[-1]["event"] == "stopped"
    # At debug it would tell each statement with its values.
    assert "aiosqlite" not in {line["logger"] for line in lines}
    assert CANARY not in log_of(daemon)
    assert daemon.key not in log_of(daemon)


def test_the_log_as_text_and_its_level(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_LOG__LEVEL="warning").start("-o", "table")
    assert log_of(daemon) == ""
    daemon.stop()
    daemon.env = {"TAU_LOG__FORMAT": "text"}
    daemon.start()
    assert "[info" in log_of(daemon)
    daemon.stop()


TOML = """\
[executor]
slots = 3

[env.sandbox.executor]
slots = 5

[env.sandbox_ann.retention]
days = 7
"""


def test_an_overlay_is_chosen_and_it_is_shown_where_each_setting_came_from(
    make_daemon: Make,
) -> None:
    daemon = make_daemon(TAU_ENV="sandbox_ann", TAU_EXECUTOR__GRACE="1", TAU_API_KEY=CANARY)
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "tau.toml").write_text(TOML)
    daemon.start()
    daemon.env.pop("TAU_ENV")  # for `tau` it would name a daemon
    answer = daemon.tau("config", "show")
    assert answer.exit_code == 0
    shown = {row["name"]: (row.get("value"), row["from"]) for row in answer.json["settings"]}
    assert answer.json["layers"] == ["base", "sandbox", "sandbox_ann"]
    assert shown["executor.slots"] == (5, "[env.sandbox]:5")
    assert shown["retention.days"] == (7, "[env.sandbox_ann]:8")
    assert shown["executor.grace"] == (1, "TAU_EXECUTOR__GRACE")
    assert shown["daemon.port"] == (0, "command line")
    assert shown["auth.api_key"] == ("[masked]", "TAU_API_KEY")
    assert CANARY not in answer.stdout
    assert len(answer.stdout) <= 6 * 1024
    assert daemon.tau("status").json["executor"]["slots"] == 5


def test_an_unknown_overlay_keeps_the_daemon_from_starting(make_daemon: Make) -> None:
    daemon = make_daemon(TAU_ENV="prod")
    daemon.home.mkdir(mode=0o700)
    (daemon.home / "tau.toml").write_text(TOML)
    daemon.launch()
    assert daemon.process is not None
    assert daemon.process.wait(30) == 2
    error = json.loads(log_of(daemon).splitlines()[-1])["error"]
    assert error["code"] == "config.unknown_environment"
    assert error["known"] == ["base", "sandbox", "sandbox_ann"]


def test_a_file_is_validated_before_a_restart_needs_it(make_daemon: Make) -> None:
    daemon = make_daemon()
    daemon.home.mkdir(mode=0o700)
    own = daemon.home / "tau.toml"
    own.write_text(TOML)
    daemon.start()
    fine = daemon.tau("config", "validate", "tau.toml", "--overlay", "sandbox")
    assert (fine.exit_code, fine.json["valid"], fine.json["environment"]) == (0, True, "sandbox")
    own.write_text("[env.dev.executor]\nslots = 0\n[daemon]\nprot = 1\nport = 'x'\n")
    for words in ((), ("tau.toml",)):
        wrong = daemon.tau("config", "validate", *words)
        assert (wrong.exit_code, wrong.json["valid"]) == (2, False)
        assert sorted(error["line"] for error in wrong.json["errors"]) == [2, 4, 5]
        assert {error["file"] for error in wrong.json["errors"]} == {str(own)}
    unknown = daemon.tau("config", "validate", "tau.toml", "--overlay", "prod")
    assert unknown.exit_code == 2
    assert "[env.dev]" in unknown.json["errors"][0]["message"]
    missing = daemon.tau("config", "validate", "nowhere.toml")
    assert (missing.exit_code, missing.json["error"]["code"]) == (8, "file.not_found")
    daemon.stop()
    # The daemon itself refuses the same, with all of it.
    daemon.launch()
    assert daemon.process is not None
    assert daemon.process.wait(30) == 2
    error = json.loads(log_of(daemon).splitlines()[-1])["error"]
    assert (error["code"], len(error["errors"])) == ("config.invalid", 3)


def test_it_is_not_ready_while_it_drains(make_daemon: Make, tmp_path: Path) -> None:
    daemon, until = make_daemon(TAU_DAEMON__DRAIN="30").start(), tmp_path / "go on"
    daemon.deploy(SOURCE)
    url = daemon.url
    with daemon.client() as client:
        client.post("/pipelines/slow/runs", json={"params": {"until": str(until)}})
        eventually(lambda: client.get("/runs/slow%40last").json()["status"] == "running")
    assert httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGTERM)
    draining = lambda: httpx.get(f"{url}/readyz", trust_env=False)  # noqa: E731
    eventually(lambda: draining().status_code == 503)
    assert draining().json()["code"] == "daemon.stopping"
    until.touch()
    assert daemon.process.wait(30) == 0


def test_a_cleanup_is_shown_before_it_is_confirmed(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    refused = daemon.tau("db", "cleanup", "--days", "30")
    assert (refused.exit_code, refused.json["error"]["code"]) == (6, "confirmation.required")
    assert refused.json["error"]["next"] == ["tau db cleanup --days 30 --yes"]
    assert refused.json["error"]["would"]["removed"] == 0
    done = daemon.tau("db", "cleanup", "--days", "30", "--yes", "--reason", "room")
    assert (done.exit_code, done.json["done"]) == (0, True)
    backup = daemon.tau("db", "backup", "here.db")
    assert backup.json["file"] == str(daemon.home / "here.db")
    assert stat.S_IMODE((daemon.home / "here.db").stat().st_mode) == 0o600
    again = daemon.tau("db", "backup", "here.db")
    assert (again.exit_code, again.json["error"]["code"]) == (9, "backup.exists")
    actions = [entry["action"] for entry in daemon.tau("audit").json["entries"]]
    assert actions == ["db.backup", "db.cleanup"]
