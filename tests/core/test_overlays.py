"""Overlays of tau.toml, all that is wrong at once, and where each setting came from."""

from pathlib import Path

import pytest

from tau.core import config
from tau.core.config_file import parse_file
from tau.core.config_origins import MASK, masked, show
from tau.errors import ConfigurationError, EnvironmentUnknown

TEXT = """\
[daemon]
port = 1000
public_hosts = ["a", "b"]

[executor]
slots = 3
timeout = "10m"

[env.sandbox.executor]
slots = 5
grace = 1

[env.sandbox_ann]
daemon.port = 2000
executor.slots = 6

[env.prod.daemon]
public_hosts = ["c"]

[env.prod.database]
url = "postgresql://tau:hunter2@db/tau"
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tau.toml"
    path.write_text(TEXT)
    return path


def load(path: Path, environment: str | None, monkeypatch: pytest.MonkeyPatch) -> config.Loaded:
    if environment is None:
        monkeypatch.delenv("TAU_ENV", raising=False)
    else:
        monkeypatch.setenv("TAU_ENV", environment)
    return config.read(path)


@pytest.mark.parametrize(
    ("environment", "port", "slots", "grace", "hosts"),
    [
        (None, 1000, 3, 5.0, ("a", "b")),
        ("base", 1000, 3, 5.0, ("a", "b")),
        ("sandbox", 1000, 5, 1.0, ("a", "b")),
        ("sandbox_ann", 2000, 6, 1.0, ("a", "b")),
        ("prod", 1000, 3, 5.0, ("c",)),
    ],
)
def test_an_overlay_lies_over_what_is_below_it(
    path: Path, monkeypatch: pytest.MonkeyPatch,
    environment: str | None, port: int, slots: int, grace: float, hosts: tuple[str, ...],
) -> None:  # fmt: skip
    settings = load(path, environment, monkeypatch).settings
    assert (settings.daemon.port, settings.executor.slots) == (port, slots)
    assert (settings.executor.grace, settings.daemon.public_hosts) == (grace, hosts)
    assert settings.executor.timeout == 600


@pytest.mark.parametrize("environment", ["stage", "sandbox_bob", "Prod", "env", "prod.daemon"])
def test_an_unknown_one_is_refused_with_those_that_exist(
    path: Path, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    with pytest.raises(EnvironmentUnknown) as raised:
        load(path, environment, monkeypatch)
    assert environment in raised.value.message
    assert raised.value.details["known"] == ["base", "sandbox", "sandbox_ann", "prod"]


def test_one_is_refused_where_there_is_no_file_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAU_ENV", "prod")
    with pytest.raises(EnvironmentUnknown, match="no tau.toml"):
        config.read(None)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[env.prod.daemon]\nprot = 1\n", 2, "env.prod.daemon.prot: is no setting"),
        ("[env.prod.deamon]\nport = 1\n", 1, "env.prod.deamon: is no setting"),
        ("[env.prod]\nexecutor.slots = 0\n", 2, "env.prod.executor.slots"),
        ("[env.base.daemon]\nport = 1\n", 1, "env.base: is no environment"),
        ("[env]\nprod = 1\n", 2, "env.prod: is no environment"),
        ("[executor]\nslots = 0\n[env.prod.executor]\nslots = 2\n", 2, "executor.slots"),
        ("[env.sandbox.executor]\nslots = 'x'\n[env.sandbox_a.executor]\ngrace = 1\n", 2,
         "env.sandbox.executor.slots"),
    ],
)  # fmt: skip
def test_what_is_wrong_in_any_overlay_is_named_with_its_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    """Whichever is chosen: not at the moment when production is to start."""
    path = tmp_path / "tau.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        config.read(path)
    assert words in raised.value.message
    assert raised.value.details["line"] == line
    assert len(raised.value.details["errors"]) == 1


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "[daemon]\nprot = 1\nport = 'x'\n[env.dev.executor]\nslots = 0\n[env.dev.nonsense]\n"
    monkeypatch.setenv("TAU_EXECUTER__SLOTS", "3")
    monkeypatch.setenv("TAU_LOG__LEVEL", "loud")
    file = parse_file(tmp_path / "tau.toml", text)
    found = config.find_problems(file, None)
    assert [(p.setting, p.line, p.variable) for p in found] == [
        ("daemon.port", 3, None),
        ("daemon.prot", 2, None),
        ("env.dev.executor.slots", 5, None),
        ("env.dev.nonsense", 6, None),
        (None, None, "TAU_EXECUTER__SLOTS"),
        ("log.level", None, "TAU_LOG__LEVEL"),
    ]
    (tmp_path / "tau.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=r"and 5 more") as raised:
        config.read(tmp_path / "tau.toml")
    assert len(raised.value.details["errors"]) == 6


def test_a_variable_that_is_no_json_is_an_error_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TAU_LOG", "debug")
    with pytest.raises(ConfigurationError, match="log"):
        config.read(None)


def test_variables_win_over_the_overlay_and_it_is_told_where_each_came_from(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TAU_ENV", "sandbox_ann")
    monkeypatch.setenv("TAU_PORT", "3000")
    monkeypatch.setenv("tau_executor__grace", "2")
    monkeypatch.setenv("TAU_RETENTION", '{"days": 7}')
    loaded = config.read(path, overrides={"daemon": {"host": "localhost"}})
    told = {one.name: (one.value, one.origin) for one in show(loaded)}
    assert told["daemon.port"] == (3000, "TAU_PORT")
    assert told["daemon.host"] == ("localhost", "command line")
    assert told["executor.grace"] == (2.0, "tau_executor__grace")
    assert told["executor.slots"] == (6, "[env.sandbox_ann]:15")
    assert told["daemon.public_hosts"] == (["a", "b"], "tau.toml:3")
    assert told["retention.days"] == (7, "TAU_RETENTION")
    assert told["retention.runs_per_pipeline"] == (10_000, "default")
    assert told["log.format"] == ("json", "default")
    names = [f"{s}.{k}" for s, f in type(loaded.settings).model_fields.items()
             for k in f.annotation.model_fields]  # type: ignore[union-attr]  # fmt: skip
    assert list(told) == names


def test_secrets_are_masked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAU_ENV", "prod")
    monkeypatch.setenv("TAU_API_KEY", "canary-1234")
    told = {one.name: one.value for one in show(config.read(path))}
    assert told["auth.api_key"] == MASK
    assert told["database.url"].startswith("postgresql://tau:")
    assert "hunter2" not in str(told)
    assert "canary" not in str(told)
    table = {"dsn": "x://y", "host": "db", "password": "p", "token": "${secret:T}", "port": 5}
    assert masked("connections", table) == {
        "dsn": MASK, "host": "db", "password": MASK, "token": "${secret:T}", "port": 5,
    }  # fmt: skip
