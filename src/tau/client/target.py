"""Which daemon a client talks to, and with which key.

In this order: TAU_HOST with TAU_API_KEY; the environment of `--env` or TAU_ENV; the local daemon.
TAU_HOST outranks TAU_ENV. `--env` beside TAU_HOST is refused: to leave out an option that was
typed could send a change to the wrong daemon. The key of the local daemon goes to it alone; it
is TAU_API_KEY where that is set, else the one in the home.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tau.client.environments import get_environment
from tau.client.home import DaemonInfo, Home
from tau.errors import ConfigurationError, KeyInvalid, UsageError


@dataclass(frozen=True)
class Target:
    """A daemon's address and the key for it. `chosen_by` says which rule led here."""

    url: str
    api_key: str | None = field(repr=False, default=None)
    chosen_by: str = "local"

    @property
    def is_local(self) -> bool:
        return self.chosen_by == "local"


def find_remote(
    env: str | None = None, *, environ: Mapping[str, str] = os.environ
) -> Target | None:
    """The daemon that TAU_HOST or an environment names; None means the local one.

    Raises ConfigurationError, EnvironmentUnknown, FileUnsafe, KeyMissing, KeyInvalid, UsageError.
    """
    host = environ.get("TAU_HOST")
    if host and env:
        raise UsageError(
            f"--env {env} was given, and TAU_HOST is set: it is one or the other.",
            hint="Leave --env out to use TAU_HOST, or unset TAU_HOST.",
        )
    if host:
        key = check_key(environ.get("TAU_API_KEY"), source="TAU_API_KEY")
        return Target(check_url(host, source="TAU_HOST"), key, "TAU_HOST")
    name = env or environ.get("TAU_ENV")
    if not name:
        return None
    environment = get_environment(name, environ)
    url = check_url(environment.host, source=f"host of environment {name!r}")
    key = check_key(environment.api_key, source=f"The key of environment {name!r}")
    return Target(url, key, f"env {name}")


def local_target(
    home: Home, daemon: DaemonInfo, *, environ: Mapping[str, str] = os.environ
) -> Target:
    """The daemon that runs in `home`. Raises KeyMissing, FileUnsafe or KeyInvalid."""
    key = check_key(environ.get("TAU_API_KEY"), source="TAU_API_KEY") or home.get_local_key()
    return Target(check_url(daemon.url, source="daemon.json"), key)


def check_url(text: str, *, source: str) -> str:
    """`text` as the address of a daemon, without a closing slash. Raises ConfigurationError."""
    reason = _fault(text)
    if reason:
        raise ConfigurationError(
            f"{source} is no address of a daemon: {reason}.",
            hint="Give scheme and host, as in https://tau.example.com or http://127.0.0.1:8400.",
        )
    return text.rstrip("/")


def check_key(text: str | None, *, source: str) -> str | None:
    """`text` as a key that can travel in a header; None where there is none."""
    key = (text or "").strip()
    if not key.isascii() or any(not "!" <= character <= "~" for character in key):
        raise KeyInvalid(f"{source} is no API key: it holds characters that no key has.")
    return key or None


def _fault(text: str) -> str | None:
    if any(character <= " " or character == "\x7f" for character in text):
        return "it holds a space or a control character"
    if "://" not in text:
        return f"it has no scheme (http://{text} or https://{text}?)"
    try:
        parts = urlsplit(text)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        return str(error)
    if parts.scheme not in ("http", "https"):
        return f"its scheme is {parts.scheme}, not http or https"
    if not parts.hostname or not port_is_valid:
        return "it names no host" if not parts.hostname else "its port is 0"
    if parts.username is not None or parts.password is not None:
        return "it holds a user name; a key goes into TAU_API_KEY"
    return "it has a query or a fragment" if parts.query or parts.fragment else None
