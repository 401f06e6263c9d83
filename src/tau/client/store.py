"""`client.db` and `client.config`: what an operator does with a daemon's store and settings."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from tau.errors import FileNotFound, UsageError

if TYPE_CHECKING:
    from tau.client.http import Connection, JsonObject

LONG_S = 6 * 3600.0
"""How long a vacuum or a backup may take; whoever does not want to wait interrupts."""


class StoreCommands:
    """The store of one daemon; `client.db`."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def stats(self) -> "JsonObject":
        """What it holds: `{kind, bytes, wal_bytes?, tables: [{name, rows, bytes}], …}`."""
        return self._connection.get("/db/stats")

    def cleanup(
        self, *, days: int | None = None, dry_run: bool = False, reason: str | None = None
    ) -> "JsonObject":
        """Remove runs that ended that many days ago: `{days, before, removed, done}`.

        Without `days` by the daemon's retention. It is asked for in pieces, since much may have
        to go: what was removed before a failure stays removed.
        """
        body = {"days": days, "dry_run": dry_run, "reason": reason}
        removed = 0
        while True:
            answer = self._connection.post("/db/cleanup", body)
            removed += answer["removed"]
            if dry_run or answer["done"]:
                return answer | {"removed": removed}

    def vacuum(self, *, dry_run: bool = False, reason: str | None = None) -> "JsonObject":
        """Give the room of what was removed back to the disk: `{before_bytes, after_bytes, …}`.

        On SQLite whoever writes waits until it is done. Raises StoreNoRoom.
        """
        return self._long("/db/vacuum", dry_run=dry_run, reason=reason)

    def backup(
        self, file: str | Path, *, force: bool = False, dry_run: bool = False,
        reason: str | None = None,
    ) -> "JsonObject":  # fmt: skip
        """Copy the store while everything goes on: `{file, host, format, bytes, restore}`.

        The daemon writes it, on its own machine: of a remote one the path must be absolute.
        Raises BackupExists, BackupFailed, StoreNoRoom, ProgramMissing.
        """
        place = str(file)
        if not os.path.isabs(place):
            if not self._connection.target.is_local:
                raise UsageError(
                    f"{place} would be a place on {self._connection.target.url}: give its "
                    "absolute path there.",
                    hint="The daemon writes the backup on its own machine; fetch it from there.",
                )
            place = os.path.abspath(place)
        return self._long("/db/backup", file=place, force=force, dry_run=dry_run, reason=reason)

    def _long(self, path: str, **body: object) -> "JsonObject":
        return self._connection.post(path, body, repeatable=False, waits_s=LONG_S)


class ConfigCommands:
    """The settings of one daemon; `client.config`."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    def show(self) -> "JsonObject":
        """Those it runs with: `{file?, environment, settings: [{name, value, from}]}`."""
        return self._connection.get("/config")

    def validate(
        self, file: str | Path | None = None, *, environment: str | None = None
    ) -> "JsonObject":
        """Whether it could be started again with a file of this machine: `{valid, errors?}`.

        Without one: with its own, as that is now. `environment` stands for TAU_ENV.
        """
        body: JsonObject = {"environment": environment}
        if file is not None:
            body |= {"file": str(Path(file).absolute()), "text": _read(Path(file))}
        return self._connection.post("/config/validate", body)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise FileNotFound(f"There is no file {path}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} can't be read: {error}.") from error
