"""`~/.config/tau/environments.toml`: names for remote daemons, each with a host and a key.

    [prod]
    host = "https://tau.example.com"
    api_key_env = "TAU_PROD_KEY"        # or: api_key = "tau_…"

It is read only where an environment is asked for, and only with mode 0600.
"""

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tau.errors import ConfigurationError, EnvironmentUnknown, FileUnsafe, KeyMissing


@dataclass(frozen=True)
class Environment:
    """One table of the file."""

    name: str
    host: str
    api_key: str = field(repr=False)


def environments_file(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the file is looked for: under XDG_CONFIG_HOME, else ~/.config."""
    config = environ.get("XDG_CONFIG_HOME")
    return Path(config or Path.home() / ".config") / "tau" / "environments.toml"


def get_environment(name: str, environ: Mapping[str, str] = os.environ) -> Environment:
    """The environment of that name.

    Raises EnvironmentUnknown, FileUnsafe, ConfigurationError or KeyMissing.
    """
    path = environments_file(environ)
    document = _read(path)
    table = document.get(name)
    if not isinstance(table, dict):
        names = sorted(key for key, value in document.items() if isinstance(value, dict))
        raise EnvironmentUnknown(
            f"{path} has no environment {name!r}.",
            hint=_nearest(name, names) or f"Add a table [{name}] with host and api_key_env.",
            environments=names,
            file=str(path),
        )
    return Environment(name, _host(table, name=name, path=path), _key(table, name, environ=environ))


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        with open(path, "rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            if mode & 0o077:
                raise FileUnsafe(
                    f"{path} has mode {mode:04o}: others may use it.",
                    hint=f"chmod 600 {path}",
                    file=str(path),
                )
            return tomllib.load(file)
    except FileNotFoundError:
        return {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}.", file=str(path)) from error
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from error


def _host(table: Mapping[str, Any], *, name: str, path: Path) -> str:
    unknown = sorted(set(table) - {"host", "api_key", "api_key_env"})
    if unknown:
        raise ConfigurationError(
            f"[{name}] has an unknown key: {unknown[0]}.",
            hint="An environment has host, and api_key or api_key_env.",
            file=str(path),
        )
    host = table.get("host")
    if not isinstance(host, str) or not host:
        raise ConfigurationError(f'[{name}] needs host = "https://…".', file=str(path))
    return host


def _key(table: Mapping[str, Any], name: str, *, environ: Mapping[str, str]) -> str:
    variable = table.get("api_key_env")
    if ("api_key" in table) == (variable is not None):
        raise ConfigurationError(f"[{name}] needs either api_key or api_key_env.")
    key = table.get("api_key") if variable is None else environ.get(str(variable))
    if isinstance(key, str) and key:
        return key
    raise KeyMissing(
        f"Environment {name!r} has no key: {variable or 'api_key'} is empty.",
        hint=f"Set {variable}." if variable else "Write the key between the quotes.",
    )


def _nearest(name: str, names: list[str]) -> str | None:
    from difflib import get_close_matches

    near = get_close_matches(name, names, n=1)
    return f"Did you mean {near[0]!r}?" if near else None
