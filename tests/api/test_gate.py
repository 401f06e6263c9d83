"""Who may ask what: keys, scopes, hosts, origins, sizes. Walked from the router, not sampled."""

import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from tests.fixtures.api import Api

from tau.api.gate import MAX_BODY_BYTES
from tau.core.auth import Scope
from tau.core.database import sqlite_url
from tau.errors import CATALOGUE


@pytest.fixture
def store_url(sqlite_store: Path) -> str:
    """Nothing here depends on the store, so one of them will do."""
    return sqlite_url(sqlite_store)


WITHOUT_KEY = {("GET", "/healthz"), ("GET", "/readyz")}
"""The whole allow-list."""


def routes(api: Api) -> Iterator[tuple[str, str, APIRoute]]:
    for context in iter_route_contexts(api.app.routes):
        route = context.original_route
        assert isinstance(route, APIRoute)
        for method in sorted(route.methods):
            yield method, context.path, route


def example(path: str) -> str:
    return path.replace("{name}", "hello").replace("{reference}", "hello@last")


def scope_of(route: APIRoute) -> Scope | None:
    """The scope that a route's dependencies require."""
    waiting = [route.dependant]
    while waiting:
        dependant = waiting.pop()
        scope = getattr(dependant.call, "scope", None)
        if isinstance(scope, Scope):
            return scope
        waiting += dependant.dependencies
    return None


def is_problem(answer: Any, code: str | None = None) -> dict[str, Any]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    document: dict[str, Any] = answer.json()
    assert document["code"] in CATALOGUE
    assert document["status"] == answer.status_code
    assert document["request_id"] == answer.headers["x-request-id"]
    assert code in (None, document["code"]), document
    return document


async def test_every_route_but_the_allow_list_wants_a_key(api: Api) -> None:
    walked = list(routes(api))
    assert {("POST", "/api/v1/deployments"), ("GET", "/api/v1/runs")} <= {r[:2] for r in walked}
    for key in (None, "tau_abcdefgh_" + "x" * 43, "é", "", "a b c"):
        headers = {} if key is None else {"Authorization": f"Bearer {key}".encode("latin-1")}
        async with api.anonymous() as client:
            for method, path, _ in walked:
                answer = await client.request(method, example(path), headers=headers)
                if (method, path) in WITHOUT_KEY:
                    assert answer.status_code == 200
                else:
                    assert answer.status_code == 401, f"{method} {path} with {key!r}"
                    assert is_problem(answer)["code"].startswith("auth.")
                    assert answer.headers["www-authenticate"] == "Bearer"


async def test_every_route_denies_a_key_without_its_scope(api: Api) -> None:
    for method, path, route in routes(api):
        if (method, path) in WITHOUT_KEY:
            continue
        needed = scope_of(route)
        assert needed is not None, f"{method} {path} names no scope"
        others = [scope for scope in Scope if scope not in (needed, Scope.ADMIN)]
        body = {"file_name": "a.py", "source": ""} if "deployments" in path else {}
        async with await api.holder(*others) as client:
            send = {"json": body} if method == "POST" else {}
            is_problem(await client.request(method, example(path), **send), "auth.missing_scope")
        async with await api.holder(needed) as client:
            answer = await client.request(method, example(path), **send)
            assert answer.status_code not in (401, 403), f"{method} {path}"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "host", ["evil.com", "127.0.0.1", "127.0.0.1:9999", "localhost.evil.com:8400", "x/healthz?"]
)
async def test_a_foreign_host_is_refused_whatever_the_method(
    api: Api, method: str, host: str
) -> None:
    answer = await api.client.request(method, "/healthz", headers={"Host": host})
    is_problem(answer, "security.host_refused")


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.com"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_writes_from_another_site_are_refused(
    api: Api, method: str, headers: dict[str, str]
) -> None:
    answer = await api.client.request(method, "/api/v1/deployments", headers=headers)
    is_problem(answer, "security.origin_refused")


async def test_our_own_origin_is_taken(api: Api) -> None:
    headers = {"Origin": "http://localhost:8400", "Sec-Fetch-Site": "same-origin"}
    answer = await api.client.post("/api/v1/deployments", json={}, headers=headers)
    is_problem(answer, "request.invalid")


async def test_a_body_over_the_limit_is_refused_while_it_streams(api: Api) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 20 * MAX_BODY_BYTES:
            sent += 64 * 1024
            yield b"x" * 64 * 1024

    headers = {"Content-Type": "application/json"}
    for content in (endless(), b"x" * (MAX_BODY_BYTES + 1)):
        answer = await api.client.post("/api/v1/deployments", content=content, headers=headers)
        is_problem(answer, "request.too_large")
    assert sent < MAX_BODY_BYTES + 1024 * 1024


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        (b"{", "application/json", "request.not_json"),
        (b"[]", "application/json", "request.invalid"),
        (b"\xff", "application/json", "request.not_json"),
        (b"a=b", "application/x-www-form-urlencoded", "request.not_json"),
        (b"{}", "text/plain", "request.not_json"),
        (b'{"source": 1, "file_name": "a.py"}', "application/json", "request.invalid"),
        (b'{"source": "", "file_name": "a.py", "x": 1}', "application/json", "request.invalid"),
        (b'{"source": "", "file_name": ""}', "application/json", "request.invalid"),
        (b"[" * 100_000, "application/json", None),
    ],
)
async def test_bodies_that_are_refused(
    api: Api, content: bytes, kind: str, code: str | None
) -> None:
    answer = await api.client.post(
        "/api/v1/deployments", content=content, headers={"Content-Type": kind}
    )
    assert 400 <= answer.status_code < 500
    is_problem(answer, code)


async def test_unknown_routes_and_methods(api: Api) -> None:
    is_problem(await api.client.get("/api/v1/nonsense"), "route.not_found")
    is_problem(await api.client.delete("/api/v1/runs"), "request.method_not_allowed")
    is_problem(await api.client.get("/x-healthz"), "route.not_found")


async def test_request_ids_are_taken_made_and_echoed(api: Api) -> None:
    given = await api.client.get("/healthz", headers={"X-Request-ID": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    for odd in ("", "a b", "x" * 200, "é"):
        made = await api.client.get("/healthz", headers={"X-Request-ID": odd.encode("latin-1")})
        assert len(made.headers["x-request-id"]) == 32


async def test_the_openapi_document_is_complete(api: Api) -> None:
    answer = await api.client.get("/api/v1/openapi.json")
    paths = answer.json()["paths"]
    shown = {(m.upper(), path) for path, methods in paths.items() for m in methods}
    assert shown == {r[:2] for r in routes(api)} - {("GET", "/api/v1/openapi.json")}
    assert "securitySchemes" in json.dumps(answer.json())
