"""A canary: a secret that pipelines print, raise, return and send in every way is found nowhere.

Looked for byte by byte and in all the forms it may take, in the store (on SQLite the files of the
home, on PostgreSQL a binary copy of all tables), in every file below the home, in the answer of
every route and of every command that reads, and in the command line and environment of every
process of the machine, watched from the first moment to the last.
"""

import asyncio
import base64
import html
import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from urllib.parse import quote, quote_plus

import asyncpg
import pytest
from fastapi.routing import APIRoute
from tests.fixtures.daemon import BIN, DaemonProcess
from tests.fixtures.database import STORES
from tests.fixtures.receiver import Receiver
from tests.fixtures.waiting import eventually

from tau.api.router import PARTS
from tau.commands import registry

Make = Callable[..., DaemonProcess]

CANARY = 'kAnari/3nv0gel+"7w" ü&=?%~9'
KEY = "\n".join(["-----BEGIN OWN-----", *(f"L1ne{n}/of+thE-kanari-{n * 7919}" for n in range(4))])

SOURCE = r"""
import base64, html, json, logging, os, subprocess, sys, time, warnings
from urllib.parse import quote, quote_plus
from tau import pipeline

@pipeline
async def says(ctx):
    canary, key = ctx.secret("CANARY"), ctx.secret("KEY")
    data = canary.encode()
    print("1 plain", canary)
    print("2 quoted", quote(canary), quote(canary, safe=""), quote_plus(canary),
          "".join(f"%{b:02X}" for b in data),
          "".join(chr(b) if b < 128 and chr(b).isalnum() else f"%{b:02x}" for b in data))
    for before in (b"", b"u", b"u:"):
        print("3 base64", base64.b64encode(before + data).decode(),
              base64.urlsafe_b64encode(before + data + b"!").decode())
    print("4 hex", data.hex(), data.hex().upper())
    print("5 json", json.dumps({"a": canary}), json.dumps(canary, ensure_ascii=False),
          json.dumps(json.dumps([canary])))
    print("6 repr", [canary], data)
    print("7 html", html.escape(canary))
    print("8 url", f"https://user:{quote(canary, safe='')}@host/p?token={quote_plus(canary)}")
    print("several lines", key)
    for line in key.splitlines(): print("a line", line)
    print("wrapped", base64.encodebytes(key.encode()).decode())
    half = len(data) // 2
    print("split ", end=""); print(canary[:4], end="", flush=True); print(canary[4:])
    sys.stdout.write("split " + canary[:7]); sys.stdout.flush(); sys.stdout.write(canary[7:] + "\n")
    os.write(1, b"raw split " + data[:half]); time.sleep(0.05); os.write(1, data[half:] + b"\n")
    os.write(2, b"raw " + data + b"\n")
    sys.stderr.write(f"stderr {canary}\n")
    subprocess.run(["cat"], input=b"of a process " + data + b"\n")
    logging.getLogger("x").error("logging %s", canary, extra={"who": canary})
    warnings.warn(f"warned of {canary}")
    ctx.log(f"a log {canary}", level="warning", field=canary, deep={canary: [canary]})
    ctx.check(True, name=f"check {canary}", evidence=canary)
    async with ctx.step(f"step {canary}") as step:
        step.metric(f"metric {canary}", 1)
        step.metric("value", canary)
    await ctx.transform([canary], lambda rows: rows, name=f"transform {canary}")
    try:
        async with ctx.step("fails"):
            raise ValueError(f"in a step {canary}")
    except ValueError: pass
    return {"value": canary, canary: [quote(canary), {"key": key}], "hex": data.hex()}

@pipeline
def raises(ctx):
    token = ctx.secret("CANARY")
    try:
        {}[token]
    except KeyError as cause:
        error = RuntimeError(f"GET https://h/?q={quote(token)} with {token!r}", token)
        error.add_note(f"a note of {token}")
        raise error from cause

@pipeline
def leaves(ctx): sys.exit(ctx.secret("CANARY"))

@pipeline
def aborts(ctx):
    canary = ctx.secret("CANARY")
    os.write(2, canary.encode())
    os.abort()

@pipeline(timeout=1)
def lasts(ctx):
    canary = ctx.secret("CANARY")
    while True: time.sleep(0.01)

@pipeline(retries=1, retry_delay=0)
def keeps(ctx): ctx.state["deep"] = [{"url": "https://u:" + quote(ctx.secret("CANARY")) + "@h"}]

@pipeline
def asks(ctx): ctx.secret(ctx.secret("CANARY"))
"""

