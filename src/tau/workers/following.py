"""The daemon's side of one attempt: delivers its spool, answers it, decides when it is over."""

import asyncio
import contextlib
import logging
import os
from pathlib import Path

from tau.errors import TauError, UnexpectedError
from tau.pipeline.protocol import SPOOL_FILE, ExitRecord, JsonObject, encode_line
from tau.workers import attempt_files
from tau.workers.base import (
    AttemptListener,
    AttemptLost,
    AttemptUnknown,
    LaunchRefused,
    WorkerStopped,
)
from tau.workers.links import Link

logger = logging.getLogger("tau.workers")

_LOCK_POLL_S = 0.25
_MAX_LINES = 500
_MAX_BYTES = 1024 * 1024


class Following:
    """One attempt that a listener follows, over however many links its supervisor needs."""

    def __init__(self, directory: Path, listener: AttemptListener, *, offset: int = 0) -> None:
        self._directory, self._listener = directory, listener
        self._spool = SpoolReader(directory / SPOOL_FILE, offset)
        self._news = asyncio.Event()
        self._link: Link | None = None
        self._unannounced: Link | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._stopped = False
        self._record: ExitRecord | None = None
        self.is_over = False
        """Whether the supervisor is gone for good, so that nothing can happen any more."""
        self.wish: tuple[str, str] | None = None
        """The status and reason that the attempt is to end with, once that was asked for."""

    async def serve(self, link: Link) -> None:
        """Listen to a link until it ends."""
        self._link = self._unannounced = link
        if self.wish is not None:
            link.kill(*self.wish)
        self._news.set()
        async for message in link.messages():
            if message.get("k") == "request":
                self._answer_soon(message)
            elif message.get("k") != "exit":  # the link's end follows at once, and is the news
                self._news.set()
        if self._link is link:
            self._link = None
        self._news.set()

    def kill(self, status: str, reason: str) -> None:
        """Ask for the end now, or when the supervisor attaches."""
        self.wish = self.wish or (status, reason)
        if self._link is not None:
            self._link.kill(status, reason)

    def renew(self) -> None:
        """Say that the daemon lives, if the supervisor is there to hear it."""
        if self._link is not None:
            self._link.send({"k": "renew"})

    def stop(self) -> None:
        """Let `until_end` raise WorkerStopped."""
        self._stopped = True
        self._news.set()

    async def until_end(self, *, attach_within: float) -> ExitRecord:
        """Deliver everything, then answer the record.

        `attach_within` are the seconds after which a supervisor that has not attached is looked
        for by its lock. Raises LaunchRefused, AttemptLost or WorkerStopped.
        """
        clock = asyncio.get_running_loop()
        if attach_within <= 0:
            self._news.set()  # look at once
        deadline = clock.time() + attach_within
        while True:
            await self._wait_for_news()
            if self._stopped:
                raise WorkerStopped
            if self._unannounced is not None:
                deadline = clock.time()
                await self._announce(self._unannounced)
            elif self._link is None and self._find_record() is not None:
                deadline = clock.time()  # it came and went without reaching us
            self.is_over = self._link is None and clock.time() >= deadline and self._is_dead()
            await self._deliver()
            if self.is_over:
                return self._outcome()

    def close(self) -> None:
        """Let go of the attempt; its supervisor goes on."""
        for task in self._answering:
            task.cancel()
        if self._link is not None:
            self._link.close()
        self._spool.close()

    async def _wait_for_news(self) -> None:
        patience = None if self._link else _LOCK_POLL_S
        try:
            async with asyncio.timeout(patience):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def _announce(self, link: Link) -> None:
        self._unannounced = None
        await self._listener.started(supervisor_pid=link.supervisor_pid, child_pid=link.child_pid)

    async def _deliver(self) -> None:
        while batch := self._spool.next_batch():
            lines, offset = batch
            await self._listener.events(lines, offset=offset)
            self._spool.offset = offset

    def _is_dead(self) -> bool:
        """Whether no supervisor lives; from then on none can start this attempt."""
        try:
            lock = attempt_files.try_lock(self._directory)
        except FileNotFoundError:
            raise AttemptUnknown("The attempt's directory is not there.") from None
        if lock is None:
            return False
        try:
            if self._find_record() is None:
                attempt_files.bury(self._directory)
        finally:
            os.close(lock)
        return True

    def _find_record(self) -> ExitRecord | None:
        """What the supervisor wrote, which it does once."""
        if self._record is None:
            # What no supervisor writes is no record.
            with contextlib.suppress(ValueError, TypeError):
                self._record = ExitRecord.find(self._directory)
        return self._record

    def _outcome(self) -> ExitRecord:
        record = self._find_record()
        if record is not None:
            return record
        trouble = attempt_files.supervisor_trouble(self._directory)
        if not attempt_files.has_started(self._directory):
            raise LaunchRefused(trouble or "No supervisor came to start the attempt.")
        raise AttemptLost(trouble or "The attempt's supervisor was killed.")

    def _answer_soon(self, request: JsonObject) -> None:
        task = asyncio.create_task(self._answer(request))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answer(self, request: JsonObject) -> None:
        reply: JsonObject = {"k": "answer", "id": request.get("id")}
        try:
            answer = await self._listener.request(str(request.get("op")), request.get("args") or {})
            reply |= {"ok": True, "value": answer.value}
            reply |= {"secret": answer.secret} if answer.secret else {}
            encode_line(reply)
        except TauError as error:
            reply |= {"ok": False, "error": error.to_dict()}
        except Exception:
            logger.exception("a request of an attempt failed: %s", request.get("op"))
            reply = {"k": "answer", "id": request.get("id"), "ok": False}
            reply["error"] = UnexpectedError().to_dict()
        if self._link is not None:  # else the supervisor asks again when it is back
            self._link.send(reply)


class SpoolReader:
    """Reads complete lines of a growing file from an offset."""

    def __init__(self, path: Path, offset: int) -> None:
        self._path = path
        self._file: int | None = None
        self.offset = offset

    def next_batch(self) -> tuple[list[bytes], int] | None:
        """Up to 500 lines or 1 MiB, and the offset after them; None where no line is complete."""
        size = _MAX_BYTES
        while data := self._read(size):
            *lines, rest = data.split(b"\n")
            if lines:
                lines = lines[:_MAX_LINES]
                return lines, self.offset + sum(map(len, lines)) + len(lines)
            if len(rest) < size:
                return None
            size *= 2  # one line that is larger than a batch
        return None

    def close(self) -> None:
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _read(self, size: int) -> bytes:
        if self._file is None:
            try:
                self._file = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:
                return b""
        return os.pread(self._file, size, self.offset)
