"""One connection to one daemon: headers, timeouts, faults as errors, repeats where they are safe.

A request is repeated only if it may be: a GET, or a POST that the daemon takes once, by the
Idempotency-Key that goes along again; any other only where nothing of it had been sent.
The loop is ours: httpx's transport retries stop at the connect, and tenacity or stamina import
asyncio, which costs more CPU than a whole request.
"""

import json
import os
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tau.client import faults
from tau.client.agent import find_agent
from tau.client.faults import Transient
from tau.client.lean_httpx import httpx
from tau.client.target import Target
from tau.commands.version import client_version
from tau.errors import KeyMissing, TauError

JsonObject = dict[str, Any]
Query = Mapping[str, Any]

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 30.0
SILENCE_TIMEOUT_S = 45.0
"""A stream that says nothing for that long, not even a keep-alive, is taken for broken."""

_PAUSES_S = (0.1, 0.4)


class Connection:
    """JSON requests to a daemon; close it, or use it as a context manager."""

    def __init__(self, target: Target, *, answer_timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self.target = target
        self._answer_timeout_s = answer_timeout_s
        parts = urlsplit(target.url)
        self._http = httpx.Client(
            base_url=target.url,
            headers=_headers(),
            timeout=_timeout(answer_timeout_s),
            # What goes to this machine, the local key above all, passes no proxy.
            trust_env=not _is_loopback(parts.hostname or ""),
            # Without TLS there is nothing to load 150 certificates for; redirects stay unfollowed.
            verify=True if parts.scheme == "https" else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT),
        )

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, query: Query | None = None, *, waits_s: float = 0.0) -> JsonObject:
        """GET /api/v1{path}; `waits_s` is how long the daemon was asked to hold the answer."""
        timeout = _timeout(self._answer_timeout_s + waits_s)
        url = f"/api/v1{path}"
        return self._repeat(lambda: self._build("GET", url, query=query, timeout=timeout))

    def post(
        self, path: str, body: JsonObject, *, repeatable: bool = True, waits_s: float = 0.0
    ) -> JsonObject:
        """POST /api/v1{path}; a repeat carries the same Idempotency-Key.

        What the daemon would do twice if it were asked twice is not `repeatable`; `waits_s` is how
        long it may have to work before it answers.
        """
        timeout = _timeout(self._answer_timeout_s + waits_s)
        headers = {"Idempotency-Key": os.urandom(16).hex()}
        content = json.dumps(body).encode()
        url = f"/api/v1{path}"
        return self._repeat(
            lambda: self._build("POST", url, content=content, headers=headers, timeout=timeout),
            repeatable=repeatable,
        )

    def health(self) -> JsonObject:
        """GET /healthz, which takes no key; asked once."""
        try:
            return self._once(self._http.build_request("GET", "/healthz"))
        except Transient as fault:
            raise fault.error from fault

    @contextmanager
    def stream(self, path: str, *, last_event_id: str | None) -> Iterator[Iterator[bytes]]:
        """The bytes of an event stream as they come. Raises Transient or a TauError."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_event_id:
            headers["Last-Event-ID"] = last_event_id
        timeout = _timeout(SILENCE_TIMEOUT_S)
        request = self._build("GET", f"/api/v1{path}", headers=headers, timeout=timeout)
        response = self._send(request)
        try:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                self._refuse_stream(response)
            yield self._chunks(response)
        finally:
            response.close()

    def _refuse_stream(self, response: httpx.Response) -> None:
        status, body = response.status_code, self._read(response)
        faults.document_of(self.target, status=status, body=body)
        raise faults.no_daemon(self.target, status=status, body=body)

    def _repeat(self, build: Callable[[], httpx.Request], *, repeatable: bool = True) -> JsonObject:
        pauses = list(_PAUSES_S)
        while True:
            try:
                return self._once(build())
            except Transient as fault:
                if not pauses or not (repeatable or fault.unsent):
                    raise _told(fault, repeatable=repeatable) from fault
            time.sleep(pauses.pop(0))

    def _once(self, request: httpx.Request) -> JsonObject:
        response = self._send(request)
        try:
            body = self._read(response)
        finally:
            response.close()
        return faults.document_of(self.target, status=response.status_code, body=body)

    def _build(
        self, method: str, url: str, *, query: Query | None = None, content: bytes | None = None,
        headers: Mapping[str, str] | None = None, timeout: httpx.Timeout | None = None,
    ) -> httpx.Request:  # fmt: skip
        if self.target.api_key is None:
            raise KeyMissing(f"There is no API key for {self.target.url}.")
        sent = {"Authorization": f"Bearer {self.target.api_key}", **(headers or {})}
        if content is not None:
            sent["Content-Type"] = "application/json"
        params = {k: v for k, v in (query or {}).items() if v is not None and v != []}
        return self._http.build_request(
            method, url, params=params, content=content, headers=sent,
            timeout=timeout or self._http.timeout,
        )  # fmt: skip

    def _send(self, request: httpx.Request) -> httpx.Response:
        request.headers["X-Request-ID"] = os.urandom(16).hex()
        try:
            return self._http.send(request, stream=True)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise faults.from_transport(self.target, error) from error

    def _read(self, response: httpx.Response) -> bytes:
        try:
            return response.read()
        except httpx.HTTPError as error:
            raise faults.cut(self.target, error, status=response.status_code) from error

    def _chunks(self, response: httpx.Response) -> Iterator[bytes]:
        try:
            yield from response.iter_bytes()
        except httpx.HTTPError as error:
            raise faults.cut(self.target, error, status=response.status_code) from error


def _told(fault: Transient, *, repeatable: bool) -> TauError:
    """The error of a fault; it says so where the request may have been carried out all the same."""
    if not repeatable and not fault.unsent:
        fault.error.hint = "It may have been carried out: look before you send it again."
    return fault.error


def _timeout(seconds: float) -> httpx.Timeout:
    return httpx.Timeout(seconds, connect=CONNECT_TIMEOUT_S)


def _headers() -> dict[str, str]:
    headers = {"User-Agent": f"tau-cli/{client_version()}", "Accept": "application/json"}
    agent = find_agent()
    return headers | {"X-Tau-Agent": agent} if agent else headers


def _is_loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
