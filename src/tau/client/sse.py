"""Server-Sent Events with resume: after a lost connection the stream goes on where it was.

httpx-sse was looked at: it decodes the format, forty lines of this file, and leaves the resuming
to its caller; its line splitter is httpx's, which also splits inside data at U+2028.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from tau.client.faults import Transient
from tau.errors import DaemonBadAnswer

Opener = Callable[[str | None], AbstractContextManager[Iterator[bytes]]]
"""Opens the stream after the event of that id and gives its bytes."""

_PAUSES_S = (0.2, 0.5, 1.0, 2.0, 4.0)
_FIRST_ATTEMPTS = 2


@dataclass(frozen=True)
class ServerEvent:
    """One event: its name, its id if it has one, its data as text."""

    event: str
    data: str
    id: str | None = None

    def json(self) -> dict[str, Any]:
        """The data as a JSON object. Raises DaemonBadAnswer."""
        try:
            document = json.loads(self.data)
        except ValueError:
            document = None
        if isinstance(document, dict):
            return document
        raise DaemonBadAnswer("An event holds no JSON object.", body=self.data[:200])


def follow(open_stream: Opener) -> Iterator[ServerEvent]:
    """The events up to and with the one named `end`, each once.

    A broken connection is opened again after the last event; after five attempts without a new
    event in between (two before the first one) the fault is raised as an error.
    """
    last_id: str | None = None
    failures, has_begun = 0, False
    while True:
        try:
            with open_stream(last_id) as chunks:
                for event in decode(chunks):
                    failures, has_begun, last_id = 0, True, event.id or last_id
                    yield event
                    if event.event == "end":
                        return
            fault = Transient(DaemonBadAnswer("The event stream stopped before its end."))
        except Transient as lost:
            fault = lost
        if failures == (len(_PAUSES_S) if has_begun else _FIRST_ATTEMPTS):
            raise fault.error from fault
        time.sleep(_PAUSES_S[failures])
        failures += 1


def decode(chunks: Iterable[bytes]) -> Iterator[ServerEvent]:
    """The events of a stream of bytes, as the HTML standard says; one cut at the end is dropped."""
    name, identity = "", None
    data: list[str] = []
    for line in _lines(chunks):
        if not line:
            if data:
                yield ServerEvent(name or "message", "\n".join(data), identity)
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            name = value
        elif field == "id" and "\0" not in value:
            identity = value


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines that end in CR, LF or both, and no other way."""
    buffer = b""
    for chunk in chunks:
        buffer += chunk
        # A CR at the end may be half of a CR LF: it waits for what follows.
        held = b"\r" if buffer.endswith(b"\r") else b""
        whole = buffer[: len(buffer) - len(held)].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, buffer = whole.split(b"\n")
        buffer += held
        for line in lines:
            yield line.decode("utf-8", "replace")
