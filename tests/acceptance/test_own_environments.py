"""Own environments as `tau` shows them: exit codes, and what is told meanwhile."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.environments import local_package, script
from tests.fixtures.waiting import eventually

from tau.cli.progress import describe
from tau.client import Client
from tau.client.target import Target

BODY = """
    import heldup

    @pipeline(name="{name}")
    def told(ctx):
        return heldup.VERSION
"""


def test_what_cant_be_had_is_exit_code_5_and_named(
    shared_daemon: DaemonProcess, tmp_path: Path
) -> None:
    file = tmp_path / "unresolvable.py"
    file.write_text(script("idna==3.999", body="@pipeline\ndef unresolvable(ctx): pass\n"))
    for words in (("deploy", str(file)), ("deploy", str(file), "--dry-run"), ("run", str(file))):
        answer = shared_daemon.tau(*words)
        error = answer.json["error"]
        assert (answer.exit_code, error["code"]) == (5, "dependency.unresolvable")
        assert error["packages"] == ["idna"]
        assert "idna==3.999" in error["message"]
        assert error["hint"]
        assert error["next"][0].startswith("tau deploy")
    assert shared_daemon.tau("show", "unresolvable").exit_code == 8
    file.write_text("# /// script\n# dependencies = [\n# ///\n")
    wrong = shared_daemon.tau("deploy", str(file))
    assert (wrong.exit_code, wrong.json["error"]["line"]) == (3, 1)


def test_how_far_a_build_is_is_told_while_it_is_waited_for(
    shared_daemon: DaemonProcess, tmp_path: Path
) -> None:
    held = local_package(tmp_path / "held")
    held.hold()
    file = tmp_path / "told.py"
    file.write_text(script(held.requirement, body=BODY.format(name="told")))
    heard: list[dict[str, Any]] = []
    target = Target(shared_daemon.url, api_key=shared_daemon.key)
    with Client(target) as client, ThreadPoolExecutor(1) as pool:
        deploying = pool.submit(client.deploy, file, on_progress=heard.append)
        eventually(lambda: [one for one in heard if "installing" in one["building"]], within=60)
        held.release()
        assert deploying.result(60)["environment"]["ready"] is True
        run = client.run("told", wait=30)
    assert (run["status"], run["result"]) == ("success", "1.0")
    assert {one["file"] for one in heard} == {"told.py"}
    said = describe(heard[-1])
    assert said.startswith("told.py · environment: installing")
    assert said.endswith("packages")
