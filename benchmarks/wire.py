"""HTTP on raw sockets, as little of it as is needed: the load must not cost what it measures."""

import json
import selectors
import socket
import time
from typing import Any

RECEIVE_BYTES = 256 * 1024


def request(
    method: str, path: str, *, port: int, key: str | None = None, body: Any = None
) -> bytes:
    """One request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{port}"]
    if key is not None:
        lines.append(f"Authorization: Bearer {key}")
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(content)}"]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Connection:
    """One keep-alive connection to a server on this machine; requests may be pipelined."""

    def __init__(self, port: int, key: str | None = None) -> None:
        self.port, self._key = port, key
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, method: str, path: str, body: Any = None) -> None:
        data = request(method, path, port=self.port, key=self._key, body=body)
        self.socket.sendall(data)

    def receive(self) -> Any:
        """The next answer's JSON. Raises AssertionError for an error answer."""
        while (end := _end_of_answer(self._rest)) is None:
            data = self.socket.recv(RECEIVE_BYTES)
            assert data, "the server hung up"
            self._rest += data
        answer, self._rest = self._rest[:end], self._rest[end:]
        assert answer[9:10] == b"2", answer.decode("utf-8", "replace")
        return json.loads(answer.partition(b"\r\n\r\n")[2])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        self.send(method, path, body)
        return self.receive()


def _end_of_answer(data: bytes) -> int | None:
    """Where the first answer ends in what was received, None while it is not all there."""
    head = data.find(b"\r\n\r\n")
    if head < 0:
        return None
    headers = data[:head].lower()
    begin = headers.index(b"content-length:") + len(b"content-length:")
    end = head + 4 + int(headers[begin:].split(b"\r\n", 1)[0])
    return end if len(data) >= end else None


def rate(port: int, data: bytes, *, connections: int, seconds: float) -> float:
    """Answers per second while each connection sends `data` again as soon as it has an answer.

    One process with one selector and no parsing but of the length: about 25 µs of CPU a request.
    """
    selector = selectors.EpollSelector()
    opened = [socket.create_connection(("127.0.0.1", port)) for _ in range(connections)]
    waiting: dict[int, bytes] = {}
    for connection in opened:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(data)
        waiting[connection.fileno()] = b""
        selector.register(connection, selectors.EVENT_READ, connection)
    answers, begin = 0, time.perf_counter()
    while time.perf_counter() < begin + seconds:
        for key, _ in selector.select(1.0):
            connection = key.data
            received = waiting[key.fd] + connection.recv(RECEIVE_BYTES)
            if _end_of_answer(received) is None:
                waiting[key.fd] = received
                continue
            assert received[9:12] == b"200", received
            waiting[key.fd] = b""
            answers += 1
            connection.sendall(data)
    lasted = time.perf_counter() - begin
    for connection in opened:
        connection.close()
    selector.close()
    return answers / lasted
