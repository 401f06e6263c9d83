"""The daemon's settings: one frozen tree, read once at start from tau.toml and the environment.

Order, first wins: command line, `TAU_SECTION__KEY` variables (also TAU_PORT, TAU_DATABASE_URL,
TAU_API_KEY, TAU_SECRETS_KEY), the overlay that TAU_ENV names, the rest of tau.toml (in the working
directory, else `~/.config/tau/tau.toml`), the defaults here.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
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
    create_model,
)
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)

from tau.core.config_file import (
    ConfigFile,
    Layer,
    Location,
    chosen_environment,
    find_file,
    find_line,
    merged,
    read_file,
)
from tau.core.notice_types import NoticeType
from tau.errors import ConfigurationError
from tau.pipeline.durations import parse_duration

SHORT_VARIABLES = {
    "TAU_PORT": ("daemon", "port"),
    "TAU_DATABASE_URL": ("database", "url"),
    "TAU_API_KEY": ("auth", "api_key"),
    "TAU_SECRETS_KEY": ("secrets", "key"),
}
EXAMPLE_HINT = "tau.example.toml names every setting with its default."

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


class DatabaseSettings(Section):
    """The metadata store; no url means SQLite in the home."""

    url: str | None = None


class AuthSettings(Section):
    """An admin key to accept; without one the first start makes one."""

    api_key: SecretStr | None = None


class SecretsSettings(Section):
    """The keys of stored secrets, the newest first; without one the home makes its own."""

    key: SecretStr | None = None


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


class LogSettings(Section):
    """What the daemon says of itself, on stderr: one JSON object a line, or text for people."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "text"] = "json"


class RetentionSettings(Section):
    """How much history is kept: what is older, or more of one pipeline, is removed each hour."""

    days: int = Field(default=90, ge=1, le=36_500)
    runs_per_pipeline: int = Field(default=10_000, ge=1)


class EnvironmentSettings(Section):
    """The environments of files that declare their own dependencies.

    One that no deployed pipeline names is removed `days` after its last use; a step of uv that
    takes longer than `build_timeout` has failed.
    """

    days: int = Field(default=7, ge=1, le=36_500)
    build_timeout: Seconds = 600.0


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
    secrets: SecretsSettings = SecretsSettings()
    executor: ExecutorSettings = ExecutorSettings()
    log: LogSettings = LogSettings()
    retention: RetentionSettings = RetentionSettings()
    environments: EnvironmentSettings = EnvironmentSettings()
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


__all__ = ["Settings", "find_file", "find_line", "load", "read"]


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong with the settings, and where it stands."""

    message: str
    setting: str | None = None
    file: str | None = None
    line: int | None = None
    variable: str | None = None
    hint: str | None = None

    def to_dict(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """The settings of a process, and what they were made of."""

    settings: Settings
    file: ConfigFile
    environment: str | None
    layers: tuple[Layer, ...]
    overrides: Mapping[str, Any]


def load(path: Path | None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of this process. Raises ConfigurationError naming file and line."""
    return read(path, overrides=overrides).settings


def read(path: Path | None, *, overrides: Mapping[str, Any] | None = None) -> Loaded:
    """The settings of this process with what they were made of.

    Raises ConfigurationError, whose `errors` are all that is wrong, and EnvironmentUnknown.
    """
    file, environment = read_file(path), chosen_environment()
    layers = file.chain(environment)
    given = dict(overrides or {})
    problems = find_problems(file, environment, overrides=given)
    if problems:
        raise _refusal(problems)
    return Loaded(
        settings=_settings(layers, given),
        file=file,
        environment=environment,
        layers=tuple(layers),
        overrides=given,
    )


def find_problems(
    file: ConfigFile, environment: str | None, *, overrides: Mapping[str, Any] | None = None
) -> list[Problem]:
    """All that is wrong with a file, in every overlay of it, and with this process's variables.

    Raises EnvironmentUnknown.
    """
    chosen = file.chain(environment)
    found = [
        Problem(
            message=f"{file.path}:{_line_of(file, name)}: env.{name}: is no environment",
            setting=f"env.{name}",
            file=str(file.path),
            line=_line_of(file, name),
            hint="[env.NAME.SECTION] holds settings; NAME is a word other than base.",
        )
        for name in file.misnamed
    ]
    for name in (None, *file.names):
        layers = file.chain(name)
        found += _problems_of_file(file, layers)
    found += _problems_of_variables()
    known = [p.setting for p in found]
    found += [p for p in _problems_of_process(chosen, overrides or {}) if p.setting not in known]
    return list(dict.fromkeys(found))


