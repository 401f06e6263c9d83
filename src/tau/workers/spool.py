"""The spool of an attempt: its events in order, numbered, within bounds."""

import os
import time
from collections import deque

from tau.pipeline.protocol import Limits, encode_line

_MAX_EVENTS = 100_000
_MAX_EVENT_BYTES = 64 * 1024 * 1024
_SEQ_BYTES = 16  # what the number and the newline add to an event, about
_BATCH_BYTES = 256 * 1024
_ALWAYS_KEPT = frozenset({"hello", "result", "failure", "truncated"})


class Spool:
    """Numbers events and appends them, one write a batch.

    Log lines beyond `limits.log_bytes` go into a ring of the last `limits.log_tail_bytes`, which
    is written at the end. Other events are bounded in number and size; hello and the outcome
    always pass. `file` is a descriptor, its file empty and open for appending.
    """

    def __init__(self, file: int, limits: Limits) -> None:
        self._file = file
        self._limits = limits
        self._batch: list[bytes] = []
        self._batch_bytes = 0
        self._size = 0
        self._log_bytes = 0
        self._other_events = 0
        self._other_bytes = 0
        self._tail: deque[bytes] = deque()
        self._tail_bytes = 0
        self._cut_events = 0
        self._cut_bytes = 0
        self.events = 0
        """Events that were accepted for the file."""
        self.dropped = 0
        """Events that were lost to a bound, or to a disk that took no more."""

    @property
    def is_capped(self) -> bool:
        """Whether a bound is reached, so that what comes now is mostly not kept."""
        return bool(self._tail) or self._other_events > _MAX_EVENTS

    def add(self, kind: str, event: bytes) -> None:
        """Take one event: a JSON object as bytes without a `seq` and without a newline."""
        if kind == "log":
            self._add_log(event)
        elif kind in _ALWAYS_KEPT or self._has_room(event):
            self._append(event)
        else:
            self.dropped += 1

    def flush(self) -> bool:
        """Write the batch; True where the file grew."""
        if not self._batch:
            return False
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        data = b"".join(batch)
        try:
            self._write(data)
        except OSError:
            os.ftruncate(self._file, self._size)  # no torn line, no gap in the numbers
            self.events -= len(batch)
            self.dropped += len(batch)
            return False
        self._size += len(data)
        return True

    def finish(self) -> None:
        """Write what the ring kept, after a note on what it lost."""
        if self._cut_events:
            lost: dict[str, object] = {"dropped": self._cut_events, "bytes": self._cut_bytes}
            note = encode_line({"k": "truncated", "ts": time.time(), **lost})
            self._append(note.rstrip())
        for event in self._tail:
            self._append(event)
        self._tail.clear()
        self.flush()

    def _add_log(self, event: bytes) -> None:
        self._log_bytes += len(event) + _SEQ_BYTES
        if not self._tail and self._log_bytes <= self._limits.log_bytes:
            self._append(event)
            return
        self._tail.append(event)
        self._tail_bytes += len(event) + _SEQ_BYTES
        while self._tail_bytes > self._limits.log_tail_bytes and len(self._tail) > 1:
            lost = self._tail.popleft()
            self._tail_bytes -= len(lost) + _SEQ_BYTES
            self._cut_events += 1
            self._cut_bytes += len(lost)
            self.dropped += 1

    def _has_room(self, event: bytes) -> bool:
        if self._other_bytes + len(event) > _MAX_EVENT_BYTES:
            self._other_events = _MAX_EVENTS  # full by size is full
        self._other_events += 1
        self._other_bytes += len(event)
        return self._other_events <= _MAX_EVENTS

    def _append(self, event: bytes) -> None:
        self.events += 1
        line = b'%b,"seq":%d}\n' % (event[:-1], self.events)
        self._batch.append(line)
        self._batch_bytes += len(line)
        if self._batch_bytes >= _BATCH_BYTES:
            self.flush()

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._file, view) :]
