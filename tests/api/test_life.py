"""The life of a pipeline and of a run over HTTP: versions, rollback, undeploy, cancel, retry."""

import asyncio
import json
from typing import Any

import pytest
from tests.api.test_gate import is_problem
from tests.api.test_runs import get
from tests.fixtures.api import Api
from tests.fixtures.sources import FAILS, HELLO, SLEEP
from tests.fixtures.waiting import eventually_async

from tau.core.auth import Scope

HEAD = "from tau import pipeline\n"


async def post(api: Api, path: str, **body: Any) -> Any:
    answer = await api.client.post(f"/api/v1{path}", json=body)
    assert answer.status_code in (200, 201, 202), answer.text
    return answer.json()


async def refused(api: Api, code: str, path: str, **body: Any) -> dict[str, Any]:
    return is_problem(await api.client.post(f"/api/v1{path}", json=body), code)


async def reaches(api: Api, run_id: str, status: str) -> None:
    async def has_it() -> bool:
        return (await get(api, f"/runs/{run_id}"))["status"] == status

    await eventually_async(has_it)


async def test_versions_diff_and_rollback(api: Api) -> None:
    await api.deploy(HELLO, "hello.py", reason="first")
    second = HELLO.replace("3", "4").replace('tags=["greeting", "demo"]', "retries=1")
    await api.deploy(second, "hello.py")
    versions = await get(api, "/pipelines/hello/versions")
    assert [(v["version"], v["current"]) for v in versions["versions"]] == [(2, True), (1, False)]
    assert versions["versions"][1]["deployed_by"]["reason"] == "first"
    diff = await get(api, "/pipelines/hello/diff")
    assert (diff["from"], diff["to"], diff["changed"]) == (1, 2, True)
    assert "-        step.rows_out = 3" in diff["diff"].splitlines()
    assert (diff["added"], diff["removed"]) == (3, 3)
    assert diff["spec"]["retries"] == {"from": 0, "to": 1}
    same = await get(api, "/pipelines/hello/diff", **{"from": 2, "to": 2})
    assert (same["changed"], same["diff"]) == (False, "")

    planned = await post(api, "/pipelines/hello/rollback", dry_run=True)
    assert (planned["version"], planned["dry_run"]) == (1, True)
    assert (await get(api, "/pipelines/hello"))["version"] == 2
    back = await post(api, "/pipelines/hello/rollback", reason="bad rows")
    assert (back["version"], back["previous_version"]) == (1, 2)
    shown = await get(api, "/pipelines/hello")
    assert (shown["version"], shown["tags"], shown["retries"]) == (1, ["greeting", "demo"], 0)
    assert (await api.run("hello"))["result"]["records_processed"] == 3
    await post(api, "/pipelines/hello/rollback", to=2)
    assert (await api.run("hello"))["result"]["records_processed"] == 4
    deployed = (await api.deploy(HELLO + "#", "hello.py")).json()
    assert deployed["pipelines"][0]["version"] == 3
    await refused(api, "version.not_found", "/pipelines/hello/rollback", to=9)


async def test_there_is_nothing_before_version_one(api: Api) -> None:
    await api.deploy(HELLO)
    await refused(api, "version.not_found", "/pipelines/hello/rollback")


async def test_versions_page(api: Api) -> None:
    for number in range(5):
        await api.deploy(HELLO + f"# {number}\n")
    first = await get(api, "/pipelines/hello/versions", limit=2)
    assert ([v["version"] for v in first["versions"]], first["total"]) == ([5, 4], 5)
    rest = await get(api, "/pipelines/hello/versions", limit=9, cursor=first["next_cursor"])
    assert [v["version"] for v in rest["versions"]] == [3, 2, 1]


