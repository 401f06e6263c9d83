"""What `tau secrets` and `tau secret set`, `delete`, `rotate` do.

A value is never an argument: every process of the machine can read those.
"""

import os
import select
import sys
from pathlib import Path
from shlex import join

from tau.cli.confirmation import confirmed
from tau.client.client import Client
from tau.commands.output import Document
from tau.errors import FileNotFound, MissingArgument, SecretInvalid, UsageError

MAX_BYTES = 64 * 1024
STDIN_PATIENCE_S = 30.0


def list_secrets(*, limit: int, cursor: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.secrets(limit=limit, cursor=cursor)


def set_secret(
    *, name: str, from_env: str | None, from_file: str | None, dry_run: bool, reason: str | None,
    env: str | None,
) -> Document:  # fmt: skip
    value = _value(name, from_env, from_file)
    with Client(env=env) as client:
        return client.set_secret(name, value, dry_run=dry_run, reason=reason)


def delete_secret(
    *, name: str, yes: bool, dry_run: bool, reason: str | None, env: str | None
) -> Document:
    with Client(env=env) as client:
        return confirmed(
            lambda dry: client.delete_secret(name, dry_run=dry, reason=reason),
            yes=yes, dry_run=dry_run,
        )  # fmt: skip


def rotate_secrets(*, dry_run: bool, reason: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.rotate_secrets(dry_run=dry_run, reason=reason)


def _value(name: str, from_env: str | None, from_file: str | None) -> str:
    if from_env is not None and from_file is not None:
        raise UsageError("--from-env and --from-file are one or the other.")
    if from_env is not None:
        return _of_environment(from_env)
    data = _of_stdin(name) if from_file is None else _of_file(from_file)
    if len(data) > MAX_BYTES:
        raise SecretInvalid(f"The value has more than {MAX_BYTES // 1024} KiB.", field="value")
    try:
        return without_line_break(data.decode("utf-8"))
    except UnicodeDecodeError:
        raise SecretInvalid("The value is no UTF-8 text.", field="value") from None


def without_line_break(text: str) -> str:
    """A single line without what ends it; of several lines, such as a PEM key, all is kept."""
    line = text.removesuffix("\n").removesuffix("\r")
    return text if "\n" in line or "\r" in line else line


def _of_environment(variable: str) -> str:
    value = os.environ.get(variable)
    if value is None:
        raise UsageError(f"The variable {variable[:80]} is not set.", variable=variable[:80])
    return value


def _of_stdin(name: str) -> bytes:
    data = b""
    if sys.stdin is not None and not sys.stdin.isatty():
        # A pipe that nobody writes to and nobody closes would hold an agent up for ever.
        ready, _, _ = select.select([sys.stdin], [], [], STDIN_PATIENCE_S)
        data = sys.stdin.buffer.read(MAX_BYTES + 3) if ready else b""
    if not data:
        raise MissingArgument(
            "The value is missing: it comes from stdin, and nothing came.",
            hint="Send a file to stdin (< FILE), or use --from-env VAR or --from-file FILE.",
            next=[join(["tau", "secret", "set", name, "--from-env", "VAR"])],
        )
    return data


def _of_file(path: str) -> bytes:
    try:
        with Path(path).open("rb") as file:
            return file.read(MAX_BYTES + 3)
    except FileNotFoundError as error:
        raise FileNotFound(f"No such file: {path}.", file=path) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"{path} cannot be read: {reason}.", file=path) from error
