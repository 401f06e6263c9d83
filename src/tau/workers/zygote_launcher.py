"""The daemon's side of the zygote: keeps one alive and has it fork supervisors."""

import asyncio
import itertools
import logging
import os
import signal
import socket
from pathlib import Path
from typing import Protocol

from tau.pipeline.protocol import JsonObject, decode_line, encode_line
from tau.workers import processes
from tau.workers.launchers import LaunchFailed

logger = logging.getLogger("tau.workers")

_ZYGOTE_FD = 3
_START_S = 30.0
_SHORT_LIFE_S = 1.0
_CLOSE_S = 5.0


class ZygoteLost(LaunchFailed):
    """The zygote died while it was asked."""


class ZygoteLauncher:
    """Has supervisors forked by a zygote, and starts a new one when it has died.

    A zygote that has started and does not answer for `patience` seconds is killed. Its command
    line names the home, so that whoever looks at processes sees whose it is.
    """

    def __init__(self, home: Path, *, patience: float) -> None:
        self._home, self._patience = home, patience
        self._zygote: _Connection | None = None
        self._starting = asyncio.Lock()
        self._restart: asyncio.Task[None] | None = None
        self._stopped = False

    async def start(self) -> None:
        await self._ready()

    async def launch(self, attempt_dir: Path) -> int:
        try:
            return await self._fork(attempt_dir)
        except ZygoteLost:
            # Whether it had forked is unknown, and does not matter: of two supervisors for an
            # attempt, one starts it.
            return await self._fork(attempt_dir)

    async def _fork(self, attempt_dir: Path) -> int:
        zygote = await self._ready()
        try:
            async with asyncio.timeout(_START_S):
                await zygote.has_started.wait()
            async with asyncio.timeout(self._patience):
                answer = await zygote.ask({"attempt_dir": str(attempt_dir)})
        except TimeoutError:
            zygote.kill()
            raise LaunchFailed("the zygote did not answer") from None
        if "pid" not in answer:
            raise LaunchFailed(str(answer.get("error")))
        return int(answer["pid"])

    async def collect(self, pid: int) -> None:
        """The zygote collects its own."""

    async def stop(self) -> None:
        self._stopped = True
        if self._restart is not None:
            self._restart.cancel()
        if self._zygote is not None:
            await self._zygote.close()

    async def _ready(self) -> "_Connection":
        async with self._starting:
            if self._zygote is None or self._zygote.has_ended:
                if self._zygote is not None:
                    await self._zygote.close()
                try:
                    self._zygote = await _Connection.open(self._home, on_end=self._on_end)
                except OSError as error:
                    raise LaunchFailed(f"zygote: {error.strerror}") from error
            return self._zygote

    def _on_end(self, lived_s: float) -> None:
        if self._stopped:
            return
        logger.warning("the zygote ended; a new one takes its place")
        if lived_s > _SHORT_LIFE_S:  # one that can't live is started again only when needed
            self._restart = asyncio.create_task(self._start_anew())

    async def _start_anew(self) -> None:
        try:
            await self._ready()
        except LaunchFailed as failed:
            logger.warning("no new zygote could be started: %s", failed)


class _Connection:
    """One zygote process and the socket to it."""

    def __init__(
        self,
        pid: int,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        *,
        on_end: "OnEnd",
    ) -> None:
        self._pid, self._reader, self._writer = pid, reader, writer
        self._on_end = on_end
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[JsonObject]] = {}
        self._task = asyncio.create_task(self._receive())
        self.has_started = asyncio.Event()
        """Set by the zygote's first word; also by its end, so that nobody waits in vain."""
        self.has_ended = False
        self._is_collected = False

    @classmethod
    async def open(cls, home: Path, *, on_end: "OnEnd") -> "_Connection":
        """Start a zygote. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                pid = await asyncio.to_thread(
                    processes.spawn_module,
                    "tau.workers.zygote",
                    [str(_ZYGOTE_FD), str(home)],
                    env=processes.clean_environment(),
                    descriptor=theirs.fileno(),
                )
            except BaseException:
                ours.close()
                raise
        reader, writer = await asyncio.open_unix_connection(sock=ours)
        return cls(pid, reader, writer, on_end=on_end)

    async def ask(self, request: JsonObject) -> JsonObject:
        if self.has_ended:
            raise ZygoteLost("the zygote has ended")
        number = next(self._ids)
        answer: asyncio.Future[JsonObject] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._writer.write(encode_line({"id": number} | request))
            return await answer
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """Let the zygote end and wait for that."""
        self._writer.close()
        done, _ = await asyncio.wait({self._task}, timeout=_CLOSE_S)
        if not done:
            self.kill()
            await self._task

    def kill(self) -> None:
        """End a zygote that does not do so by itself."""
        self.has_ended = True
        if not self._is_collected:
            os.kill(self._pid, signal.SIGKILL)

    def _collect(self) -> None:
        # In the loop's thread, so that `kill` never meets a pid that is free for others.
        os.waitpid(self._pid, 0)
        self._is_collected = True

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        since = loop.time()
        while line := await self._read_line():
            self.has_started.set()
            answer = decode_line(line) or {}
            waiting = self._waiting.get(answer.get("id", 0))
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        self.has_ended = True
        self.has_started.set()
        self._writer.close()
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(ZygoteLost("the zygote ended while it was asked"))
        await asyncio.to_thread(os.waitid, os.P_PID, self._pid, os.WEXITED | os.WNOWAIT)
        self._collect()
        self._on_end(loop.time() - since)

    async def _read_line(self) -> bytes:
        try:
            return await self._reader.readline()
        except OSError:
            return b""


class OnEnd(Protocol):
    """Hears of a zygote's end and of how long it has lived, in seconds."""

    def __call__(self, lived_s: float) -> None: ...