async def test_undeploy_keeps_history_and_numbering(api: Api) -> None:
    await api.deploy(HELLO)
    await api.run("hello")
    planned = await post(api, "/pipelines/hello/undeploy", dry_run=True)
    assert (planned["undeployed"], planned["runs"]) == (False, 1)
    done = await post(api, "/pipelines/hello/undeploy", reason="old")
    assert done["undeployed"] is True
    assert (await get(api, "/pipelines"))["total"] == 0
    await refused(api, "pipeline.not_found", "/pipelines/hello/runs")
    assert (await get(api, "/runs"))["runs"][0]["run"] == "hello#1"
    again = (await api.deploy(HELLO)).json()["pipelines"][0]
    assert (again["version"], again["changed"]) == (2, True)
    assert (await api.run("hello"))["run"] == "hello#2"


async def test_undeploy_cancels_what_is_queued_and_lets_run_what_runs(api: Api) -> None:
    await api.deploy(SLEEP.replace("@pipeline", "@pipeline(max_concurrent=1)"))
    running = await post(api, "/pipelines/sleeper/runs", params={"seconds": 1})
    await reaches(api, running["id"], "running")
    queued = await post(api, "/pipelines/sleeper/runs")
    done = await post(api, "/pipelines/sleeper/undeploy")
    assert (done["cancelled"], done["running"]) == (["sleeper#2"], ["sleeper#1"])
    assert (await get(api, f"/runs/{queued['id']}"))["status"] == "cancelled"
    assert (await get(api, f"/runs/{running['id']}", wait=20))["status"] == "success"


async def test_cancelling_what_runs_ends_its_processes(api: Api) -> None:
    await api.deploy(SLEEP)
    run = await post(api, "/pipelines/sleeper/runs")
    await reaches(api, run["id"], "running")
    assert (await post(api, f"/runs/{run['id']}/cancel", dry_run=True))["status"] == "running"
    await post(api, f"/runs/{run['id']}/cancel", reason="not needed")
    ended = await get(api, f"/runs/{run['id']}", wait=20)
    assert (ended["status"], ended["reason"]) == ("cancelled", "cancelled by k: not needed")
    problem = await refused(api, "run.already_final", f"/runs/{run['id']}/cancel")
    assert problem["run_status"] == "cancelled"
    await eventually_async(lambda: api.parts.dispatcher.busy == 0)


async def test_cancelling_at_any_moment_always_ends(api: Api) -> None:
    """Queued, just claimed, starting, running: whatever it is when the wish arrives."""
    await api.deploy(SLEEP)
    made = [await post(api, "/pipelines/sleeper/runs") for _ in range(20)]
    await asyncio.gather(*(post(api, f"/runs/{run['id']}/cancel") for run in made[:10]))
    for run in made[10:]:
        await post(api, f"/runs/{run['id']}/cancel")
    for run in made:
        assert (await get(api, f"/runs/{run['id']}", wait=20))["status"] == "cancelled"


async def test_a_queued_run_is_cancelled_at_once_and_never_starts(api: Api) -> None:
    await api.deploy(HELLO)
    await api.parts.dispatcher.stop_claiming()
    run = await post(api, "/pipelines/hello/runs")
    done = await post(api, f"/runs/{run['id']}/cancel")
    assert (done["status"], done["attempt"]) == ("cancelled", 0)
    assert await api.parts.execution.claim(limit=1) == []


async def test_cancelling_while_a_retry_waits(api: Api) -> None:
    await api.deploy(FAILS.replace("@pipeline", "@pipeline(retries=1, retry_delay=60)"))
    run = await post(api, "/pipelines/broken/runs")
    await reaches(api, run["id"], "retrying")
    assert (await post(api, f"/runs/{run['id']}/cancel"))["status"] == "cancelled"


async def test_a_cancelled_run_is_not_retried(api: Api) -> None:
    await api.deploy(SLEEP.replace("@pipeline", "@pipeline(retries=3, retry_delay=0)"))
    run = await post(api, "/pipelines/sleeper/runs")
    await reaches(api, run["id"], "running")
    await post(api, f"/runs/{run['id']}/cancel")
    ended = await get(api, f"/runs/{run['id']}", wait=20)
    assert (ended["status"], ended["attempt"]) == ("cancelled", 1)


