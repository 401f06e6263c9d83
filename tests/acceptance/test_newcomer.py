"""What a newcomer and an agent do: the examples, twenty runs in a row, the wheel alone."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.waiting import eventually

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
Make = Callable[..., DaemonProcess]


def test_the_readme_starts_with_its_two_commands() -> None:
    found = re.findall(r"pip install uv && uv run [^`\n]+", (ROOT / "README.md").read_text())
    assert found == [
        "pip install uv && uv run tau run examples/hello_pipeline.py",
        "pip install uv && uv run pytest",
    ]


def test_one_command_starts_deploys_and_runs(make_daemon: Make) -> None:
    """As the README says, with no daemon, no key and no settings."""
    home = make_daemon(TAU_AUTOSTART="1")
    home.home.mkdir()
    try:
        answer = home.tau("run", str(EXAMPLES / "hello_pipeline.py"))
        assert answer.exit_code == 0, answer.stdout
        assert answer.json["result"]["records_processed"] == 3
        assert "started a daemon" in answer.stderr
        again = home.tau("run", "hello_pipeline")
        assert (again.exit_code, again.stderr) == (0, "")
        assert again.json["run"] == "hello_world#2"
    finally:
        subprocess.run([BIN / "taud", "stop", "--kill"], env=home.environment(), check=True)
    eventually(lambda: not home.descendants())


def test_penguins_tell_how_many_rows_were_dropped_and_why(shared_daemon: DaemonProcess) -> None:
    answer = shared_daemon.tau("run", str(EXAMPLES / "penguins.py"))
    assert answer.exit_code == 0, answer.stdout
    run = answer.json
    assert run["result"]["rows_dropped"] == 11
    assert run["result"]["dropped_because"] == {"no measurements": 2, "sex unknown": 9}
    counts = {s["name"]: (s.get("rows_in"), s.get("rows_out")) for s in run["steps"]}
    assert counts["read"] == (None, 344)
    assert counts["clean"] == (344, 333)
    assert run["checks"] == {"passed": 4, "failed": 0, "warned": 0}


def test_the_other_examples(shared_daemon: DaemonProcess) -> None:
    checked = shared_daemon.tau("run", str(EXAMPLES / "steps_and_checks.py"))
    assert (checked.exit_code, checked.json["checks"]["warned"]) == (0, 1)
    params = json.dumps({"rows": 50, "minimum": 60})
    failed = shared_daemon.tau("run", "steps_and_checks", "--params", params)
    assert (failed.exit_code, failed.json["failure"]["type"]) == (4, "CheckFailed")
    broken = shared_daemon.tau("run", str(EXAMPLES / "failing_pipeline.py"))
    assert (broken.exit_code, broken.json["failure"]["step"]) == (4, "transform")
    trace = shared_daemon.tau("inspect", "failing_pipeline@last")
    assert trace.exit_code == 0
    assert "email_address:str" in trace.stdout


@pytest.mark.timeout(300)
def test_flights_run_with_dependencies_of_their_own(shared_daemon: DaemonProcess) -> None:
    """The numbers are those that the data is known by: 8,255 without departure, 9,430 without
    arrival."""
    file = str(EXAMPLES / "flights.py")
    deployed = shared_daemon.tau("deploy", file)
    assert (deployed.exit_code, deployed.stderr) == (0, ""), deployed.stdout
    assert deployed.json["environment"]["ready"] is True
    answer = shared_daemon.tau("run", "flights")
    assert answer.exit_code == 0, answer.stdout
    result = answer.json["result"]
    assert (result["rows_read"], result["records_processed"]) == (336_776, 327_346)
    assert result["dropped_because"] == {"cancelled": 8255, "never arrived": 1175}
    assert len(result["airlines"]) == 16
    counts = {s["name"]: (s.get("rows_in"), s.get("rows_out")) for s in answer.json["steps"]}
    assert counts == {
        "read": (None, 336_776), "clean": (336_776, 327_346), "sum up": (327_346, 16),
    }  # fmt: skip
    assert answer.json["checks"] == {"passed": 3, "failed": 0, "warned": 0}
    shown = shared_daemon.tau("show", "flights").json["environment"]
    assert (shown["ready"], shown["packages"] > 5) == (True, True)


def test_every_example_is_tried() -> None:
    text = Path(__file__).read_text()
    assert not [path.name for path in EXAMPLES.glob("*.py") if path.name not in text]


def test_twenty_runs_in_a_row_each_complete(shared_daemon: DaemonProcess) -> None:
    name = f"hello_{os.getpid()}"
    file = str(EXAMPLES / "hello_pipeline.py")
    assert shared_daemon.tau("deploy", file, "--name", name).exit_code == 0
    for number in range(1, 21):
        answer = shared_daemon.tau("run", name)
        run = answer.json
        assert (answer.exit_code, run["run"], run["status"]) == (0, f"{name}#{number}", "success")
        assert run["result"] == {"message": "Hello, World!", "records_processed": 3}
        assert [(s["name"], s["rows_out"]) for s in run["steps"]] == [("count", 3)]
        assert run["logs"] == {"lines": 1, "warnings": 0, "errors": 0}
    eventually(lambda: len(shared_daemon.descendants()) == 2)


def test_following_a_run_by_its_logs(shared_daemon: DaemonProcess, tmp_path: Path) -> None:
    name = f"slow_{os.getpid()}"
    file = tmp_path / "slow.py"
    file.write_text(
        "import time\nfrom tau import pipeline\n\n"
        f"@pipeline(name={name!r})\ndef slow(ctx):\n"
        "    for n in range(5):\n        print('tick', n)\n        time.sleep(0.05)\n"
    )
    assert shared_daemon.tau("run", str(file), "--detach").json["status"] in ("queued", "running")
    followed = shared_daemon.tau("logs", name, "--follow")
    lines = [json.loads(line) for line in followed.stdout.splitlines()]
    assert [x["message"] for x in lines if x["type"] == "log"] == [f"tick {n}" for n in range(5)]
    assert (lines[-1]["type"], lines[-1]["status"]) == ("end", "success")


@pytest.mark.timeout(300)
def test_the_wheel_alone_runs_hello(make_daemon: Make, tmp_path: Path) -> None:
    """Installed into an empty environment, far from the checkout; migrations travel with it."""
    uv = os.environ.get("UV") or shutil.which("uv")
    assert uv, "uv is needed to build the wheel"
    outer = ("VIRTUAL_ENV", "UV_PROJECT_ENVIRONMENT")
    clean = {key: value for key, value in os.environ.items() if key not in outer}
    run = partial(subprocess.run, cwd=tmp_path, env=clean, check=True, capture_output=True)
    run([uv, "build", "--wheel", "--out-dir", tmp_path / "dist", ROOT])
    [wheel] = (tmp_path / "dist").glob("*.whl")
    run([uv, "venv", "--python", sys.executable, tmp_path / "env"])
    bin_dir = tmp_path / "env" / "bin"
    run([uv, "pip", "install", "--python", bin_dir / "python", wheel])
    daemon = make_daemon(TAU_AUTOSTART="1")
    daemon.home.mkdir()
    hello = shutil.copy(EXAMPLES / "hello_pipeline.py", tmp_path)
    run = partial(run, env=daemon.environment(), check=False, text=True)
    done = run([bin_dir / "tau", "run", hello])
    assert run([bin_dir / "taud", "stop", "--kill"]).returncode == 0
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["result"]["records_processed"] == 3
