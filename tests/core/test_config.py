"""Settings: the example is complete and true, and whatever is wrong is named with its place."""

import re
import tomllib
from pathlib import Path

import pytest
from pydantic import BaseModel

from tau.core import config
from tau.core.config import Settings
from tau.errors import ConfigurationError

ROOT = Path(__file__).parents[2]
EXAMPLE = (ROOT / "tau.example.toml").read_text()


def sections() -> dict[str, type[BaseModel]]:
    found = {}
    for name, field in Settings.model_fields.items():
        assert isinstance(field.annotation, type)
        found[name] = field.annotation
    return found


def uncommented() -> str:
    """The example with its commented-out settings switched on."""
    return re.sub(r"^# (\w+ = )", r"\1", EXAMPLE, flags=re.M)


def test_the_example_names_every_setting_and_no_other() -> None:
    document = tomllib.loads(uncommented())
    assert {name: set(values) for name, values in document.items()} == {
        name: set(section.model_fields) for name, section in sections().items()
    }


def test_the_example_tells_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "tau.toml").write_text(EXAMPLE)
    assert config.load(tmp_path / "tau.toml") == config.load(None)
    written = tomllib.loads(EXAMPLE)
    for name, section in sections().items():
        for key, field in section.model_fields.items():
            has_default = field.default is not None and field.default_factory is None
            assert (key in written[name]) == has_default, f"{name}.{key}"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("[daemon]\nhost = 'x'\nprot = 1\n", 3, "daemon.prot: is no setting"),
        ("[deamon]\nport = 1\n", 1, "deamon: is no setting"),
        ("\n[executor]\n\nslots = 0\n", 4, "executor.slots"),
        ("[executor]\ntimeout = 'soon'\n", 2, "executor.timeout"),
        ("daemon.port = 'x'\n", 1, "daemon.port"),
        ("[daemon]\nport = \n", 2, "not valid TOML"),
        ("[daemon\n", 1, "not valid TOML"),
        ("[executor]\nstart_method = 'thread'\n", 2, "executor.start_method"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(
    tmp_path: Path, text: str, line: int, words: str
) -> None:
    path = tmp_path / "tau.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        config.load(path)
    assert words in raised.value.message
    assert raised.value.details["file"] == str(path)
    assert raised.value.details["line"] == line


def test_a_file_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError):
        config.load(tmp_path / "nowhere.toml")


def test_the_environment_wins_over_the_file_and_the_command_line_over_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tau.toml"
    path.write_text("[daemon]\nport = 1000\n[log]\nlevel = 'error'\n[executor]\nslots = 3\n")
    assert config.load(path).daemon.port == 1000
    monkeypatch.setenv("TAU_DAEMON__PORT", "2000")
    assert config.load(path).daemon.port == 2000
    monkeypatch.setenv("TAU_PORT", "3000")
    monkeypatch.setenv("TAU_DATABASE_URL", "postgresql://a@b/c")
    monkeypatch.setenv("TAU_API_KEY", "hunter22")
    settings = config.load(path)
    assert (settings.daemon.port, settings.log.level) == (3000, "error")
    assert settings.database.url == "postgresql://a@b/c"
    assert settings.executor.slots == 3
    assert "hunter22" not in repr(settings)
    assert config.load(path, overrides={"daemon": {"port": 4000}}).daemon.port == 4000


@pytest.mark.parametrize(
    ("variable", "value"),
    [("TAU_PORT", "x"), ("TAU_EXECUTOR__SLOTS", "0"), ("TAU_EXECUTER__SLOTS", "4")],
)
def test_a_wrong_variable_is_named(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=variable):
        config.load(None)


def test_where_the_file_is_looked_for(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path / "home")}
    cwd, user = tmp_path / "cwd", tmp_path / "home" / ".config" / "tau"
    for folder in (cwd, user):
        folder.mkdir(parents=True)
    assert config.find_file(cwd, environ) is None
    (user / "tau.toml").touch()
    assert config.find_file(cwd, environ) == user / "tau.toml"
    (cwd / "tau.toml").touch()
    assert config.find_file(cwd, environ) == cwd / "tau.toml"
    named = environ | {"TAU_CONFIG": "/elsewhere.toml"}
    assert config.find_file(cwd, named) == Path("/elsewhere.toml")
