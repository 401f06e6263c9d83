"""Lines in and out of non-blocking descriptors, with a bound on what is kept."""

import contextlib
import os
from typing import Protocol

READ_BYTES = 64 * 1024
_MAX_LAST_READS = 256


class LineBuffer:
    """Puts lines together from pieces; of a line over `limit` bytes only the head is kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = bytearray()
        self._cut = False

    @property
    def is_over(self) -> bool:
        """Whether the line that is being put together is over the limit already."""
        return self._cut

    def feed(self, data: bytes) -> list[tuple[bytes, bool]]:
        """The lines that `data` completes, without newlines; True marks one that was cut."""
        *complete, rest = data.split(b"\n")
        lines = [self._take(part) for part in complete]
        self._keep(rest)
        return lines

    def finish(self) -> list[tuple[bytes, bool]]:
        """The last line, where it came without a newline."""
        return [self._take(b"")] if self._held else []

    def _keep(self, part: bytes) -> None:
        room = self._limit - len(self._held)
        self._cut = self._cut or len(part) > room
        self._held += part[:room]

    def _take(self, part: bytes) -> tuple[bytes, bool]:
        self._keep(part)
        line = bytes(self._held), self._cut
        self._held.clear()
        self._cut = False
        return line


class Outbox:
    """Bytes on their way into a descriptor that may not take them yet."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self._waiting = bytearray()

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, data: bytes) -> None:
        self._waiting += data
        self.flush()

    def flush(self) -> None:
        """Write what the descriptor takes. Raises OSError where the other end is gone."""
        with contextlib.suppress(BlockingIOError):
            while self._waiting:
                del self._waiting[: os.write(self.descriptor, self._waiting)]


def read_available(descriptor: int) -> bytes | None:
    """Up to 64 KiB of what is there: None where nothing is yet, empty bytes at the end."""
    try:
        return os.read(descriptor, READ_BYTES)
    except BlockingIOError:
        return None
    except OSError:
        return b""  # a reset connection has ended as well


class TakeLine(Protocol):
    """What gets the lines of a source; `is_cut` marks one that was too long."""

    def __call__(self, line: bytes, *, is_cut: bool) -> None: ...


class LineSource:
    """A descriptor that is read line by line."""

    def __init__(self, limit: int, take: TakeLine) -> None:
        self._lines = LineBuffer(limit)
        self._take = take
        self.has_ended = False

    @property
    def is_wasting(self) -> bool:
        """Whether what comes now belongs to a line that is too long, and is passed over."""
        return self._lines.is_over

    def read(self, descriptor: int) -> bool:
        """Take what is there, at most 64 KiB; False where nothing is, now or any more."""
        data = read_available(descriptor)
        if data is None:
            return False
        self.has_ended = data == b""
        for line, is_cut in self._lines.finish() if self.has_ended else self._lines.feed(data):
            self._take(line, is_cut=is_cut)
        return not self.has_ended

    def drain(self, descriptor: int) -> None:
        """Take what is left once nobody writes any more."""
        reads = 0
        while reads < _MAX_LAST_READS and not self.has_ended and self.read(descriptor):
            reads += 1
        for line, is_cut in self._lines.finish():
            self._take(line, is_cut=is_cut)
