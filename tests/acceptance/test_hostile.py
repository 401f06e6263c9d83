"""Pipelines that misbehave, all at once, under a daemon that goes on answering."""

from collections.abc import Callable

import psutil
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.hostile import HOSTILE, SETTINGS
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]

EXPECTED = {
    "leaves": ("failed", "SystemExit"),
    "vanishes": ("crashed", "exit code 9"),
    "segfaults": ("crashed", "SIGSEGV"),
    "spins": ("timeout", "no end within 2 s"),
    "ignores": ("timeout", "no end within 2 s"),
    "hogs": ("failed", "MemoryError"),
    "floods": ("success", None),
    "closes": ("success", None),
    "garbage": ("success", None),
    "escapes": ("success", None),
    "unserialisable": ("failed", "$.a[1].b"),
}


def test_the_hostile_eleven(make_daemon: Make) -> None:
    daemon = make_daemon(**SETTINGS).start()
    daemon.deploy(HOSTILE, "hostile.py")
    assert daemon.process is not None
    memory = psutil.Process(daemon.process.pid).memory_info
    before = memory().rss
    with daemon.client() as client:
        made = {
            name: client.post(f"/pipelines/{name}/runs", json={}).json()["id"] for name in EXPECTED
        }
        unfinished = set(made)
        while unfinished:
            # Every pass is a handful of requests that the daemon has to answer meanwhile.
            assert client.get("/runs").status_code == 200
            for name in sorted(unfinished):
                run = client.get(f"/runs/{made[name]}", params={"wait": 0.2}).json()
                if run["status"] in ("queued", "starting", "running"):
                    continue
                unfinished.discard(name)
                status, reason = EXPECTED[name]
                assert run["status"] == status, (name, run)
                assert reason is None or reason in run["reason"], (name, run)
        flood = client.get("/runs/floods@last/logs", params={"limit": 1}).json()
        assert flood["logs"][0]["message"] == "the last line"
        inspected = client.get("/runs/floods@last/inspect").json()
        assert inspected["logs"]["dropped"] > 10_000
        assert inspected["logs"]["lines"] < 20_000
    eventually(lambda: len(daemon.descendants()) == 2)
    eventually(lambda: not [p for p in psutil.process_iter(["cmdline"]) if is_stray(p)])
    assert memory().rss - before < 40 * 1024 * 1024
    assert daemon.run("leaves")["status"] == "failed"


def is_stray(process: psutil.Process) -> bool:
    words = " ".join(process.info["cmdline"] or [])
    return "os.setsid(); os.fork()" in words and process.status() != psutil.STATUS_ZOMBIE


LINES = """
from tau import pipeline

@pipeline
def lines(ctx):
    for n in range(40_000):
        ctx.log(f"line {n} of many", n=n)
"""


def test_forty_thousand_lines_are_stored_paged_and_searched(make_daemon: Make) -> None:
    daemon = make_daemon().start()
    daemon.deploy(LINES)
    run = daemon.run("lines", wait=30)
    assert (run["status"], run["logs"]["lines"]) == ("success", 40_000)
    with daemon.client() as client:
        last = client.get("/runs/lines@last/logs", params={"limit": 1000}).json()
        assert (last["total"], last["logs"][-1]["message"]) == (40_000, "line 39999 of many")
        older = client.get("/runs/lines@last/logs", params={"cursor": last["next_cursor"]}).json()
        first_shown = last["logs"][0]["fields"]["n"]
        assert older["logs"][-1]["fields"]["n"] == first_shown - 1
        found = client.get("/runs/lines@last/logs", params={"grep": "line 777"}).json()
        assert found["total"] == 11
    following = daemon.tau("logs", "lines", "--follow")
    assert following.stdout.count('"type":"log"') == 40_000
