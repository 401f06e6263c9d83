"""What every request passes before any route: host, origin, size, request id. Plain ASGI."""

import re
import uuid
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tau.api.errors import problem
from tau.core.counters import Counters
from tau.errors import HostRefused, OriginRefused, RequestNotJson, RequestTooLarge, TauError

MAX_BODY_BYTES = 10 * 1024 * 1024
METHODS = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
NO_ROUTE = "none"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_REQUEST_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class Gate:
    """Refuses what no browser of a stranger may send, and bounds what anybody may send.

    `hosts` are the names this daemon answers to, each with or without a port; exact, so that a
    name which was rebound to this address finds nothing here.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], counters: Counters) -> None:
        self._app, self._counters = app, counters
        self._hosts = frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = _request_id(headers)
        scope.setdefault("state", {})["request_id"] = request_id
        send = self._counted(scope, send)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await problem(refusal, request_id=request_id)(scope, receive, send)
            return
        body = _Body(receive)
        with suppress(_BodyTooLarge):
            await self._app(scope, body.receive, body.guard(_with_request_id(send, request_id)))
        if body.is_too_large:
            await problem(_too_large(), request_id=request_id)(scope, receive, send)

    def _counted(self, scope: Scope, send: Send) -> Send:
        """Counts the answer; by the route's template, since paths are without number."""

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                method = scope["method"] if scope["method"] in METHODS else "other"
                route = getattr(scope.get("route"), "path", NO_ROUTE)
                self._counters.requests[method, route, message["status"]] += 1
            await send(message)

        return counted

    def _refusal(self, scope: Scope, headers: Headers) -> TauError | None:
        host = headers.get("host", "").lower()
        if len(headers.getlist("host")) != 1 or host not in self._hosts:
            return HostRefused(f"The Host header {host[:100]!r} names none of my hosts.")
        if scope["method"] in SAFE_METHODS:
            return None
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() not in self._hosts:
            return OriginRefused(f"Requests from {origin[:100]!r} are not taken.")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return OriginRefused("Requests from other sites are not taken.")
        length = headers.get("content-length", "0")
        if length.isdigit() and int(length) > MAX_BODY_BYTES:
            return _too_large()
        has_body = length != "0" or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and kind != "application/json":
            return RequestNotJson("The body's Content-Type is to be application/json.")
        return None


class _BodyTooLarge(Exception):
    """Stops whoever reads the body; what reads it may take this for an error of its own."""


class _Body:
    """Counts the body while it streams in: a chunked one says its length to nobody."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._bytes = 0

    @property
    def is_too_large(self) -> bool:
        return self._bytes > MAX_BODY_BYTES

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._bytes += len(message.get("body", b""))
            if self.is_too_large:
                raise _BodyTooLarge
        return message

    def guard(self, send: Send) -> Send:
        """Holds back whatever the application answers to a body it was not allowed to read."""

        async def guarded(message: Message) -> None:
            if not self.is_too_large:
                await send(message)

        return guarded


def _too_large() -> RequestTooLarge:
    return RequestTooLarge(f"The body is larger than {MAX_BODY_BYTES // 1024 // 1024} MiB.")


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def _with_request_id(send: Send, request_id: str) -> Send:
    async def send_with_id(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)["X-Request-ID"] = request_id
        await send(message)

    return send_with_id


def local_hosts(port: int, public_hosts: Iterable[str]) -> set[str]:
    """The names of a daemon on this port: the loopback ones and what the settings add."""
    names = {f"{name}:{port}" for name in ("localhost", "127.0.0.1", "[::1]")}
    if port in (80, 443):
        names |= {"localhost", "127.0.0.1", "[::1]"}
    for public in public_hosts:
        names |= {public, f"{public}:{port}"}
    return names
