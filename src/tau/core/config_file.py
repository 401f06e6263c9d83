"""tau.toml as a file: the base, the overlays of `[env.NAME]`, and on which line a setting stands.

Overlays lie over each other: base → sandbox → sandbox_NAME, base → any other NAME. A table is
merged key by key, anything else is replaced.
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tau.errors import ConfigurationError, EnvironmentUnknown

BASE = "base"
VARIABLE = "TAU_ENV"
_SANDBOX = "sandbox"

Location = tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """The base, or one overlay."""

    name: str
    values: Mapping[str, Any]

    @property
    def prefix(self) -> Location:
        """Where its settings stand in the file."""
        return () if self.name == BASE else ("env", self.name)

    def holds(self, location: Location) -> bool:
        found: Any = self.values
        for part in location:
            if not isinstance(found, Mapping) or part not in found:
                return False
            found = found[part]
        return True


@dataclass(frozen=True)
class ConfigFile:
    """What a tau.toml says; without a path the empty one."""

    path: Path | None
    text: str
    base: Mapping[str, Any]
    overlays: Mapping[str, Any]

    @property
    def names(self) -> list[str]:
        """The environments that it has overlays for."""
        return [name for name, values in self.overlays.items() if _is_overlay(name, values)]

    @property
    def misnamed(self) -> list[str]:
        """What stands under `env` and is no overlay."""
        return [name for name in self.overlays if name not in self.names]

    def chain(self, environment: str | None) -> list[Layer]:
        """The layers of an environment, the base first. Raises EnvironmentUnknown."""
        layers = [Layer(BASE, self.base)]
        if not environment or environment == BASE:
            return layers
        if environment not in self.names:
            raise self._unknown(environment)
        below = [_SANDBOX] if environment.startswith(f"{_SANDBOX}_") else []
        names = [name for name in (*below, environment) if name in self.names]
        return layers + [Layer(name, self.overlays[name]) for name in names]

    def line(self, layer: Layer, location: Location) -> int | None:
        return find_line(self.text, (*layer.prefix, *location))

    def _unknown(self, environment: str) -> EnvironmentUnknown:
        where = self.path or "There is no tau.toml, which"
        known = ", ".join(f"[env.{name}]" for name in self.names) or "no [env.NAME] at all"
        return EnvironmentUnknown(
            f"{VARIABLE}={environment[:64]}: {where} has {known}.",
            hint=f"Name one of those in {VARIABLE}, or unset it for the daemon: {BASE} is the "
            "file without overlays.",
            environment=environment[:64],
            known=[BASE, *self.names],
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


def read_file(path: Path | None) -> ConfigFile:
    """The file at a path. Raises ConfigurationError naming file and line."""
    if path is None:
        return ConfigFile(None, "", {}, {})
    try:
        return parse_file(path, path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}", file=str(path)) from error


def parse_file(path: Path, text: str) -> ConfigFile:
    """The text of such a file. Raises ConfigurationError naming file and line."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"line (\d+)", str(error))
        raise ConfigurationError(
            f"{path} is not valid TOML: {error}",
            file=str(path),
            line=int(line.group(1)) if line else text.count("\n") + 1,
        ) from error
    overlays = document.pop("env", {})
    # A scalar where a table belongs is reported as an overlay that is none.
    return ConfigFile(path, text, document, overlays if isinstance(overlays, dict) else {"": None})


def chosen_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """The overlay that this process was told to take."""
    return environ.get(VARIABLE) or None


def merged(layers: Sequence[Layer]) -> dict[str, Any]:
    """The settings of layers that lie over each other, the last on top."""
    result: dict[str, Any] = {}
    for layer in layers:
        result = _laid_over(result, layer.values)
    return result


def _laid_over(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(below)
    for key, value in above.items():
        under = result.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping)
        result[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]
    return result


def _is_overlay(name: str, values: Any) -> bool:
    return isinstance(values, dict) and name != BASE and bool(re.fullmatch(r"[A-Za-z]\w*", name))


def find_line(text: str, location: Location) -> int | None:
    """The line of tau.toml that holds a setting; tomllib tells no positions of what it read.

    Falls back to the line of the section, for one that should not be there at all.
    """
    section: Location = ()
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
