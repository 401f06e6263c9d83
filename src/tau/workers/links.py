"""The daemon's end of the control sockets: where supervisors attach."""

import asyncio
import contextlib
import hashlib
import os
import socket
import stat
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from tau.errors import FileUnsafe
from tau.pipeline.protocol import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    JsonObject,
    decode_line,
    encode_line,
)

AttemptKey = tuple[str, int]

_SOCKET_NAME = "control.sock"
_MAX_PATH_BYTES = 100  # of about 107, with room for what a platform adds
_SHORT_FOLDER = Path("/tmp")  # noqa: S108 - the same whatever TMPDIR is at the next start
_BACKLOG = 1024
_ATTACH_S = 10.0


class Link:
    """One supervisor that has attached."""

    def __init__(
        self, attach: JsonObject, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._reader, self._writer = reader, writer
        self.key: AttemptKey = (str(attach["run"]), int(attach["attempt"]))
        self.supervisor_pid = int(attach["pid"])
        self.child_pid = int(attach["child"])

    async def messages(self) -> AsyncIterator[JsonObject]:
        """What the supervisor says until the connection ends."""
        while True:
            try:
                line = await self._reader.readline()
            except (OSError, ValueError):  # reset, or a line beyond the limit
                return
            if not line.endswith(b"\n"):
                return
            message = decode_line(line)
            if message is not None:
                yield message

    def send(self, message: JsonObject) -> None:
        self._writer.write(encode_line(message))

    def kill(self, status: str, reason: str) -> None:
        self.send({"k": "kill", "status": status, "reason": reason})

    def close(self) -> None:
        self._writer.close()


class LinkServer:
    """Listens for supervisors; `serve` is awaited for each until it is done with the link."""

    def __init__(self, path: Path, serve: Callable[[Link], Awaitable[None]]) -> None:
        self._path = path
        self._serve = serve
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen. A socket that an earlier daemon left is replaced."""
        self._path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(self._path))
            self._path.chmod(0o600)
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, backlog=_BACKLOG, limit=2 * MAX_MESSAGE_BYTES
            )
        except BaseException:
            listener.close()
            raise

    async def stop(self) -> None:
        """Hang up on every supervisor and listen no more."""
        if self._server is None:
            return
        self._server.close()
        self._path.unlink(missing_ok=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        self._server = None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler always runs in a task
        self._tasks.add(task)
        try:
            link = await _attached(reader, writer)
            if link is not None:
                await self._serve(link)
        except asyncio.CancelledError:
            pass  # stopped: the handler's task is nobody's to await
        finally:
            self._tasks.discard(task)
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


async def _attached(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Link | None:
    """The link of a connection that says what it belongs to, else None."""
    try:
        line = await asyncio.wait_for(reader.readline(), _ATTACH_S)
        message = decode_line(line) or {}
        if message.get("k") != "attach" or message.get("v") != PROTOCOL_VERSION:
            return None
        return Link(message, reader, writer)
    except (OSError, TimeoutError, ValueError, KeyError, TypeError):
        return None


def socket_path(home: Path) -> Path:
    """Where the control socket of a home lies: in it, or in a short private folder of ours.

    The same for the same home at every start, so that supervisors find the next daemon.
    Raises FileUnsafe where somebody else has taken the folder.
    """
    home = home.resolve()
    path = home / _SOCKET_NAME
    if len(os.fsencode(path)) <= _MAX_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(home)).hexdigest()[:16]
    folder = _SHORT_FOLDER / f"tau-{os.getuid()}-{digest}"
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    found = folder.lstat()
    private = stat.S_ISDIR(found.st_mode) and found.st_mode & 0o077 == 0
    if not private or found.st_uid != os.getuid():
        raise FileUnsafe(f"{folder} is not a folder of this user's alone.", file=str(folder))
    return folder / _SOCKET_NAME
