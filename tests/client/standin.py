"""A stand-in for the daemon's API on a real port: the contract's documents, and faults on demand.

It is no mock: requests travel over a socket, and a fault breaks the connection or the answer the
way a crash, a proxy or another service does.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

KEY = "tau_testid_secretsecret"
JsonObject = dict[str, Any]
HTML = b"<html><head><title>502 Bad Gateway</title></head></html>" + b"x" * 500


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: JsonObject | None


def run_document(
    status: str = "success", *, number: int = 7, pipeline: str = "orders"
) -> JsonObject:
    return {
        "run": f"{pipeline}#{number}",
        "id": f"01k9{number:022d}",
        "pipeline": pipeline,
        "number": number,
        "version": 1,
        "status": status,
        "trigger": "manual",
        "created_at": "2026-11-20T08:00:00Z",
        "attempt": 1,
        "max_attempts": 1,
        "params": {},
        "steps": [{"name": "extract", "status": "success", "ms": 1200, "rows_out": 500}],
        "requested_by": {"key": "local"},
        "next": [f"tau inspect {pipeline}#{number}"],
    }


def problem(code: str, status: int, **extra: Any) -> JsonObject:
    message = extra.pop("message", f"It is {code}.")
    return {
        "type": "about:blank",
        "title": "A problem",
        "status": status,
        "detail": message,
        "instance": "/x",
        "code": code,
        "message": message,
        "retry": "after_fix",
        "request_id": "r1",
        **extra,
    }


Answer = tuple[int, JsonObject]


@dataclass
class StandIn:
    """The daemon that tests talk to.

    `fault` breaks the next `fault_times` answers (None: all): reset, reset_midway, cut, truncated,
    html_502, html_200, list, silent. `problem` is answered in place of any document. `statuses`
    are the states in which a run is seen, one a look; the last one stays. `changed` is what a
    deployment says. `streams` are the bytes of the event stream, one connection each.
    """

    url: str = ""
    fault: str | None = None
    fault_times: int | None = None
    problem: tuple[int, JsonObject] | None = None
    statuses: list[str] = field(default_factory=lambda: ["success"])
    pipelines: list[str] = field(default_factory=lambda: ["orders"])
    changed: bool = True
    streams: list[bytes] = field(default_factory=list)
    overrides: dict[str, Callable[[Seen], Answer]] = field(default_factory=dict)
    seen: list[Seen] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)

    def paths(self, method: str = "GET") -> list[str]:
        return [seen.path for seen in self.seen if seen.method == method]

    def answer(self, seen: Seen) -> Answer:
        path = seen.path.removeprefix("/api/v1")
        if path in self.overrides:
            return self.overrides[path](seen)
        if path == "/healthz":
            return 200, {"status": "ok", "version": "9.9.9"}
        if seen.headers.get("authorization") != f"Bearer {KEY}":
            return 401, problem("auth.invalid_key", 401, retry="human")
        if self.problem:
            return self.problem
        return self._document(seen, path.strip("/").split("/"))

    def _document(self, seen: Seen, parts: list[str]) -> Answer:
        first, *rest = parts
        if first == "secrets" and seen.method != "GET":
            return 200, self._secret(seen, rest)
        if seen.method == "POST":
            return self._change(seen, first, [unquote(part) for part in rest])
        if not rest:
            return self._list(first)
        if first == "pipelines":
            return 200, self._of_pipeline(unquote(rest[0]), rest[1:])
        if first == "db":
            return 200, {"tables": [{"name": "runs", "rows": 1}], "revision": "0006"}
        if rest[1:]:
            return 200, {"run": "orders#7", "status": "failed", "logs": [], "total": 0}
        return 200, run_document(self._next_status())

    def _change(self, seen: Seen, first: str, rest: list[str]) -> Answer:
        body = seen.body or {}
        dry_run = body.get("dry_run", False)
        if first == "deployments":
            return 201, self._deployment(body)
        if first == "keys":
            revoked = {"id": rest[0], "name": "ci", "revoked": not dry_run} if rest else {}
            made = {"id": "k1", "name": body.get("name"), "scopes": body.get("scopes")}
            return (200, revoked) if rest else (201, made | {"key": "tau_k1_secret"})
        if first in ("db", "config", "webhooks", "notify"):
            return self._of_operators(first, rest, body)
        if rest[1] == "schedule":
            return 200, {"pipeline": rest[0], "changed": True, "dry_run": dry_run}
        if rest[1] in ("undeploy", "rollback"):
            return 200, {"pipeline": rest[0], "version": 2, "dry_run": dry_run, "cancelled": []}
        if rest[1] == "cancel":
            return 200, run_document("running") | {"dry_run": dry_run}
        if dry_run or body.get("validate_only"):
            return 200, {"dry_run": True, "pipeline": "orders", "would": "queue", "params": {}}
        if rest[1] == "retry":
            return 202, run_document("queued") | {"rerun_of": rest[0]}
        return 202, run_document("queued", pipeline=rest[0])

    def _secret(self, seen: Seen, rest: list[str]) -> JsonObject:
        dry_run = (seen.body or {}).get("dry_run", False) or "dry_run" in seen.query
        changed = {"PUT": {"version": 1, "changed": True}, "DELETE": {"deleted": not dry_run}}
        if seen.method == "POST":
            return {"rotated": 3, "key_id": "00", "dry_run": dry_run}
        return {"name": unquote(rest[0]), "dry_run": dry_run} | changed[seen.method]

    def _of_operators(self, first: str, rest: list[str], body: JsonObject) -> Answer:
        if first == "db":
            dry_run = body.get("dry_run", False)
            return 200, {"done": not dry_run, "dry_run": dry_run, "removed": 0}
        if first == "config":
            return 200, {"valid": True}
        if first == "notify":
            return 200, {"services": [{"service": "slack://…", "id": "s1", "delivered": True}]}
        if not rest:
            return 201, {"id": "w1", "url": body["url"], "secret": "whsec_abc"}
        row = {"id": rest[0], "url": "https://hooks.example.com/tau"}
        if rest[1] == "test":
            return 200, row | {"delivered": True, "http_status": 204, "ms": 12}
        return 200, row | {"deleted": not body.get("dry_run", False), "dropped": 0}

    def _of_pipeline(self, name: str, rest: list[str]) -> JsonObject:
        if rest == ["versions"]:
            rows = [{"version": 2, "current": True}, {"version": 1, "current": False}]
            return {"pipeline": name, "versions": rows, "total": 2}
        if rest == ["diff"]:
            text = "--- a\n+++ b\n@@ -1 +1 @@\n-x = 1\n+x = 2"
            return {"pipeline": name, "from": 1, "to": 2, "changed": True, "diff": text}
        return {"name": name, "version": 1, "code": "print(1)\nprint(2)\n"}

    def _list(self, name: str) -> Answer:
        documents: dict[str, JsonObject] = {
            "status": {"status": "ok", "version": "9.9.9", "pid": 1, "url": self.url},
            "pipelines": {
                "pipelines": [{"name": name, "runs": 3} for name in self.pipelines],
                "total": len(self.pipelines),
            },
            "runs": {"runs": [{"run": "orders#7", "status": "success"}], "total": 1},
            "schedules": {"schedules": [{"pipeline": "orders", "enabled": True}], "total": 1},
            "errors": {"errors": [], "total": 0},
            "keys": {"keys": [{"id": "k1", "name": "local"}], "total": 1},
            "secrets": {"secrets": [{"name": "API_TOKEN", "version": 1}], "total": 1},
            "webhooks": {"webhooks": [{"id": "w1", "enabled": True}], "total": 1},
            "config": {"settings": [{"name": "log.level", "value": "info", "from": "default"}]},
            "audit": {"entries": [{"id": "a1", "action": "pipeline.deploy"}], "total": 1},
        }
        if name in documents:
            return 200, documents[name]
        return 404, problem("route.not_found", 404)

    def _deployment(self, body: JsonObject) -> JsonObject:
        rows = [{"name": n, "version": 1, "changed": self.changed} for n in self.pipelines]
        return {
            "file": body["file_name"],
            "sha256": "00",
            "changed": self.changed,
            "dry_run": body.get("dry_run", False),
            "pipelines": rows,
        }

    def _next_status(self) -> str:
        return self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]

    def take_fault(self) -> str | None:
        if self.fault is None or self.fault_times == 0:
            return None
        if self.fault_times is not None:
            self.fault_times -= 1
        return self.fault


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    standin: StandIn

    def do_GET(self) -> None:  # noqa: N802
        self._serve()

    def do_POST(self) -> None:  # noqa: N802
        self._serve()

    def do_PUT(self) -> None:  # noqa: N802
        self._serve()

    def do_DELETE(self) -> None:  # noqa: N802
        self._serve()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""

    def _serve(self) -> None:
        seen = self._record()
        fault = self.standin.take_fault()
        if fault:
            self._break(fault)
        elif seen.path.endswith("/events") and self.standin.problem is None:
            self._stream()
        else:
            status, document = self.standin.answer(seen)
            kind = "application/json" if status < 400 else "application/problem+json"
            self._send(status, json.dumps(document).encode(), kind)

    def _record(self) -> Seen:
        parts = urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        headers = {key.lower(): value for key, value in self.headers.items()}
        seen = Seen(self.command, parts.path, parse_qs(parts.query), headers, body)
        self.standin.seen.append(seen)
        return seen

    def _send(self, status: int, body: bytes, kind: str, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self) -> None:
        body = self.standin.streams.pop(0) if self.standin.streams else b""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def _break(self, fault: str) -> None:
        if fault.startswith("reset"):
            if fault == "reset_midway":
                self._send(200, b'{"pipelines":[', "application/json", length=1000)
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        elif fault == "cut":
            self._send(200, b'{"pipelines":[', "application/json", length=1000)
        elif fault == "truncated":
            self._send(200, b'{"pipelines":[', "application/json")
        elif fault == "list":
            self._send(200, b"[1,2]", "application/json")
        elif fault == "silent":
            self.standin.release.wait(30)
        else:
            self._send(int(fault.removeprefix("html_")), HTML, "text/html")
        self.close_connection = True


@contextmanager
def serve() -> Iterator[StandIn]:
    """A stand-in on a free port of this machine."""
    standin = StandIn()
    handler = type("Handler", (_Handler,), {"standin": standin})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    standin.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.005})
    thread.start()
    try:
        yield standin
    finally:
        standin.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def free_port() -> int:
    """A port on which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
