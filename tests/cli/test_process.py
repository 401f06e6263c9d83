"""The program as it is run: streams, exit codes, signals, terminals, and what it imports."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.client.standin import StandIn
from tests.fixtures.waiting import eventually

TAU = [sys.executable, "-m", "tau.cli.main"]
ANSI = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def run(*argv: str, **how: object) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*TAU, *argv], capture_output=True, timeout=60, check=False, **how)  # type: ignore[call-overload,no-any-return]


def test_success(daemon: StandIn) -> None:
    done = run("list")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == b'{"pipelines":[{"name":"orders","runs":3}],"total":1}\n'


@pytest.mark.parametrize(
    ("argv", "exit_code"),
    [(["show"], 2), (["lits"], 2), (["run", "x", "--params", "{"], 3), (["show", "x"], 7)],
)
def test_failure(argv: list[str], exit_code: int) -> None:
    done = run(*argv)
    assert (done.returncode, done.stderr) == (exit_code, b"")
    assert done.stdout.count(b"\n") == 1
    assert "error" in json.loads(done.stdout)


def test_a_failed_run(daemon: StandIn) -> None:
    daemon.statuses = ["failed"]
    done = run("run", "orders")
    assert (done.returncode, json.loads(done.stdout)["status"]) == (4, "failed")


def test_offline_commands_import_no_client() -> None:
    script = (
        "import sys; from tau.commands.build import execute; from tau.cli.main import HANDLERS;"
        "code = execute('tau', ['schema'], handlers=HANDLERS);"
        "print([m for m in ('httpx', 'rich', 'pydantic') if m in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"


def test_list_imports_no_more_than_it_needs(daemon: StandIn) -> None:
    script = (
        "import sys; from tau.commands.build import execute; from tau.cli.main import HANDLERS;"
        "code = execute('tau', ['list'], handlers=HANDLERS);"
        "heavy = ('rich', 'pydantic', 'click', 'pygments', 'sqlalchemy', 'fastapi', 'tomllib',"
        " 'asyncio', 'importlib.metadata', 'pydantic_settings', 'tau.core');"
        "print([m for m in heavy if m in sys.modules]); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.splitlines()[-1] == b"[]"


def test_a_reader_that_goes_away_leaves_no_noise(daemon: StandIn) -> None:
    lines = "".join(f'event: log\ndata: {{"message":"{i:01000d}"}}\n\n' for i in range(2000))
    daemon.streams = [f'{lines}event: end\ndata: {{"status":"success"}}\n\n'.encode()]
    command = f"{' '.join(TAU)} logs orders --follow | head -n 1"
    done = subprocess.run(["bash", "-c", f"set -o pipefail; {command}"], capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.count(b"\n") == 1


def test_a_full_disk_is_told_on_stderr(daemon: StandIn) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run([*TAU, "list"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 1
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_closed_stdout_is_no_crash(daemon: StandIn) -> None:
    done = subprocess.run(
        ["bash", "-c", f"{' '.join(TAU)} list >&-"], capture_output=True, check=False
    )
    assert b"Traceback" not in done.stderr


def test_a_stdout_that_is_not_utf_8(daemon: StandIn) -> None:
    daemon.pipelines = ["é日"]
    environ = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = run("list", env=environ)
    assert done.returncode == 0
    assert json.loads(done.stdout.decode("ascii"))["pipelines"][0]["name"] == "é日"


def test_an_argument_that_is_not_utf_8(daemon: StandIn) -> None:
    done = subprocess.run([*TAU, "show", b"\xff"], capture_output=True, check=False)
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "usage.invalid"


def test_interrupted_while_waiting_it_names_the_run(daemon: StandIn) -> None:
    daemon.statuses = ["running"]
    process = subprocess.Popen(
        [*TAU, "run", "orders"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    eventually(lambda: len(daemon.paths()) > 1)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=30)
    error = json.loads(stdout)["error"]
    assert (process.returncode, stderr) == (130, b"")
    assert (error["code"], error["next"]) == ("command.interrupted", ["tau wait orders#7"])


def test_autostart_that_fails_says_so_on_stdout(tmp_path: Path) -> None:
    """Of a daemon that cannot start: the home is a place where it cannot write its log."""
    (tmp_path / "home").write_text("a file, not a folder")
    done = run("list", env=os.environ | {"TAU_AUTOSTART": "1"})
    assert done.returncode == 2
    assert json.loads(done.stdout)["error"]["code"] == "config.invalid"


def on_terminal(argv: Sequence[str], *, stdout: bool = True, **env: str) -> tuple[str, str]:
    """What appears on the terminal, and what in the pipe that stands for the other stream."""
    ours, theirs = pty.openpty()
    other = subprocess.PIPE
    process = subprocess.Popen(
        [*TAU, *argv],
        stdin=subprocess.DEVNULL,
        stdout=theirs if stdout else other,
        stderr=other if stdout else theirs,
        env=os.environ | {"TERM": "xterm-256color"} | env,
    )
    os.close(theirs)
    pipe = process.stderr if stdout else process.stdout
    assert pipe is not None
    shown = _read_all(ours)
    with pipe:
        piped = pipe.read().decode()
    process.wait(timeout=30)
    return shown.replace("\r\n", "\n"), piped


def _read_all(descriptor: int) -> str:
    content = b""
    try:
        while chunk := os.read(descriptor, 65536):
            content += chunk
    except OSError:
        pass  # the terminal is gone: how Linux says that the last one has closed it
    finally:
        os.close(descriptor)
    return content.decode()


def test_a_terminal_gets_indented_colour(daemon: StandIn) -> None:
    shown, piped = on_terminal(["list"], NO_COLOR="")
    assert ANSI.search(shown)
    plain = ANSI.sub("", shown)
    assert plain.startswith('{\n  "pipelines": [\n')
    assert json.loads(plain)["total"] == 1
    assert piped == ""


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_without_colour(daemon: StandIn, env: dict[str, str]) -> None:
    shown, _ = on_terminal(["list"], **env)
    assert not ANSI.search(shown)
    assert shown.startswith('{\n  "pipelines": [\n')


def test_a_long_value_is_not_folded_on_a_terminal(daemon: StandIn) -> None:
    daemon.pipelines = ["x" * 500]
    shown, _ = on_terminal(["list"])
    assert json.loads(ANSI.sub("", shown))["pipelines"][0]["name"] == "x" * 500


def test_help_is_text_on_a_terminal() -> None:
    shown, _ = on_terminal(["--help"])
    assert "Usage: tau" in shown
    assert "deploy" in shown
    shown, _ = on_terminal(["run", "--help"])
    assert "--params" in shown
    assert "tau run orders.py --detach" in shown


def test_a_table_on_a_terminal(daemon: StandIn) -> None:
    shown, _ = on_terminal(["runs", "-o", "table"])
    assert "orders#7" in ANSI.sub("", shown)
    assert "{" not in shown


def test_progress_is_shown_where_stderr_is_a_terminal(daemon: StandIn) -> None:
    daemon.statuses = ["running", "running", "success"]
    shown, stdout = on_terminal(["run", "orders"], stdout=False)
    assert "orders#7 running · extract 1.2 s, 500 rows" in ANSI.sub("", shown)
    assert json.loads(stdout)["status"] == "success"
    assert stdout.count("\n") == 1