async def test_retry_takes_the_params_and_the_current_version(api: Api) -> None:
    await api.deploy(FAILS, "broken.py")
    first = await api.run("broken", params={"day": 1})
    await api.deploy(FAILS.replace('row["email"]', 'row["email_address"]'), "broken.py")
    planned = await post(api, f"/runs/{first['id']}/retry", dry_run=True)
    assert (planned["version"], planned["rerun_of"]) == (2, first["id"])
    assert planned["next"] == ["tau retry broken#1"]
    again = await post(api, f"/runs/{first['id']}/retry", reason="fixed")
    assert (again["rerun_of"], again["trigger"]) == (first["id"], "retry")
    ended = await get(api, f"/runs/{again['id']}", wait=20)
    assert (ended["status"], ended["version"], ended["params"]) == ("success", 2, {"day": 1})
    assert (await get(api, f"/runs/{first['id']}"))["status"] == "failed"


async def test_what_has_not_ended_is_not_retried(api: Api) -> None:
    await api.deploy(SLEEP)
    run = await post(api, "/pipelines/sleeper/runs")
    await refused(api, "run.not_final", f"/runs/{run['id']}/retry")
    await post(api, f"/runs/{run['id']}/cancel")


async def test_not_worth_retrying(api: Api) -> None:
    source = (
        "from tau import NotRetryable, pipeline\n"
        "class NoSuchDay(NotRetryable): pass\n"
        "@pipeline(retries=5, retry_delay=0)\nasync def p(ctx):\n    raise NoSuchDay('31 June')\n"
    )
    await api.deploy(source)
    run = await api.run("p")
    assert (run["status"], run["attempt"], run["failure"]["type"]) == ("failed", 1, "NoSuchDay")


OVERLAP = """
import asyncio
from tau import pipeline

@pipeline(max_concurrent={limit}, on_overlap="{policy}")
async def p(ctx):
    await asyncio.sleep(ctx.params.get("seconds", 0.3))
"""


async def test_overlap_queue(api: Api) -> None:
    await api.deploy(OVERLAP.format(limit=2, policy="queue"))
    made = [await post(api, "/pipelines/p/runs") for _ in range(6)]
    most = 0
    while (await get(api, f"/runs/{made[-1]['id']}"))["status"] != "success":
        statuses = [(await get(api, f"/runs/{run['id']}"))["status"] for run in made]
        most = max(most, sum(status in ("starting", "running") for status in statuses))
    assert most <= 2
    trace = [await get(api, f"/runs/{run['id']}") for run in made]
    assert [run["status"] for run in trace] == ["success"] * 6
    spans = sorted((run["started_at"], run["finished_at"]) for run in trace)
    assert all(later[0] >= earlier[1] for earlier, later in zip(spans, spans[2:], strict=False))


async def test_a_limit_of_one_pipeline_does_not_hold_up_the_others(api: Api) -> None:
    await api.deploy(OVERLAP.format(limit=1, policy="queue"))
    await api.deploy(HELLO, "hello.py")
    first = await post(api, "/pipelines/p/runs", params={"seconds": 60})
    waiting = [await post(api, "/pipelines/p/runs") for _ in range(40)]
    assert (await api.run("hello"))["status"] == "success"
    await post(api, "/pipelines/p/undeploy")
    await post(api, f"/runs/{first['id']}/cancel")
    assert (await get(api, f"/runs/{waiting[-1]['id']}", wait=20))["status"] == "cancelled"


async def test_overlap_skip(api: Api) -> None:
    await api.deploy(OVERLAP.format(limit=1, policy="skip"))
    first = await post(api, "/pipelines/p/runs")
    planned = await post(api, "/pipelines/p/runs", dry_run=True)
    assert (planned["would"], "p#1" in planned["why"]) == ("skip", True)
    skipped = await post(api, "/pipelines/p/runs")
    assert (skipped["status"], "p#1" in skipped["reason"]) == ("skipped", True)
    assert (await get(api, f"/runs/{first['id']}", wait=20))["status"] == "success"
    assert (await api.run("p"))["status"] == "success"


