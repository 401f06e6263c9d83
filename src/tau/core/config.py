"""The daemon's settings: one frozen tree, read once at start from tau.toml and the environment.

Order, first wins: command line, `TAU_SECTION__KEY` variables (also TAU_PORT, TAU_DATABASE_URL,
TAU_API_KEY), `tau.toml` in the working directory, `~/.config/tau/tau.toml`, the defaults here.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from tau.core.notice_types import NoticeType
from tau.errors import ConfigurationError
from tau.pipeline.durations import parse_duration

SHORT_VARIABLES = {
    "TAU_PORT": ("daemon", "port"),
    "TAU_DATABASE_URL": ("database", "url"),
    "TAU_API_KEY": ("auth", "api_key"),
}
CLIENT_VARIABLES = {"TAU_HOST", "TAU_HOME", "TAU_ENV", "TAU_OUTPUT", "TAU_AUTOSTART"}

Seconds = Annotated[float, BeforeValidator(parse_duration), Field(gt=0)]
"""Seconds as a number, or text such as "30m"."""


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DaemonSettings(Section):
    """Where the daemon listens and whom it answers."""

    host: str = "127.0.0.1"
    port: int = Field(default=8400, ge=0, le=65535)
    public_hosts: tuple[str, ...] = ()
    allow_remote: bool = False
    behind_proxy: bool = False
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    drain: Seconds = 10.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class DatabaseSettings(Section):
    """The metadata store; no url means SQLite in the home."""

    url: str | None = None


class AuthSettings(Section):
    """An admin key to accept; without one the first start makes one."""

    api_key: SecretStr | None = None


class ExecutorSettings(Section):
    """How attempts are executed, and what one may use."""

    slots: int = Field(default_factory=lambda: max(4, 2 * (os.cpu_count() or 1)), ge=1, le=1000)
    timeout: Seconds = 3600.0
    grace: Seconds = 5.0
    import_timeout: Seconds = 10.0
    memory_mb: int | None = Field(default=None, ge=64)
    log_mb: int = Field(default=16, ge=1, le=1024)
    queue_limit: int = Field(default=10_000, ge=1)
    pass_env: tuple[str, ...] = ("HOME", "PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")
    start_method: Literal["auto", "fork", "spawn"] = "auto"


class RetentionSettings(Section):
    """How much history is kept: what is older, or more of one pipeline, is removed each hour."""

    days: int = Field(default=90, ge=1, le=36_500)
    runs_per_pipeline: int = Field(default=10_000, ge=1)


class WebhookSettings(Section):
    """Where webhooks may lead: to public addresses by https, and to what is allowed besides."""

    allow_private: tuple[IPvAnyNetwork, ...] = ()
    allow_http: bool = False
    timeout: Seconds = 10.0


class NotifySettings(Section):
    """Services that are told of events through apprise, and when a run counts as late."""

    urls: tuple[SecretStr, ...] = ()
    events: tuple[NoticeType, ...] = tuple(NoticeType)
    late_factor: float = Field(default=2.0, ge=1, allow_inf_nan=False)
    late_minimum: Seconds = 60.0


class Settings(BaseSettings):
    """All settings of the daemon."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix="TAU_", env_nested_delimiter="__"
    )

    daemon: DaemonSettings = DaemonSettings()
    database: DatabaseSettings = DatabaseSettings()
    auth: AuthSettings = AuthSettings()
    executor: ExecutorSettings = ExecutorSettings()
    retention: RetentionSettings = RetentionSettings()
    webhooks: WebhookSettings = WebhookSettings()
    notify: NotifySettings = NotifySettings()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line, then the environment, then what `load` read from the file."""
        given: Mapping[str, Any] = getattr(init_settings, "init_kwargs", {})
        overrides, from_file = given.get("_overrides", {}), given.get("_file", {})
        return (
            InitSettingsSource(settings_cls, overrides),
            InitSettingsSource(settings_cls, _short_variables()),
            env_settings,
            InitSettingsSource(settings_cls, from_file),
        )


def find_file(cwd: Path, environ: Mapping[str, str]) -> Path | None:
    """The tau.toml that counts, or None; TAU_CONFIG names one that must be there."""
    if named := environ.get("TAU_CONFIG"):
        return Path(named)
    config_home = environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "/")) / ".config"
    for folder in (cwd, Path(config_home) / "tau"):
        path = folder / "tau.toml"
        if path.is_file():
            return path
    return None


def load(path: Path | None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. Raises ConfigurationError naming file and line."""
    text = "" if path is None else _read(path)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}",
            file=str(path),
            line=int(line.group(1)) if line else text.count("\n") + 1,
        ) from error
    _refuse_unknown_variables()
    try:
        return Settings(_file=document, _overrides=dict(overrides or {}))  # type: ignore[call-arg]
    except ValidationError as error:
        raise _explain(error, path, text) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}", file=str(path)) from error


def _short_variables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, (section, key) in SHORT_VARIABLES.items():
        if value := os.environ.get(variable):
            found.setdefault(section, {})[key] = value
    return found


def _refuse_unknown_variables() -> None:
    """A misspelt section would otherwise be ignored without a word."""
    sections = set(Settings.model_fields)
    for variable in os.environ:
        match = re.fullmatch(r"TAU_([A-Z]+)__(\w+)", variable)
        if match and match.group(1).lower() not in sections:
            raise ConfigurationError(
                f"{variable} names no section of the settings.",
                hint=f"Sections: {', '.join(sorted(sections))}.",
                variable=variable,
            )


def _explain(error: ValidationError, path: Path | None, text: str) -> ConfigurationError:
    first = error.errors(include_url=False)[0]
    location = tuple(str(part) for part in first["loc"])
    dotted = ".".join(location)
    problem = "is no setting" if first["type"] == "extra_forbidden" else first["msg"]
    variable = next((v for v, where in SHORT_VARIABLES.items() if where == location[:2]), "")
    for name in (f"TAU_{'__'.join(location[:2]).upper()}", variable):
        if name in os.environ:
            return ConfigurationError(f"{name}: {dotted}: {problem}", variable=name)
    line = find_line(text, location)
    if path is None or line is None:
        return ConfigurationError(f"{dotted}: {problem}", setting=dotted)
    return ConfigurationError(
        f"{path}:{line}: {dotted}: {problem}",
        hint="tau.example.toml names every setting with its default.",
        file=str(path),
        line=line,
        setting=dotted,
    )


def find_line(text: str, location: tuple[str, ...]) -> int | None:
    """The line of tau.toml that holds a setting; tomllib tells no positions of what it read.

    Falls back to the line of the section, for one that should not be there at all.
    """
    section: tuple[str, ...] = ()
    best: int | None = None
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*\[\s*([^\]]+?)\s*\]", line):
            section = tuple(part.strip().strip("\"'") for part in header.group(1).split("."))
            if section == location[: len(section)]:
                best = number
        elif key := re.match(r"\s*[\"']?([\w.-]+)[\"']?\s*=", line):
            full = section + tuple(key.group(1).split("."))
            if full == location[: len(full)]:
                return number
    return best
