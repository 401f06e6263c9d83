"""What keeps the daemon: readiness, numbers for Prometheus, status, settings, the store."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import update
from tests.fixtures.api import Api
from tests.fixtures.database import PostgresServer
from tests.fixtures.factories import START
from tests.fixtures.sources import HELLO
from tests.fixtures.waiting import eventually_async

from tau.core.auth import Scope
from tau.core.clock import SystemClock
from tau.core.database import Database
from tau.core.migrations import upgrade
from tau.errors import StoreUnavailable
from tau.models import Schedule
from tau.schemas.status import QueueRead
from tau.services.diagnosis import Vitals, find_wrong
from tau.services.readiness_service import ReadinessService

SOURCE = """
from tau import pipeline

@pipeline(max_concurrent=1, on_overlap="skip")
def work(ctx):
    for number in range(5):
        print(number)
    if ctx.params.get("fail"):
        raise ValueError("no")
"""


async def scrape(api: Api) -> dict[tuple[str, ...], float]:
    """Samples by their name and the values of their labels."""
    answer = await api.client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_numbers_of_runs_attempts_and_requests(api: Api) -> None:
    before = await scrape(api)
    assert before["tau_runs_finished_total", "success"] == 0
    assert (await api.deploy(SOURCE)).status_code == 201
    for fail in (False, True, True):
        await api.run("work", params={"fail": fail})
    await api.client.get("/api/v1/runs/work%40last")
    await api.client.get("/api/v1/runs/nothing-of-the-kind")
    await api.client.get("/nowhere/at/all")
    await api.client.request("BREW", "/healthz")
    told = await scrape(api)
    assert told["tau_runs_finished_total", "success"] == 1
    assert told["tau_runs_finished_total", "failed"] == 2
    assert told["tau_attempts_started_total",] == 3
    assert told["tau_attempt_duration_seconds_count",] == 3
    assert told["tau_attempt_duration_seconds_bucket", "+Inf"] == 3
    assert told["tau_attempt_duration_seconds_bucket", "14400"] == 3
    assert 0 < told["tau_attempt_duration_seconds_sum",] < 60
    assert told["tau_events_total",] >= 15
    assert told["tau_event_batches_total",] >= 3
    assert told["tau_queue_length",] == told["tau_attempts_running",] == 0
    assert told["tau_slots",] == 8
    requests = {key[1:]: n for key, n in told.items() if key[0] == "tau_http_requests_total"}
    assert requests["POST", "/api/v1/pipelines/{name}/runs", "202"] == 3
    assert requests["GET", "/api/v1/runs/{reference}", "200"] == 4
    assert requests["GET", "/api/v1/runs/{reference}", "404"] == 1
    assert requests["GET", "none", "404"] == 1
    assert sum(n for key, n in requests.items() if key[0] == "other") == 1
    assert told["process_resident_memory_bytes",] > 0


async def test_numbers_of_runs_that_no_attempt_ended(api: Api) -> None:
    await api.deploy(SOURCE.replace("for number", "import time; time.sleep(30)\n    for number"))
    made = await api.client.post("/api/v1/pipelines/work/runs", json={})
    running = made.headers["location"]

    async def is_running() -> bool:
        return bool((await api.client.get(running)).json()["status"] == "running")

    await eventually_async(is_running)
    skipped = await api.client.post("/api/v1/pipelines/work/runs", json={})
    assert skipped.json()["status"] == "skipped"
    told = await scrape(api)
    assert told["tau_runs_finished_total", "skipped"] == 1
    assert told["tau_runs", "running"] == told["tau_attempts_running",] == 1
    await api.client.post(f"{running}/cancel", json={})
    await api.client.get(running, params={"wait": 20})
    assert (await scrape(api))["tau_runs_finished_total", "cancelled"] == 1


async def test_late_ticks_are_counted(api: Api) -> None:
    await api.deploy("from tau import pipeline\n\n@pipeline(every=3600)\ndef often(ctx): ...\n")
    long_ago = SystemClock().now() - timedelta(minutes=61)
    async with api.database.transaction() as session:
        values = {"watermark": long_ago, "next_fire_at": long_ago, "catchup": "latest"}
        await session.execute(update(Schedule).values(**values))
    status = (await api.client.get("/api/v1/status")).json()
    assert "scheduler" in [one["what"] for one in status["wrong"]]
    assert await api.parts.ticks.materialise_due() == 1
    told = await scrape(api)
    assert told["tau_ticks_total", "run"] == 1
    assert told["tau_ticks_late_total",] == 1


async def test_it_is_ready_until_it_is_drained(api: Api) -> None:
    async with api.anonymous() as client:
        ready = await client.get("/readyz")
        assert (ready.status_code, ready.json()) == (200, {"status": "ready"})
        api.parts.services.house.readiness.drain()
        draining = await client.get("/readyz")
        assert (draining.status_code, draining.json()["code"]) == (503, "daemon.stopping")
        assert draining.headers["retry-after"]
        assert (await client.get("/healthz")).status_code == 200


async def test_it_is_not_ready_without_a_dispatcher(api: Api) -> None:
    await api.parts.dispatcher.stop_claiming()
    async with api.anonymous() as client:
        answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()["code"]) == (503, "daemon.not_ready")


async def test_it_is_not_ready_without_its_store(own_postgres: PostgresServer) -> None:
    database = Database(own_postgres.url, busy_timeout_s=2)
    await upgrade(database)
    readiness = ReadinessService(database, claims=lambda: True)
    await readiness.check()
    await asyncio.to_thread(own_postgres.stop)
    with pytest.raises(StoreUnavailable) as raised:
        await readiness.check()
    assert "127.0.0.1" not in str(raised.value.to_dict())
    await asyncio.to_thread(own_postgres.start)

    async def is_ready() -> bool:
        try:
            await readiness.check()
        except StoreUnavailable:
            return False
        return True

    await eventually_async(is_ready)
    await database.close()


async def test_status_tells_what_there_is_and_what_is_wrong(api: Api) -> None:
    await api.deploy(SOURCE)
    await api.deploy(HELLO, "hello.py", schedule="0 6 * * *")
    status = (await api.client.get("/api/v1/status")).json()
    assert (status["status"], status.get("wrong")) == ("ok", None)
    assert status["schedules"]["enabled"] == 1
    [tick] = status["schedules"]["next"]
    assert tick["at"].endswith("T06:00:00.000Z")
    assert status["disk"]["free_bytes"] > 0
    assert ("store_bytes" in status["disk"]) == api.database.is_sqlite
    assert status["versions"]["store"].startswith(("SQLite 3", "PostgreSQL 1"))
    await api.run("work", params={"fail": True})
    status = (await api.client.get("/api/v1/status")).json()
    assert status["status"] == "trouble"
    [wrong] = status["wrong"]
    assert (wrong["what"], wrong["message"]) == ("pipelines", "The last run failed of: work.")
    await api.run("work")
    assert (await api.client.get("/api/v1/status")).json()["status"] == "ok"


def vitals(**values: Any) -> Vitals:
    fine: dict[str, Any] = {
        "troubles": [],
        "free_bytes": 10**12,
        "queue": QueueRead(waiting=0, queued=0, retrying=0),
        "free_slots": 4,
        "next_tick": None,
        "failing": [],
        "now": START,
    }
    return Vitals(**(fine | values))


STUCK = QueueRead(waiting=0, queued=1, retrying=0, oldest_s=61)


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({}, []),
        ({"troubles": ["runs can't be claimed, for 3 s now"]}, ["daemon"]),
        ({"free_bytes": 10**8}, ["disk"]),
        ({"queue": STUCK}, ["queue"]),
        ({"queue": STUCK, "free_slots": 0}, []),
        ({"next_tick": START - timedelta(seconds=61)}, ["scheduler"]),
        ({"next_tick": START - timedelta(seconds=5)}, []),
        ({"failing": ["a"], "troubles": ["x"]}, ["daemon", "pipelines"]),
    ],
)
def test_what_counts_as_wrong(values: dict[str, Any], what: list[str]) -> None:
    found = find_wrong(vitals(**values))
    assert [one.what for one in found] == what
    assert all(one.next for one in found)


async def test_settings_are_for_admins(api: Api) -> None:
    for scope in (Scope.READ, Scope.RUN, Scope.DEPLOY, Scope.WORKER):
        async with await api.holder(scope) as client:
            for answer in (
                await client.get("/api/v1/config"),
                await client.post("/api/v1/config/validate", json={}),
                await client.post("/api/v1/db/cleanup", json={}),
                await client.post("/api/v1/db/vacuum", json={}),
                await client.post("/api/v1/db/backup", json={"file": "/nowhere/tau.db"}),
            ):
                assert answer.json()["code"] == "auth.missing_scope"


async def test_a_given_text_is_checked_and_no_file_of_the_daemon_is_read(
    api: Api, tmp_path: Path
) -> None:
    secret = tmp_path / "other.toml"
    secret.write_text("canary = 1\n")
    answer = await api.client.post("/api/v1/config/validate", json={"file": str(secret)})
    assert answer.json()["valid"] is True
    body = {"file": "my.toml", "text": "[daemon]\nprot = 1\n[executor]\nslots = 0\n"}
    told = (await api.client.post("/api/v1/config/validate", json=body)).json()
    assert not told["valid"]
    assert [(e["line"], e["file"]) for e in told["errors"]] == [(2, "my.toml"), (4, "my.toml")]
    told = (await api.client.post("/api/v1/config/validate", json={"text": "x = ["})).json()
    assert [error["line"] for error in told["errors"]] == [1]
    body = {"text": "[env.prod.daemon]\nport = 1\n", "environment": "dev"}
    told = (await api.client.post("/api/v1/config/validate", json=body)).json()
    assert "[env.prod]" in told["errors"][0]["message"]
    assert (await api.client.post("/api/v1/config/validate", json=body | {"environment": "prod"})
            ).json()["valid"]  # fmt: skip


async def test_the_store_by_the_api(api: Api, tmp_path: Path) -> None:
    await api.deploy(SOURCE)
    await api.run("work")
    stats = (await api.client.get("/api/v1/db/stats")).json()
    assert {t["name"] for t in stats["tables"]} >= {"runs", "events"}
    assert stats["oldest_run"]["run"] == "work#1"
    for body in ({"days": 0}, {"days": -1}, {"days": "x"}, {"dayz": 1}):
        answer = await api.client.post("/api/v1/db/cleanup", json=body)
        assert answer.json()["code"] == "request.invalid", body
    for body in (
        {},
        {"file": ""},
        {"file": "relative"},
        {"file": f"{tmp_path}/no/x"},
        {"file": f"{tmp_path}/\0"},
    ):
        answer = await api.client.post("/api/v1/db/backup", json=body)
        assert answer.json()["code"] == "request.invalid", body
