"""Every command as a process against every fault around it: what it prints, how it exits.

The faults of the answer are the daemon's that dies, a proxy's, a cut connection's; the others
are of the machine: no room for stdout, no stdin, no home to start a daemon in.
"""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.cli.every_command import COMMANDS, NEEDS_YES
from tests.client.standin import StandIn

TAU = shlex.join([sys.executable, "-m", "tau.cli.main"])
END = b'event: end\ndata: {"run":"orders#7","status":"success"}\n\n'
AT_ONCE = 6


@dataclass(frozen=True)
class Done:
    """How a process ended."""

    exit_code: int
    stdout: bytes
    stderr: bytes

    def is_error(self, code: str, exit_code: int) -> bool:
        """Whether it is one error document on stdout, and nothing on stderr."""
        lines = self.stdout.splitlines()
        if (self.exit_code, self.stderr, len(lines)) != (exit_code, b"", 1):
            return False
        document = json.loads(lines[0])
        return set(document) == {"error"} and document["error"]["code"] == code


RunAll = Callable[..., dict[str, Done]]


@pytest.fixture
def run_all(tmp_path: Path) -> RunAll:
    """Runs every command, several at a time, each with `redirections` of the shell."""
    file = tmp_path / "orders.py"
    file.write_text("x = 1\n")

    def run(argv: list[str], redirections: str, environ: Mapping[str, str]) -> Done:
        words = shlex.join(str(file) if word == "FILE" else word for word in argv)
        script = f"exec {TAU} {words} {redirections}"
        done = subprocess.run(
            ["sh", "-c", script], env=os.environ | environ, capture_output=True, timeout=60
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def call(redirections: str = "", **environ: str) -> dict[str, Done]:
        with ThreadPoolExecutor(AT_ONCE) as pool:
            waiting = {
                name: pool.submit(run, argv, redirections, environ)
                for name, argv in COMMANDS.items()
            }
            return {name: future.result() for name, future in waiting.items()}

    return call


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
    for name, done in run_all("> /dev/full").items():
        expected = 6 if COMMANDS[name] == NEEDS_YES else 1
        assert (done.exit_code, b"No space left" in done.stderr) == (expected, True), name
        assert b"Traceback" not in done.stderr, name


def test_no_room_for_an_error(daemon: StandIn, run_all: RunAll) -> None:
    """What went wrong is still told by the exit code and on stderr."""
    daemon.fault = "html_200"
    for name, done in run_all("> /dev/full").items():
        assert (done.exit_code, b"daemon.bad_answer" in done.stderr) == (7, True), name


@pytest.mark.parametrize("redirections", [">&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed(daemon: StandIn, run_all: RunAll, redirections: str) -> None:
    daemon.streams = [END]
    for name, done in run_all(redirections).items():
        refused = COMMANDS[name] == NEEDS_YES
        assert (done.exit_code, done.stderr) == (6 if refused else 0, b""), name
        if ">&-" in redirections:
            assert done.stdout == b"", name
        else:
            assert len(done.stdout.splitlines()) == 1, name
            assert ("error" in json.loads(done.stdout)) == refused, name


def test_no_home_can_be_made(run_all: RunAll) -> None:
    answers = run_all(TAU_AUTOSTART="1", TAU_HOME="/proc/tau")
    assert unlike(answers, "config.invalid", 2) == {}


def test_a_home_that_cannot_be_written_to(run_all: RunAll) -> None:
    """As /proc can't, not even by root."""
    answers = run_all(TAU_AUTOSTART="1", TAU_HOME="/proc")
    assert unlike(answers, "config.invalid", 2) == {}


def on_small_disk(home: Path, options: str, script: str) -> subprocess.CompletedProcess[bytes]:
    """Run a script with its home on a disk of its own; where none can be had, without any room.

    The disk goes with the process, as it is in a mount namespace of its own.
    """
    home.mkdir(exist_ok=True)
    may_mount = subprocess.run(["unshare", "-rm", "true"], capture_output=True).returncode == 0
    mount = f"mount -t tmpfs -o {options} tmpfs {home}"
    command = ["unshare", "-rm", "sh", "-c", f"{mount} && {script}"]
    return subprocess.run(
        command if may_mount else ["sh", "-c", f"ulimit -f 0; {script}"],
        env=os.environ | {"TAU_AUTOSTART": "1", "TAU_HOME": str(home)},
        capture_output=True,
        timeout=60,
    )


@pytest.mark.parametrize("command", ["list", "deploy", "logs --follow", "keys create"])
@pytest.mark.parametrize("options", ["size=64k,nr_inodes=1", "size=4k", "size=64k"])
def test_a_disk_too_full_to_start_a_daemon(tmp_path: Path, command: str, options: str) -> None:
    (tmp_path / "orders.py").write_text("x = 1\n")
    words = shlex.join(COMMANDS[command]).replace("FILE", str(tmp_path / "orders.py"))
    done = on_small_disk(tmp_path / "home", options, f"{TAU} {words}")
    assert Done(done.returncode, done.stdout, done.stderr).is_error("daemon.start_failed", 7), done
    message = json.loads(done.stdout)["error"]["message"]
    assert "disk is full" in message or "No space left" in message or "too large" in message
