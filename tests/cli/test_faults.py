"""Every command as a process against every fault around it: what it prints, how it exits.

The faults of the answer are the daemon's that dies, a proxy's, a cut connection's; the others
are of the machine: no room for stdout, no stdin, no home to start a daemon in.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.every_command import COMMANDS, NEEDS_YES
from tests.client.standin import StandIn

TAU = shlex.join([sys.executable, "-m", "tau.cli.main"])
FORKED_TAU = [sys.executable, str(Path(__file__).with_name("forked_tau.py"))]
END = b'event: end\ndata: {"run":"orders#7","status":"success"}\n\n'
AT_ONCE = 4


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    exit_code: int
    stdout: str
    stderr: str

    def is_error(self, code: str, exit_code: int) -> bool:
        """Whether it is one error document on stdout, and nothing on stderr."""
        lines = self.stdout.splitlines()
        if (self.exit_code, self.stderr, len(lines)) != (exit_code, "", 1):
            return False
        document = json.loads(lines[0])
        return set(document) == {"error"} and document["error"]["code"] == code


@pytest.fixture
def commands(tmp_path: Path) -> dict[str, list[str]]:
    file = tmp_path / "orders.py"
    file.write_text("x = 1\n")
    return {
        name: [str(file) if word == "FILE" else word for word in words]
        for name, words in COMMANDS.items()
    }


RunAll = Callable[..., dict[str, Done]]


@pytest.fixture
def run_all(commands: dict[str, list[str]]) -> RunAll:
    """Every command at the same time, with stdout to a file of that name."""

    def call(stdout: str | None = None, **environ: str) -> dict[str, Done]:
        request = {"commands": commands, "environ": environ, "stdout": stdout}
        done = subprocess.run(
            FORKED_TAU, input=json.dumps(request), capture_output=True, text=True, timeout=100
        )
        assert done.stderr == ""
        return {name: Done(*answer) for name, answer in json.loads(done.stdout).items()}

    return call


def run_in_shell(script: str, **environ: str) -> Done:
    done = subprocess.run(
        ["sh", "-c", script], env=os.environ | environ, capture_output=True, text=True, timeout=60
    )
    return Done(done.returncode, done.stdout, done.stderr)


def unlike(answers: dict[str, Done], code: str, exit_code: int) -> dict[str, Done]:
    return {name: done for name, done in answers.items() if not done.is_error(code, exit_code)}


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ("reset", "daemon.unreachable"),
        ("reset_midway", "daemon.bad_answer"),
        ("cut", "daemon.bad_answer"),
        ("truncated", "daemon.bad_answer"),
        ("html_502", "daemon.bad_answer"),
        ("html_200", "daemon.bad_answer"),
    ],
)
def test_an_answer_that_breaks(daemon: StandIn, run_all: RunAll, fault: str, code: str) -> None:
    daemon.fault = fault
    assert unlike(run_all(), code, 7) == {}


def test_no_room_for_stdout(daemon: StandIn, run_all: RunAll) -> None:
    """The document is lost: that is said on stderr, and the exit code is no success."""
    daemon.streams = [END]
    for name, done in run_all("/dev/full").items():
        expected = 6 if COMMANDS[name] == NEEDS_YES else 1
        assert (done.exit_code, "No space left" in done.stderr) == (expected, True), name
        assert "Traceback" not in done.stderr, name


def test_no_room_for_an_error(daemon: StandIn, run_all: RunAll) -> None:
    """What went wrong is still told, by the exit code and on stderr."""
    daemon.fault = "html_200"
    for name, done in run_all("/dev/full").items():
        assert (done.exit_code, "daemon.bad_answer" in done.stderr) == (7, True), name


def test_no_home_can_be_made(run_all: RunAll) -> None:
    answers = run_all(TAU_AUTOSTART="1", TAU_HOME="/proc/tau")
    assert unlike(answers, "config.invalid", 2) == {}


def test_a_home_that_cannot_be_written_to(run_all: RunAll) -> None:
    """As /proc can't, not even by root."""
    answers = run_all(TAU_AUTOSTART="1", TAU_HOME="/proc")
    assert unlike(answers, "config.invalid", 2) == {}


@pytest.mark.parametrize("closed", ["<&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed(
    daemon: StandIn, commands: dict[str, list[str]], closed: str
) -> None:
    """From the start on: the descriptors are free, and the next files opened get them."""
    daemon.streams = [END]
    scripts = [f"exec {TAU} {shlex.join(words)} {closed}" for words in commands.values()]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        answers = dict(zip(commands, pool.map(run_in_shell, scripts), strict=True))
    for name, done in answers.items():
        refused = commands[name] == NEEDS_YES
        assert (done.exit_code, done.stderr) == (6 if refused else 0, ""), name
        assert len(done.stdout.splitlines()) == (0 if ">&-" in closed else 1), name


def on_small_disk(home: Path, options: str, script: str) -> Done:
    """Run a script with its home on a disk of its own; where none can be had, without any room.

    The disk goes with the process, as it is in a mount namespace of its own.
    """
    home.mkdir()
    may_mount = run_in_shell("unshare -rm true").exit_code == 0
    mounted = f"mount -t tmpfs -o {options} tmpfs {home} && {script}"
    command = f"unshare -rm sh -c {shlex.quote(mounted)}"
    return run_in_shell(
        command if may_mount else f"ulimit -f 0; {script}", TAU_AUTOSTART="1", TAU_HOME=str(home)
    )


@pytest.mark.parametrize("name", ["list", "deploy", "logs --follow"])
@pytest.mark.parametrize("options", ["size=64k,nr_inodes=1", "size=4k", "size=64k"])
def test_a_disk_too_full_to_start_a_daemon(
    tmp_path: Path, commands: dict[str, list[str]], name: str, options: str
) -> None:
    done = on_small_disk(tmp_path / "home", options, f"{TAU} {shlex.join(commands[name])}")
    assert done.is_error("daemon.start_failed", 7), done
    message = json.loads(done.stdout)["error"]["message"]
    assert any(text in message for text in ("is full", "No space left", "too large")), message


def test_a_daemon_is_started_with_every_stream_closed(tmp_path: Path) -> None:
    home = {"TAU_AUTOSTART": "1", "TAU_HOME": str(tmp_path / "home")}
    try:
        assert run_in_shell(f"{TAU} list <&- >&- 2>&-", **home).exit_code == 0
        done = run_in_shell(f"{TAU} status", **home)
        assert (done.exit_code, json.loads(done.stdout)["status"]) == (0, "ok")
    finally:
        stop = shlex.join([sys.executable, "-m", "tau.daemon.app", "stop", "--kill"])
        assert run_in_shell(stop, **home).exit_code == 0


def test_a_full_stderr_does_not_keep_a_daemon_from_being_used(tmp_path: Path) -> None:
    home = {"TAU_AUTOSTART": "1", "TAU_HOME": str(tmp_path / "home")}
    try:
        done = run_in_shell(f"{TAU} list 2> /dev/full", **home)
        assert (done.exit_code, json.loads(done.stdout)["total"]) == (0, 0)
    finally:
        stop = shlex.join([sys.executable, "-m", "tau.daemon.app", "stop", "--kill"])
        assert run_in_shell(stop, **home).exit_code == 0