ENDS = {
    "says": "success", "raises": "failed", "leaves": "failed", "aborts": "crashed",
    "lasts": "timeout", "keeps": "failed", "asks": "failed",
}  # fmt: skip


def forms(secret: str) -> set[bytes]:
    """Made here on its own, so that a form the redactor forgets is found."""
    data = secret.encode()
    texts = {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), html.escape(secret)}
    texts |= {quote(secret, safe="").lower(), data.hex(), data.hex().upper()}
    texts |= {"".join(chr(b) if b < 128 and chr(b).isalnum() else f"%{b:02x}" for b in data)}
    texts |= {"".join(f"%{b:02X}" for b in data)}
    texts |= {repr(secret)[1:-1], repr(data)[2:-1]}
    for before in range(3):
        whole = base64.b64encode(b"x" * before + data).decode()[4:-4]
        texts |= {whole, whole.replace("+", "-").replace("/", "_")}
    for _ in range(3):  # JSON within JSON within JSON
        texts |= {json.dumps(text)[1:-1] for text in texts}
        texts |= {json.dumps(text, ensure_ascii=False)[1:-1] for text in texts}
    return {text.encode() for text in texts}


NEEDLES = forms(CANARY) | forms(KEY) | {f for line in KEY.splitlines()[1:] for f in forms(line)}


def found_in(data: bytes) -> set[bytes]:
    return {needle for needle in NEEDLES if needle in data}


class Processes:
    """Watches the command line and the environment of all processes, until it is stopped."""

    def __init__(self) -> None:
        self._stop = threading.Event()
        self.found: set[str] = set()
        self.looks = 0
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(0.02):
            self.looks += 1
            for name in ("cmdline", "environ"):
                for path in Path("/proc").glob(f"[0-9]*/{name}"):
                    try:
                        data = path.read_bytes()
                    except OSError:
                        continue
                    if b"Anari/3nv0" in data or b"of+thE-kanari" in data:
                        self.found.add(f"{path}: {data[:200]!r}")


@pytest.fixture
def processes() -> Iterator[Processes]:
    watched = Processes()
    yield watched
    watched.stop()


def in_files(folder: Path) -> dict[str, set[bytes]]:
    hits = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink() and (found := found_in(path.read_bytes())):
            hits[str(path)] = found
    return hits


def in_tables(url: str) -> dict[str, set[bytes]]:
    """Each table as PostgreSQL copies it in binary."""

    async def copy() -> dict[str, bytes]:
        connection = await asyncpg.connect(url)
        try:
            query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
            copies = {}
            for (table,) in await connection.fetch(query):
                output = BytesIO()
                await connection.copy_from_table(table, output=output, format="binary")
                copies[table] = output.getvalue()
            return copies
        finally:
            await connection.close()

    tables = asyncio.run(copy())
    assert len(tables["events"]) > 2000
    assert b"CANARY" in tables["secrets"]
    return {table: found for table, data in tables.items() if (found := found_in(data))}


def in_answers(daemon: DaemonProcess) -> dict[str, set[bytes]]:
    """Every GET route, for every pipeline and run that its path may name."""
    hits: dict[str, set[bytes]] = {}
    asked = 0
    with daemon.client() as client:
        for route in (route for part in PARTS for route in part.routes):
            if not isinstance(route, APIRoute) or "GET" not in route.methods:
                continue
            path = route.path.removeprefix("/api/v1")
            for name in ENDS if "{" in path else ("",):
                asked_for = path.replace("{name}", name).replace("{reference}", f"{name}@last")
                assert "{" not in asked_for, path
                for query in ({}, {"full": True}, {"limit": 200}):
                    answer = client.get(asked_for, params=query)
                    asked += answer.status_code == 200
                    if found := found_in(answer.content):
                        hits[asked_for] = found
    assert asked > 50
    return hits


REACHES_RECEIVERS = {
    "TAU_WEBHOOKS__ALLOW_PRIVATE": '["127.0.0.0/8"]',
    "TAU_WEBHOOKS__ALLOW_HTTP": "true",
}
READS = (
    "list --full", "show says --full", "code says", "versions says", "diff says 1 1",
    "runs --full --last 50", "schedules", "inspect says --full", "inspect raises --full",
    "inspect aborts --full", "inspect keeps --full", "logs says --limit 500", "logs raises",
    "logs says --follow", "errors --full", "keys list", "audit", "secrets", "status", "version",
    "schema", "db stats", "config show", "config validate", "webhooks",
)  # fmt: skip


