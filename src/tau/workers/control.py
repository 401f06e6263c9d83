"""The supervisor's end of the daemon's control socket: found again for as long as it lives."""

import select
import selectors
import socket
import time
from collections.abc import Callable

from tau.pipeline.protocol import MAX_MESSAGE_BYTES, JsonObject, decode_line, encode_line
from tau.workers.streams import LineBuffer, Outbox, read_available

RECONNECT_S = 0.25
MAX_OPEN_REQUESTS = 256

_POKE = encode_line({"k": "poke"})
_EXIT_PATIENCE_S = 1.0


class ControlClient:
    """Attaches, pokes and asks; attaches anew after a loss and repeats what is unanswered.

    Nothing here blocks, and what waits for a slow daemon is bounded: one poke and the open
    requests.
    """

    def __init__(
        self,
        path: str | None,
        *,
        attach: JsonObject,
        selector: selectors.BaseSelector,
        on_message: Callable[[JsonObject], None],
    ) -> None:
        self._path = path
        self._attach = attach
        self._selector = selector
        self._on_message = on_message
        self._socket: socket.socket | None = None
        self._outbox: Outbox | None = None
        self._lines = LineBuffer(2 * MAX_MESSAGE_BYTES)
        self._open: dict[int | str, JsonObject] = {}
        self._poke_due = False
        self.due: float | None = 0.0 if path else None
        """When to call `connect` next, on the monotonic clock; None for never."""

    def connect(self) -> None:
        """Try to reach the daemon; sets `due` again where it does not answer."""
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.setblocking(False)
        try:
            connection.connect(self._path or "")
        except OSError:  # no daemon now, or one whose queue of connections is full
            connection.close()
            self.due = time.monotonic() + RECONNECT_S
            return
        self.due = None
        self._socket, self._outbox = connection, Outbox(connection.fileno())
        self._selector.register(connection, selectors.EVENT_READ, self._ready)
        self._poke_due = False
        self._put(encode_line(self._attach))
        for request in list(self._open.values()):
            self._put(encode_line(request))
        self.poke()

    def poke(self) -> None:
        """Say that the spool grew; said once however often it grows before it has been sent."""
        if self._outbox is None:
            return
        if self._outbox:
            self._poke_due = True
            return
        self._put(_POKE)

    def ask(self, request: JsonObject) -> bool:
        """Pass a request on, now or once a daemon is there; False where too many are open."""
        if self._path is None or len(self._open) >= MAX_OPEN_REQUESTS:
            return False
        self._open[request["id"]] = request
        self._put(encode_line(request))
        return True

    def finish(self) -> None:
        """Say that `exit.json` is written; waits only briefly for a daemon that does not read."""
        self._put(encode_line({"k": "exit"}))
        if self._socket is not None and self._outbox:
            select.select([], [self._socket], [], _EXIT_PATIENCE_S)
            self._put(b"")

    def _put(self, data: bytes) -> None:
        if self._outbox is None:
            return
        try:
            self._outbox.put(data)
        except OSError:
            self._lose()
            return
        self._watch()

    def _watch(self) -> None:
        """Ask for writability exactly while something waits to be written."""
        if self._socket is None:
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outbox else 0)
        if self._selector.get_key(self._socket).events != events:
            self._selector.modify(self._socket, events, self._ready)

    def _ready(self, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            self._put(b"")
            if self._poke_due and not self._outbox:
                self._poke_due = False
                self.poke()
        if mask & selectors.EVENT_READ:
            self._receive()

    def _receive(self) -> None:
        if self._socket is None:
            return
        data = read_available(self._socket.fileno())
        if data == b"":
            self._lose()
        for line, _ in self._lines.feed(data or b""):
            message = decode_line(line)
            if message is not None:
                self._deliver(message)

    def _deliver(self, message: JsonObject) -> None:
        if message.get("k") == "answer" and self._open.pop(message.get("id", ""), None) is None:
            return  # a second answer to a request that was repeated
        self._on_message(message)

    def _lose(self) -> None:
        if self._socket is not None:
            self._selector.unregister(self._socket)
            self._socket.close()
        self._socket = self._outbox = None
        self._lines = LineBuffer(2 * MAX_MESSAGE_BYTES)
        self.due = time.monotonic() + RECONNECT_S
