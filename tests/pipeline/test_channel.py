"""The child's end of the channel, in process over a real socketpair."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tau.pipeline.channel import SocketChannel
from tau.pipeline.exceptions import ChannelClosed, RequestRefused
from tau.pipeline.protocol import MAX_MESSAGE_BYTES, decode_line, encode_line


@pytest.fixture
def ends() -> Iterator[tuple[SocketChannel, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield SocketChannel(theirs.fileno()), ours


Ends = tuple[SocketChannel, socket.socket]


def lines(ours: socket.socket, count: int) -> list[dict[str, Any]]:
    data = b""
    while data.count(b"\n") < count:
        data += ours.recv(1 << 20)
    return [decode_line(line) or {} for line in data.splitlines()]


def test_messages_of_many_threads_stay_whole(ends: Ends) -> None:
    channel, ours = ends
    threads = [
        threading.Thread(
            target=lambda name=name: [
                channel.send({"k": "log", "n": n, "by": name, "x": "y" * 2000}) for n in range(200)
            ]
        )
        for name in range(4)
    ]
    for thread in threads:
        thread.start()
    got = lines(ours, 800)
    for thread in threads:
        thread.join()
    assert [m["n"] for m in got if m["by"] == 2] == list(range(200))
    assert len(got) == 800


def test_a_message_larger_than_the_socket_holds(ends: Ends) -> None:
    channel, ours = ends
    message = {"k": "result", "value": "x" * (MAX_MESSAGE_BYTES - 100)}
    sender = threading.Thread(target=channel.send, args=(message,))
    sender.start()
    assert lines(ours, 1) == [message]
    sender.join()


def test_too_large_a_message_is_not_sent(ends: Ends) -> None:
    channel, _ = ends
    assert channel.send({"k": "log", "message": "x" * MAX_MESSAGE_BYTES}) is False


def test_nothing_follows_the_last_message(ends: Ends) -> None:
    channel, ours = ends
    assert channel.finish({"k": "result"}) is True
    assert channel.send({"k": "log"}) is False
    assert lines(ours, 1) == [{"k": "result"}]


def test_a_signal_handler_may_send_while_a_line_is_written(ends: Ends) -> None:
    channel, ours = ends
    sent: list[bool] = []
    old = signal.signal(signal.SIGUSR1, lambda *_: sent.append(channel.send({"k": "signal"})))
    try:
        big = {"k": "log", "x": "y" * 900_000}
        started = threading.Event()

        def interrupt() -> None:
            started.wait()
            ours.recv(1)  # the line is being written: it is larger than what the socket holds
            os.kill(os.getpid(), signal.SIGUSR1)
            got.append(b"{" + ours.recv(200_000))
            while not got[-1].endswith(b'"signal"}\n'):
                got.append(ours.recv(1 << 20))

        got: list[bytes] = []
        reader = threading.Thread(target=interrupt)
        reader.start()
        started.set()
        channel.send(big)
        reader.join()
    finally:
        signal.signal(signal.SIGUSR1, old)
    assert sent == [True]
    assert [decode_line(line) for line in b"".join(got).splitlines()] == [big, {"k": "signal"}]


def test_answers_out_of_order_repeated_and_unknown(ends: Ends) -> None:
    channel, ours = ends
    got: dict[str, Any] = {}
    threads = [
        threading.Thread(
            target=lambda name=name: got.update({name: channel.request("secret", {"name": name})})
        )
        for name in ("a", "b")
    ]
    for thread in threads:
        thread.start()
    asked = {request["args"]["name"]: request["id"] for request in lines(ours, 2)}
    ours.sendall(b"garbage\n" + encode_line({"id": 99, "ok": True, "value": "stray"}))
    answer_b = encode_line({"id": asked["b"], "ok": True, "value": "B" * 100_000})
    ours.sendall(answer_b + answer_b + encode_line({"id": asked["a"], "ok": True, "value": "A"}))
    for thread in threads:
        thread.join()
    assert got == {"a": "A", "b": "B" * 100_000}


def test_a_refusal_is_raised(ends: Ends) -> None:
    channel, ours = ends
    ours.sendall(encode_line({"id": 1, "ok": False, "error": {"code": "x", "message": "no"}}))
    with pytest.raises(RequestRefused, match="secret: no"):
        channel.request("secret", {"name": "A"})


def test_no_one_waits_on_an_ended_channel(ends: Ends) -> None:
    channel, ours = ends
    errors: list[Exception] = []

    def ask() -> None:
        try:
            channel.request("state", {})
        except ChannelClosed as error:
            errors.append(error)

    waiting = threading.Thread(target=ask)
    waiting.start()
    lines(ours, 1)
    ours.shutdown(socket.SHUT_RDWR)
    waiting.join()
    ask()
    assert len(errors) == 2


def test_a_channel_that_was_never_open() -> None:
    with pytest.raises(OSError, match="Bad file"):
        SocketChannel(10_000)
