"""Starting a daemon in the background: once, with its end noticed and its reason told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fixtures.waiting import eventually

from tau.client.home import Home
from tau.client.launch import answers, start_daemon
from tau.errors import ConfigurationError, DaemonStartFailed

MODULE = "standin_daemon"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    home = Home(tmp_path / "home")
    yield home
    for line in starts(home):
        pid = int(line.split()[0])
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def starts(home: Home) -> list[str]:
    path = home.path / "starts"
    return path.read_text().splitlines() if path.exists() else []


def test_it_returns_once_the_daemon_answers(home: Home) -> None:
    daemon = start_daemon(home, arguments=["--free-port"], module=MODULE)
    assert answers(daemon)
    assert home.find_daemon() == daemon
    pid, *rest = starts(home)[0].split()
    assert int(pid) == daemon.pid
    assert rest == ["start", "--free-port", str(home.path)]


def test_it_is_detached_and_its_log_is_private(home: Home) -> None:
    daemon = start_daemon(home, module=MODULE)
    assert os.getsid(daemon.pid) == daemon.pid != os.getsid(0)
    assert home.log_file.stat().st_mode & 0o777 == 0o600
    assert home.path.stat().st_mode & 0o777 == 0o700


def test_one_that_runs_is_returned(home: Home) -> None:
    first = start_daemon(home, module=MODULE)
    assert start_daemon(home, module=MODULE) == first
    assert len(starts(home)) == 1


def test_after_a_crash_a_new_one_is_started(home: Home) -> None:
    first = start_daemon(home, module=MODULE)
    os.kill(first.pid, signal.SIGKILL)
    eventually(lambda: not home.is_locked())
    second = start_daemon(home, module=MODULE)
    assert second.pid != first.pid
    assert answers(second)


def test_ten_at_once_start_one(home: Home) -> None:
    script = (
        "import sys; from pathlib import Path; from tau.client.home import Home;"
        "from tau.client.launch import start_daemon;"
        f"print(start_daemon(Home(Path(sys.argv[1])), module={MODULE!r}).pid)"
    )
    command = [sys.executable, "-c", script, str(home.path)]
    clients = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(10)]
    pids = {client.communicate()[0].strip() for client in clients}
    assert [client.returncode for client in clients] == [0] * 10
    assert len(pids) == 1
    assert len(starts(home)) == 1


def test_a_daemon_that_ends_at_once_says_why(home: Home) -> None:
    home.create()
    home.log_file.write_text("of an earlier day\n")
    with pytest.raises(DaemonStartFailed, match="Port 1 is taken") as caught:
        start_daemon(home, arguments=["--die"], module=MODULE)
    details = caught.value.details
    assert details["log"][0] == "a line before"
    assert details["cause"]["code"] == "config.invalid"


def test_a_module_that_is_not_there(home: Home) -> None:
    with pytest.raises(DaemonStartFailed, match="exit code 1") as caught:
        start_daemon(home, module="no_such_daemon")
    assert "no_such_daemon" in caught.value.details["log"][-1]


def test_a_daemon_that_never_answers(home: Home) -> None:
    with pytest.raises(DaemonStartFailed, match=r"within 0\.5 s"):
        start_daemon(home, arguments=["--mute"], module=MODULE, within=0.5)


def test_a_home_that_cannot_be_written_to() -> None:
    """As /proc can't, not even by root."""
    with pytest.raises(ConfigurationError, match="/proc cannot be written to"):
        start_daemon(Home(Path("/proc")), module=MODULE)


def test_nothing_in_the_home_is_imported(home: Home) -> None:
    home.create()
    (home.path / "json.py").write_text("raise SystemExit('imported from the home')")
    assert answers(start_daemon(home, module=MODULE))