def _line_of(file: ConfigFile, name: str) -> int:
    return find_line(file.text, ("env", name)) or find_line(file.text, ("env",)) or 1


def _settings(layers: list[Layer], overrides: Mapping[str, Any]) -> Settings:
    return Settings(_file=merged(layers), _overrides=dict(overrides))  # type: ignore[call-arg]


@cache
def _plain() -> type[BaseModel]:
    """The settings without the environment: what a file alone is held against."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in Settings.model_fields.items()
    }
    return create_model("Plain", __config__=ConfigDict(extra="forbid"), **fields)


def _problems_of_file(file: ConfigFile, layers: list[Layer]) -> Iterator[Problem]:
    try:
        _plain().model_validate(merged(layers))
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            yield _in_file(file, layers, _location(fault), _said(fault))


def _in_file(file: ConfigFile, layers: list[Layer], location: Location, said: str) -> Problem:
    """A fault at its place: in the uppermost layer that has the setting, or a part of its path."""
    layer = layers[0]
    for length in range(len(location), 0, -1):
        holders = [one for one in layers if one.holds(location[:length])]
        if holders:
            layer = holders[-1]
            break
    dotted = ".".join((*layer.prefix, *location))
    line = file.line(layer, location)
    return Problem(
        message=f"{file.path}:{line}: {dotted}: {said}",
        setting=dotted,
        file=str(file.path),
        line=line,
        hint=EXAMPLE_HINT,
    )


def _problems_of_process(layers: list[Layer], overrides: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the whole: variables and the command line over the file."""
    try:
        _settings(layers, overrides)
    except SettingsError as error:
        yield Problem(message=f"A TAU_ variable can't be read: {error}")
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            location = _location(fault)
            dotted, variable = ".".join(location), find_variable(location)
            said = f"{dotted}: {_said(fault)}"
            yield Problem(
                message=f"{variable}: {said}" if variable else said,
                setting=dotted,
                variable=variable,
            )


def _problems_of_variables() -> Iterator[Problem]:
    """A misspelt section would otherwise be ignored without a word."""
    sections = set(Settings.model_fields)
    for variable in os.environ:
        match = re.fullmatch(r"TAU_([A-Z]+)__(\w+)", variable)
        if match and match.group(1).lower() not in sections:
            yield Problem(
                message=f"{variable} names no section of the settings.",
                hint=f"Sections: {', '.join(sorted(sections))}.",
                variable=variable,
            )


def find_variable(location: Location) -> str | None:
    """The variable of this process that says a setting, or None.

    Names count in any case, and a section's variable holds JSON.
    """
    given = {name.upper(): name for name in os.environ if os.environ[name]}
    for variable, where in SHORT_VARIABLES.items():
        if where == location and variable in given:
            return variable
    for length in range(len(location), 0, -1):
        name = given.get("TAU_" + "__".join(location[:length]).upper())
        if name and (length == len(location) or _holds(os.environ[name], location[length:])):
            return name
    return None


def _holds(text: str, location: Location) -> bool:
    try:
        return Layer("", json.loads(text)).holds(location)
    except ValueError:
        return False


def _short_variables() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, (section, key) in SHORT_VARIABLES.items():
        if value := os.environ.get(variable):
            found.setdefault(section, {})[key] = value
    return found


def _location(fault: Mapping[str, Any]) -> Location:
    return tuple(str(part) for part in fault["loc"])


def _said(fault: Mapping[str, Any]) -> str:
    return "is no setting" if fault["type"] == "extra_forbidden" else str(fault["msg"])


def _refusal(problems: list[Problem]) -> ConfigurationError:
    """The first of them as an error, with all of them in its details."""
    first = problems[0].to_dict()
    more = len(problems) - 1
    message = first.pop("message") + (f" (and {more} more)" if more else "")
    return ConfigurationError(
        message, hint=first.pop("hint", None), errors=[p.to_dict() for p in problems], **first
    )
