"""The child's end of its channel to the supervisor: sends messages, asks and waits for answers.

Any thread may send. Answers are read by one thread, started at the first request, which hands
each to whoever asked with its id: two readers on one descriptor would mix answers.

The descriptor is the user's to break: it is compared with what it was before each write, so that
nothing is ever written into a file that took its number. A process that the pipeline forked does
not speak for the attempt: there, nothing is sent.
"""

import os
import threading
from collections import deque
from queue import SimpleQueue
from typing import Any, Protocol

from tau.pipeline.exceptions import ChannelClosed, RequestRefused
from tau.pipeline.protocol import MAX_MESSAGE_BYTES, JsonObject, decode_line, encode_line

READ_BYTES = 64 * 1024


class Channel(Protocol):
    """What the context needs of a channel; `tau.testing` has one in memory."""

    def send(self, message: JsonObject) -> bool:
        """Send one message; False where it can't be sent (any more)."""
        ...

    def request(self, op: str, args: JsonObject) -> Any:
        """Ask and wait for the value. Raises RequestRefused or ChannelClosed."""
        ...


class SocketChannel:
    """The channel over one end of a stream socketpair."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._identity = _identity(fd)
        self._owner = os.getpid()
        self._lines: deque[bytes] = deque()
        # Re-entrant, since a signal handler or a finaliser may print while a line is written.
        self._lock = threading.RLock()
        self._writing = False
        self._finished = False
        self._answers = _Answers()
        os.set_inheritable(fd, False)
        os.set_blocking(fd, True)

    @property
    def is_foreign(self) -> bool:
        """Whether this is a process that the pipeline forked."""
        return os.getpid() != self._owner

    def send(self, message: JsonObject) -> bool:
        return self._send(message, last=False)

    def finish(self, message: JsonObject) -> bool:
        """Send the last message of the attempt; nothing can follow it."""
        return self._send(message, last=True)

    def request(self, op: str, args: JsonObject) -> Any:
        if self.is_foreign:
            raise ChannelClosed(f"{op}: only the pipeline's own process can ask, not a fork of it")
        number, slot = self._answers.expect(self._read_answers)
        if not self.send({"k": "request", "id": number, "op": op, "args": args}):
            raise ChannelClosed(f"{op}: the descriptor to Tau was closed")
        answer = slot.get()
        if answer is None:
            raise ChannelClosed(f"{op}: the channel to Tau ended before the answer came")
        if not answer.get("ok"):
            raise RequestRefused(op, answer.get("error") or {})
        return answer.get("value")

    def _send(self, message: JsonObject, *, last: bool) -> bool:
        if self.is_foreign:
            return False
        line = encode_line(message)
        if len(line) > MAX_MESSAGE_BYTES:
            return False
        with self._lock:
            if self._finished:
                return False
            self._finished = last
            self._lines.append(line)
            return self._writing or self._drain()

    def _drain(self) -> bool:
        self._writing = True
        try:
            while self._lines:
                if not self._is_open() or not _write_all(self._fd, self._lines[0]):
                    self._lines.clear()
                    return False
                self._lines.popleft()
            return True
        finally:
            self._writing = False

    def _is_open(self) -> bool:
        try:
            return _identity(self._fd) == self._identity
        except OSError:
            return False

    def _read_answers(self) -> None:
        rest = b""
        while self._is_open():
            try:
                chunk = os.read(self._fd, READ_BYTES)
            except OSError:
                break
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._answers.deliver(decode_line(line))
        self._answers.end()


class _Answers:
    """Who waits for which answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._slots: dict[int, SimpleQueue[JsonObject | None]] = {}
        self._last = 0
        self._reader: threading.Thread | None = None
        self._ended = False

    def expect(self, read: Any) -> tuple[int, "SimpleQueue[JsonObject | None]"]:
        """The next request's id and the place where its answer will be put."""
        slot: SimpleQueue[JsonObject | None] = SimpleQueue()
        with self._lock:
            self._last += 1
            if self._ended:
                slot.put(None)
                return self._last, slot
            self._slots[self._last] = slot
            if self._reader is None:
                self._reader = threading.Thread(target=read, name="tau-answers", daemon=True)
                self._reader.start()
            return self._last, slot

    def deliver(self, answer: JsonObject | None) -> None:
        """Hand an answer over. A request that was repeated may be answered twice: once counts."""
        number = answer.get("id") if answer else None
        with self._lock:
            slot = self._slots.pop(number, None) if isinstance(number, int) else None
        if slot is not None:
            slot.put(answer)

    def end(self) -> None:
        """No answer will come any more."""
        with self._lock:
            self._ended = True
            slots, self._slots = list(self._slots.values()), {}
        for slot in slots:
            slot.put(None)


def _identity(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


def _write_all(fd: int, data: bytes) -> bool:
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except OSError:
            return False
    return True
