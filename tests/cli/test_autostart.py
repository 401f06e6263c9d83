"""The local daemon that starts by itself: the real one, once, and said on stderr."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fixtures.waiting import eventually

from tau.client.home import Home

BIN = Path(sys.executable).parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.delenv("TAU_AUTOSTART")
    home = Home(tmp_path / "home")
    yield home
    if home.find_daemon():
        subprocess.run([BIN / "taud", "stop", "--kill"], capture_output=True, check=True)
    eventually(lambda: not home.is_locked())


def tau(*argv: str, **env: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [BIN / "tau", *argv],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | env,
    )


def test_ten_at_once_start_one_daemon(home: Home) -> None:
    clients = [tau("status") for _ in range(10)]
    answers = [client.communicate(timeout=60) for client in clients]
    assert [client.returncode for client in clients] == [0] * 10, answers
    assert len({json.loads(stdout)["pid"] for stdout, _ in answers}) == 1
    said = [stderr for _, stderr in answers if stderr]
    assert said
    assert all(line.startswith(b"tau: started a daemon in ") for line in said)
    assert (home.path / "credentials").stat().st_mode & 0o777 == 0o600


def test_it_takes_nothing_from_the_working_directory(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tau.toml").write_text("[nonsense]\nx = 1\n")
    monkeypatch.chdir(tmp_path)
    client = tau("list")
    stdout, stderr = client.communicate(timeout=60)
    assert (client.returncode, json.loads(stdout)["total"]) == (0, 0)
    assert stderr.count(b"\n") == 1


def test_a_home_with_wrong_settings_says_which(home: Home) -> None:
    home.create()
    (home.path / "tau.toml").write_text("[nonsense]\nx = 1\n")
    client = tau("list", "-o", "json", TAU_OUTPUT="table")
    stdout, _ = client.communicate(timeout=60)
    error = json.loads(stdout)["error"]
    assert (client.returncode, error["code"]) == (7, "daemon.start_failed")
    assert "nonsense" in error["message"]
