"""Which daemon a client talks to, with which key, and what it refuses."""

import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tau.client.connect import find_running, find_target
from tau.client.home import Home, find_home
from tau.client.target import check_url, find_remote
from tau.errors import (
    ConfigurationError,
    DaemonUnreachable,
    EnvironmentUnknown,
    FileUnsafe,
    KeyInvalid,
    KeyMissing,
    UsageError,
)

HOST = "https://tau.example.com"


def write_environments(tmp_path: Path, text: str, *, mode: int = 0o600) -> None:
    path = tmp_path / "config" / "tau" / "environments.toml"
    path.parent.mkdir(parents=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(mode)


PROD = '[prod]\nhost = "https://prod.example.com"\napi_key_env = "PROD_KEY"\n'


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Home]:
    """A home whose daemon is this process: it holds the lock and has said where."""
    home = Home(tmp_path / "home")
    home.create()
    facts = {"pid": os.getpid(), "host": "127.0.0.1", "port": 8400, "version": "1"}
    facts |= {"url": "http://127.0.0.1:8400", "started_at": "2026-11-20T08:00:00Z"}
    (home.path / "daemon.json").write_text(json.dumps(facts))
    credentials = home.path / "credentials"
    credentials.write_text('{"api_key": "tau_local_key"}')
    credentials.chmod(0o600)
    with open(home.lock_file, "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home


def test_tau_host_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    write_environments(tmp_path, PROD)
    monkeypatch.setenv("TAU_ENV", "prod")
    monkeypatch.setenv("TAU_HOST", f"{HOST}/")
    monkeypatch.setenv("TAU_API_KEY", " tau_a_b\n")
    target = find_target()
    assert (target.url, target.api_key, target.chosen_by) == (HOST, "tau_a_b", "TAU_HOST")


def test_env_beside_tau_host_is_refused_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAU_HOST", HOST)
    with pytest.raises(UsageError, match="one or the other"):
        find_target("prod")


def test_environment_by_option_and_by_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_environments(tmp_path, PROD + '[dev]\nhost = "http://dev:1"\napi_key = "tau_d"\n')
    monkeypatch.setenv("PROD_KEY", "tau_p")
    monkeypatch.setenv("TAU_ENV", "prod")
    assert find_target().api_key == "tau_p"
    option = find_target("dev")
    assert (option.url, option.api_key) == ("http://dev:1", "tau_d")


def test_the_file_is_not_read_unless_asked_for(tmp_path: Path, running: Home) -> None:
    write_environments(tmp_path, "not toml at all [", mode=0o644)
    assert find_target().is_local


@pytest.mark.parametrize(
    ("text", "mode", "error"),
    [
        (PROD, 0o640, FileUnsafe),
        (PROD, 0o604, FileUnsafe),
        ("[prod", 0o600, ConfigurationError),
        ("[prod]\n", 0o600, ConfigurationError),
        ('[prod]\nhost = "https://x"\n', 0o600, ConfigurationError),
        ('[prod]\nhost = "https://x"\napi_key = "a"\napi_key_env = "B"\n', 0o600,
         ConfigurationError),
        ('[prod]\nhost = "https://x"\napikey = "a"\n', 0o600, ConfigurationError),
        ('[prod]\nhost = "x"\napi_key = "a"\n', 0o600, ConfigurationError),
        (PROD, 0o600, KeyMissing),
        ('[prod]\nhost = "https://x"\napi_key = "a\\nb"\n', 0o600, KeyInvalid),
        ("[other]\n", 0o600, EnvironmentUnknown),
    ],
)  # fmt: skip
def test_faults_of_the_file(tmp_path: Path, text: str, mode: int, error: type[Exception]) -> None:
    write_environments(tmp_path, text, mode=mode)
    with pytest.raises(error):
        find_target("prod")


def test_an_unknown_environment_lists_those_there(tmp_path: Path) -> None:
    write_environments(tmp_path, PROD + "[staging]\n")
    with pytest.raises(EnvironmentUnknown) as caught:
        find_target("prdo")
    assert caught.value.details["environments"] == ["prod", "staging"]
    assert "prod" in str(caught.value.hint)


def test_no_file_is_an_unknown_environment() -> None:
    with pytest.raises(EnvironmentUnknown):
        find_target("prod")


@pytest.mark.parametrize(
    "text",
    ["localhost:8400", "127.0.0.1", "ftp://x", "http://", "http://:8400", "http://x:0", "http://x:y",
     "http://x:99999", "http://u:p@x", "http://x?a=1", "http://x#a", "http://a b", "http://x\n",
     "http://[::1"],
)  # fmt: skip
def test_a_malformed_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="TAU_HOST is no address"):
        check_url(text, source="TAU_HOST")


@pytest.mark.parametrize("text", ["http://x", "https://x.y:8/tau", "http://[::1]:8400/"])
def test_an_address_loses_its_closing_slash_only(text: str) -> None:
    assert check_url(text, source="TAU_HOST") == text.rstrip("/")


def test_the_local_daemon_with_its_own_key(running: Home) -> None:
    target = find_target()
    assert (target.url, target.api_key) == ("http://127.0.0.1:8400", "tau_local_key")
    assert "tau_local_key" not in repr(target)


def test_a_key_of_ones_own_for_the_local_daemon(
    running: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_API_KEY", "tau_read_only")
    assert find_target().api_key == "tau_read_only"


def test_the_local_key_never_goes_to_tau_host(
    running: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_HOST", "http://127.0.0.1:8400")
    target = find_remote()
    assert target is not None
    assert target.api_key is None


def test_credentials_that_others_can_read_are_refused(running: Home) -> None:
    (running.path / "credentials").chmod(0o644)
    with pytest.raises(FileUnsafe, match="0644"):
        find_target()


@pytest.mark.parametrize("text", ["", "{}", "nonsense", '{"api_key": ""}', "[1]"])
def test_credentials_without_a_key(running: Home, text: str) -> None:
    (running.path / "credentials").write_text(text)
    with pytest.raises(KeyMissing):
        find_target()


def test_a_daemon_file_that_others_can_write_is_refused(running: Home) -> None:
    (running.path / "daemon.json").chmod(0o666)
    with pytest.raises(FileUnsafe, match="may write"):
        find_target()


def test_a_stale_daemon_file_is_no_daemon(running: Home) -> None:
    path = running.path / "daemon.json"
    path.write_text(path.read_text().replace(str(os.getpid()), str(2**22 - 1)))
    assert running.find_daemon() is None
    with pytest.raises(DaemonUnreachable) as caught:
        find_target()
    assert caught.value.next == ["taud start --daemon"]


def test_without_its_lock_a_living_pid_is_no_daemon(running: Home) -> None:
    running.lock_file.unlink()
    assert running.find_daemon() is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"pid": "x"}'])
def test_a_broken_daemon_file_is_no_daemon(running: Home, text: str) -> None:
    (running.path / "daemon.json").write_text(text)
    assert running.find_daemon() is None


def test_find_running_needs_no_key(running: Home) -> None:
    (running.path / "credentials").unlink()
    target = find_running()
    assert target is not None
    assert target.api_key is None


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="TAU_HOME|cannot be made"):
        Home(tmp_path / "file" / "home").create()


def test_the_home_is_absolute() -> None:
    assert find_home({"TAU_HOME": "some/where"}).path.is_absolute()
    assert find_home({"HOME": "/x"}).path.name == ".tau"