async def test_overlap_cancel_running(api: Api) -> None:
    await api.deploy(OVERLAP.format(limit=1, policy="cancel_running"))
    first = await post(api, "/pipelines/p/runs", params={"seconds": 60})
    await reaches(api, first["id"], "running")
    second = await post(api, "/pipelines/p/runs")
    assert (await get(api, f"/runs/{second['id']}", wait=20))["status"] == "success"
    ended = await get(api, f"/runs/{first['id']}", wait=20)
    assert (ended["status"], ended["reason"]) == ("cancelled", "replaced by p#2")


async def test_timeouts_from_request_decorator_and_settings(api: Api) -> None:
    await api.deploy(SLEEP.replace("@pipeline", "@pipeline(timeout='30m')"))
    planned = await post(api, "/pipelines/sleeper/runs", dry_run=True)
    assert planned["timeout"] == 1800
    run = await api.run("sleeper", timeout="300ms")
    assert (run["status"], run["reason"]) == ("timeout", "no end within 0.3 s")
    await api.deploy(HELLO)
    assert (await post(api, "/pipelines/hello/runs", dry_run=True))["timeout"] == 3600
    await refused(api, "request.invalid", "/pipelines/hello/runs", timeout="soon")
    await refused(api, "request.invalid", "/pipelines/hello/runs", timeout=0)


async def test_a_dry_run_shows_what_would_happen_and_runs_nothing(api: Api) -> None:
    source = HEAD + (
        "@pipeline(params={'region': 'eu', 'n': 1}, retries=2)\nasync def p(ctx):\n"
        "    return [ctx.secret('API_TOKEN'), ctx.secret('MISSING'), ctx.secret('D', default=1)]\n"
    )
    await api.deploy(source)
    planned = await post(api, "/pipelines/p/runs", dry_run=True, params={"n": 2})
    assert planned["params"] == {"region": "eu", "n": 2}
    assert planned["secrets"] == [
        {"name": "API_TOKEN", "set": True},
        {"name": "MISSING", "set": False},
    ]
    assert (planned["would"], planned["max_attempts"], planned["version"]) == ("queue", 3, 1)
    assert (await get(api, "/runs"))["total"] == 0


async def test_validate_only_checks_the_params(api: Api) -> None:
    source = HEAD + (
        "from pydantic import BaseModel\n"
        "class P(BaseModel, extra='forbid'):\n    day: str\n    n: int = 3\n"
        "@pipeline(params=P)\nasync def p(ctx): pass\n"
    )
    await api.deploy(source)
    good = await post(api, "/pipelines/p/runs", validate_only=True, params={"day": "x"})
    assert (good["valid"], good["params"]) == (True, {"day": "x", "n": 3})
    for params, field in (({}, "day"), ({"day": "x", "m": 1}, "m")):
        path = "/pipelines/p/runs"
        problem = await refused(api, "params.invalid", path, validate_only=True, params=params)
        assert problem["fields"][0]["field"] == field
    assert (await get(api, "/runs"))["total"] == 0


async def test_a_model_with_aliases_is_checked_when_the_run_starts(api: Api) -> None:
    source = HEAD + (
        "from pydantic import BaseModel, Field\n"
        "class P(BaseModel, populate_by_name=True):\n    day: str = Field(alias='Day')\n"
        "@pipeline(params=P)\nasync def p(ctx):\n    return ctx.params\n"
    )
    await api.deploy(source)
    assert (await api.run("p", params={"day": "x"}))["result"] == {"day": "x"}
    assert (await api.run("p", params={"Day": "y"}))["result"] == {"day": "y"}