def in_commands(daemon: DaemonProcess) -> dict[str, set[bytes]]:
    named = {registry.match("tau", line.split())[0].name for line in READS}
    others = {"wait", "webhook test", "notify test"}
    assert named | others == {c.name for c in registry.of_program("tau") if not c.mutating}
    hits = {}
    for line in (*READS, "wait says@last", "inspect says -o table", "run says --dry-run"):
        done = daemon.tau(*line.split())
        assert done.exit_code == 0, (line, done.stdout)
        if found := found_in((done.stdout + done.stderr).encode()):
            hits[line] = found
    return hits


def set_by_stdin(daemon: DaemonProcess, name: str, value: str) -> None:
    done = subprocess.run(
        [BIN / "tau", "secret", "set", name],
        input=value.encode(), env=daemon.environment(), capture_output=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert not found_in(done.stdout + done.stderr)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", STORES)
def test_a_canary_is_found_nowhere(
    store: str,
    make_daemon: Make,
    processes: Processes,
    receiver: Receiver,
    request: pytest.FixtureRequest,
) -> None:
    url = None if store == "sqlite" else request.getfixturevalue("empty_postgres")
    daemon = make_daemon(**REACHES_RECEIVERS, **({"TAU_DATABASE_URL": url} if url else {}))
    daemon.env["TAU_LOG__LEVEL"] = "debug"
    daemon.start()
    with daemon.client() as client:
        webhook = client.post("/webhooks", json={"url": receiver.url}).json()
    daemon.deploy(SOURCE, "canary.py")
    set_by_stdin(daemon, "CANARY", CANARY)
    set_by_stdin(daemon, "KEY", KEY)
    with daemon.client() as client:
        for body in ({"value": [CANARY]}, {"value": CANARY, "more": CANARY}):
            answer = client.put("/secrets/CANARY", json=body)
            assert answer.status_code == 422
            assert not found_in(answer.content)
    for name, status in ENDS.items():
        run = daemon.run(name)
        assert run["status"] == status, run
        assert not found_in(json.dumps(run, ensure_ascii=False).encode()), name

    expect_that_it_was_said(daemon)
    failed = sum(status != "success" for status in ENDS.values())
    eventually(lambda: len({told.event_id for told in receiver.of("run.failed")}) == failed)
    for told in receiver.arrived:
        assert not found_in(told.body + json.dumps(told.headers).encode())
    assert in_answers(daemon) == {}
    assert in_commands(daemon) == {}
    assert in_files(daemon.home) == {}  # while the daemon runs: the write-ahead log is there
    with daemon.client() as client:
        assert client.post("/secrets/rotate", json={}).json()["rotated"] == 2
        assert client.delete("/secrets/KEY").status_code == 200
        assert client.post(f"/webhooks/{webhook['id']}/test", json={}).json()["delivered"]
    # What signs is sealed by the keys that were rotated.
    assert receiver.arrived[-1].verified(webhook["secret"])["type"] == "test"
    daemon.stop()
    assert in_files(daemon.home) == {}
    assert url is None or in_tables(url) == {}
    processes.stop()
    assert processes.looks > 50
    assert processes.found == set()


def expect_that_it_was_said(daemon: DaemonProcess) -> None:
    """It is not there because it was hidden, not because nothing came through."""
    with daemon.client() as client:
        page = client.get("/runs/says@last/logs", params={"limit": 200}).json()
        lines = [line["message"] for line in page["logs"]]
        trace = client.get("/runs/says@last/inspect", params={"full": True}).json()
    for begin in ("1 plain", "2 quoted", "3 base64", "4 hex", "5 json", "6 repr", "7 html",
                  "8 url", "split", "raw split", "raw", "stderr", "of a process", "logging",
                  "a log", "a line"):  # fmt: skip
        said = [line for line in lines if line.startswith(begin + " ")]
        assert said, begin
        assert all("[redacted]" in line for line in said), said
    assert trace["secrets"] == ["CANARY", "KEY"]
    assert "[redacted]" in json.dumps(trace["steps"])
    assert "[redacted]" in json.dumps(trace["result"])