async def test_a_repeated_request_for_a_key_makes_one_and_tells_its_text_once(api: Api) -> None:
    body, headers = {"name": "ci", "scopes": ["read"]}, {"Idempotency-Key": "once"}
    first, second = [
        (await api.client.post("/api/v1/keys", json=body, headers=headers)).json() for _ in range(2)
    ]
    assert second == {name: value for name, value in first.items() if name != "key"}
    assert [row["name"] for row in (await get(api, "/keys"))["keys"]].count("ci") == 1


async def test_keys_are_made_shown_once_limited_and_revoked(api: Api) -> None:
    made = await post(api, "/keys", name="ci", scopes=["read", "run"], expires="30d", reason="r")
    assert made["key"].startswith("tau_")
    async with api.anonymous(Authorization=f"Bearer {made['key']}") as client:
        assert (await client.get("/api/v1/runs")).status_code == 200
        is_problem(await client.get("/api/v1/keys"), "auth.missing_scope")
        listed = await get(api, "/keys")
        row = next(row for row in listed["keys"] if row["id"] == made["id"])
        assert (row["name"], row["scopes"]) == ("ci", ["read", "run"])
        assert made["key"] not in json.dumps(listed)
        planned = await post(api, f"/keys/{made['id']}/revoke", dry_run=True)
        assert planned["revoked"] is False
        await post(api, f"/keys/{made['id']}/revoke")
        is_problem(await client.get("/api/v1/runs"), "auth.invalid_key")
    await refused(api, "key.not_found", f"/keys/{made['id']}/revoke")
    await refused(api, "key.not_found", "/keys/nobody/revoke")
    own = next(row["id"] for row in (await get(api, "/keys"))["keys"] if row["name"] == "k")
    await refused(api, "key.in_use", f"/keys/{own}/revoke")
    tried = await post(api, "/keys", name="x", scopes=["read"], dry_run=True)
    assert "key" not in tried
    for bad in ({"name": "x", "scopes": []}, {"name": "x", "scopes": ["root"]}, {"name": "\n"}):
        await refused(api, "request.invalid", "/keys", **bad)


async def test_an_expired_key_is_refused(api: Api) -> None:
    made = await post(api, "/keys", name="short", scopes=["read"], expires=0.001)
    async with api.anonymous(Authorization=f"Bearer {made['key']}") as client:
        is_problem(await client.get("/api/v1/runs"), "auth.invalid_key")


async def test_every_change_is_in_the_audit_trail(api: Api) -> None:
    await api.deploy(HELLO)
    await api.deploy(HELLO + "#")
    run = await api.run("hello")
    await post(api, f"/runs/{run['id']}/retry", reason="again")
    await post(api, "/pipelines/hello/rollback", reason="back")
    made = await post(api, "/keys", name="x", scopes=["read"])
    await post(api, f"/keys/{made['id']}/revoke")
    await post(api, "/pipelines/hello/undeploy")
    entries = (await get(api, "/audit"))["entries"]
    assert [entry["action"] for entry in entries] == [
        "pipeline.undeploy", "key.revoke", "key.create", "pipeline.rollback",
        "run.retry", "run.create", "pipeline.deploy", "pipeline.deploy",
    ]  # fmt: skip
    assert entries[3]["reason"] == "back"
    mine = await get(api, "/audit", target="hello", limit=2)
    assert (mine["total"], len(mine["entries"])) == (6, 2)
    rest = await get(api, "/audit", target="hello", limit=9, cursor=mine["next_cursor"])
    assert len(rest["entries"]) == 4
    assert (await get(api, "/audit", action="run.retry"))["total"] == 1
    assert (await get(api, "/audit", actor="nobody"))["total"] == 0


@pytest.mark.parametrize("scope", [Scope.READ, Scope.RUN, Scope.DEPLOY])
async def test_only_an_admin_sees_keys_and_audit(api: Api, scope: Scope) -> None:
    async with await api.holder(scope) as client:
        for path in ("/api/v1/keys", "/api/v1/audit"):
            is_problem(await client.get(path), "auth.missing_scope")
