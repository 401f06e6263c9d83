"""Runs over HTTP: outcomes, traces, logs, streams, references, repetition."""

import asyncio
import json
from typing import Any

import pytest
from tests.api.test_gate import is_problem
from tests.fixtures.api import Api
from tests.fixtures.sources import FAILS, HELLO, SLEEP
from tests.fixtures.waiting import eventually_async

from tau.core.auth import Scope

HEAD = "from tau import pipeline\n"


async def get(api: Api, path: str, **params: Any) -> Any:
    answer = await api.client.get(f"/api/v1{path}", params=params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def size(document: Any) -> int:
    """Bytes as the CLI prints it to a pipe."""
    return len(json.dumps(document, separators=(",", ":")))


async def test_a_run_to_its_result(api: Api) -> None:
    await api.deploy(HELLO)
    run = await api.run("hello", params={"x": 1}, reason="to see")
    assert run["status"] == "success"
    assert run["result"] == {"records_processed": 3, "params": {"x": 1}}
    assert (run["run"], run["version"], run["attempt"]) == ("hello#1", 1, 1)
    assert run["logs"] == {"lines": 1, "warnings": 0, "errors": 0}
    [step] = run["steps"]
    assert (step["name"], step["status"], step["rows_out"]) == ("count", "success", 3)
    assert run["requested_by"]["key"] == "k"
    assert run["requested_by"]["reason"] == "to see"
    assert run["created_at"] <= run["started_at"] <= run["finished_at"]
    assert "failure" not in run


async def test_a_failure_names_the_line_and_shapes_never_values(api: Api) -> None:
    await api.deploy(FAILS, "broken.py")
    run = await api.run("broken")
    assert (run["status"], run["reason"]) == ("failed", "KeyError: 'email'")
    assert run["failure"]["where"]["function"] == "<listcomp>" or run["failure"]["where"]["line"]
    trace = await get(api, "/runs/broken@last/inspect")
    failure = trace["failure"]
    assert (failure["type"], failure["step"]) == ("KeyError", "transform")
    assert failure["where"]["code"].strip() == 'return [row["email"] for row in rows]'
    text = json.dumps(trace)
    assert "email_address" in text
    assert "a@example.com" not in json.dumps(failure["frames"][-1]["locals"])
    assert [step["status"] for step in trace["steps"]] == ["failed"]
    assert "failure" in trace["untrusted"]
    errors = await get(api, "/errors")
    assert (errors["total"], errors["errors"][0]["count"]) == (1, 1)
    await api.run("broken")
    assert (await get(api, "/errors", since="1h", pipeline="broken"))["errors"][0]["count"] == 2


OUTCOMES = {
    "sys.exit(0)": ("import sys; sys.exit(0)", "success", "sys.exit"),
    "sys.exit(3)": ("import sys; sys.exit(3)", "failed", "SystemExit"),
    "os._exit": ("import os; os._exit(3)", "crashed", "exit code 3"),
    "segfault": ("import ctypes; ctypes.string_at(0)", "crashed", "SIGSEGV"),
    "unserialisable": ("return {'a': [object()]}", "failed", "$.a[0]"),
    "cpu loop": ("while True: pass", "timeout", "within 1 s"),
    "nothing": ("pass", "success", None),
    "NaN": ("return float('nan')", "success", None),
}


@pytest.mark.parametrize("case", OUTCOMES)
async def test_every_end_has_a_status_and_a_reason(api: Api, case: str) -> None:
    body, status, reason = OUTCOMES[case]
    await api.deploy(HEAD + f"@pipeline(timeout=1)\nasync def p(ctx):\n    {body}\n")
    made = await api.client.post("/api/v1/pipelines/p/runs", json={})
    alive = await api.client.get("/healthz")
    assert alive.status_code == 200
    run = await get(api, f"/runs/{made.json()['id']}", wait=20)
    assert run["status"] == status, run
    assert (reason is None) == ("reason" not in run)
    if reason is not None:
        assert reason in run["reason"]


async def test_a_hundred_at_once_each_complete(api: Api) -> None:
    await api.deploy(HELLO)
    made = await asyncio.gather(
        *(
            api.client.post("/api/v1/pipelines/hello/runs", json={"params": {"n": n}})
            for n in range(100)
        )
    )
    assert {answer.status_code for answer in made} == {202}
    runs = await asyncio.gather(
        *(get(api, f"/runs/{answer.json()['id']}", wait=30) for answer in made)
    )
    for number, run in enumerate(runs):
        assert run["status"] == "success", run
        assert run["result"]["params"] == {"n": number}
        assert run["logs"]["lines"] == 1
        assert [step["status"] for step in run["steps"]] == ["success"]
    assert sorted(run["number"] for run in runs) == list(range(1, 101))


async def test_params_are_checked_by_the_model(api: Api) -> None:
    source = HEAD + (
        "from pydantic import BaseModel\n"
        "class P(BaseModel):\n    day: str\n    n: int = 3\n"
        "@pipeline(params=P)\nasync def p(ctx):\n    return ctx.params\n"
    )
    await api.deploy(source)
    good = await api.run("p", params={"day": "monday"})
    assert good["result"] == {"day": "monday", "n": 3}
    bad = await api.run("p", params={"day": "monday", "n": "x"})
    assert (bad["status"], bad["failure"]["code"]) == ("failed", "params.invalid")
    missing = await api.client.post("/api/v1/pipelines/p/runs", json={"params": {}})
    assert is_problem(missing, "params.invalid")["fields"][0]["field"] == "day"


async def test_secrets_are_asked_for_and_never_shown(api: Api) -> None:
    source = HEAD + (
        "import os\n@pipeline\nasync def p(ctx):\n"
        "    token = ctx.secret('API_TOKEN')\n"
        "    print('token', token)\n    ctx.log('t', token=token)\n"
        "    assert 'API_TOKEN' not in os.environ and 'TAU_API_KEY' not in os.environ\n"
        "    assert ctx.secret('NOT_SET', default='d') == 'd'\n"
        "    assert ctx.secret('TAU_API_KEY', default=None) is None\n"
        "    try: ctx.secret('MISSING')\n"
        "    except Exception as e: ctx.log(str(e))\n"
        "    raise ValueError(f'bad {token}')\n"
    )
    await api.deploy(source)
    run = await api.run("p")
    assert run["status"] == "failed"
    texts = [json.dumps(run), json.dumps(await get(api, "/runs/p@last/inspect", full=True))]
    logs = await get(api, "/runs/p@last/logs")
    texts.append(json.dumps(logs))
    assert not [text for text in texts if "canary-9f8e7d" in text]
    assert "[redacted]" in texts[2]
    assert any("MISSING" in line["message"] for line in logs["logs"])


async def test_state_goes_from_run_to_run(api: Api) -> None:
    source = HEAD + (
        "@pipeline\nasync def p(ctx):\n"
        "    ctx.state['n'] = ctx.state.get('n', 0) + 1\n"
        "    assert not ctx.params.get('fail')\n"
        "    return [ctx.state['n'], ctx.last_successful_run]\n"
    )
    await api.deploy(source)
    first = await api.run("p")
    assert first["result"] == [1, None]
    assert (await api.run("p", params={"fail": True}))["status"] == "failed"
    third = await api.run("p")
    assert third["result"][0] == 2
    assert third["result"][1][:19] == first["started_at"][:19]


async def test_retries_until_it_works(api: Api) -> None:
    source = HEAD + (
        "@pipeline(retries=2, retry_delay=0.05)\nasync def p(ctx):\n"
        "    print('attempt', ctx.attempt)\n"
        "    if ctx.attempt < 3: raise ValueError(ctx.attempt)\n    return ctx.attempt\n"
    )
    await api.deploy(source)
    run = await api.run("p")
    assert (run["status"], run["result"], run["attempt"]) == ("success", 3, 3)
    trace = await get(api, "/runs/p@last/inspect")
    assert [a["status"] for a in trace["attempts"]] == ["failed", "failed", "success"]
    logs = (await get(api, "/runs/p@last/logs"))["logs"]
    assert [(line["attempt"], line["message"]) for line in logs] == [
        (n, f"attempt {n}") for n in (1, 2, 3)
    ]


async def test_references(api: Api) -> None:
    await api.deploy(HELLO)
    await api.deploy(FAILS, "broken.py")
    runs = [await api.run("hello"), await api.run("hello"), await api.run("broken")]
    ids = {run["run"]: run["id"] for run in runs}
    for reference, name in {
        "hello%231": "hello#1",
        "hello@last": "hello#2",
        "hello@last-success": "hello#2",
        "broken@last-failed": "broken#1",
        ids["hello#1"]: "hello#1",
        ids["hello#1"].upper(): "hello#1",
        ids["broken#1"][:-1]: "broken#1",
        "file%232": "hello#2",
    }.items():
        assert (await get(api, f"/runs/{reference}"))["run"] == name
    for reference, code in {
        "hello%239": "run.not_found",
        "hello%23x": "run.not_found",
        "hello%23": "run.not_found",
        "hello@first": "run.not_found",
        "hello@last-failed": "run.not_found",
        "nobody@last": "pipeline.not_found",
        "nobody": "run.not_found",
        "0": "run.ambiguous",
        "zzzz": "run.not_found",
        "%00": "run.not_found",
        "..%2f..": "route.not_found",
    }.items():
        is_problem(await api.client.get(f"/api/v1/runs/{reference}"), code)


async def test_a_repeated_request_makes_one_run(api: Api) -> None:
    await api.deploy(HELLO)
    answers = await asyncio.gather(
        *(
            api.client.post(
                "/api/v1/pipelines/hello/runs",
                json={"params": {"a": 1}},
                headers={"Idempotency-Key": "once"},
            )
            for _ in range(8)
        )
    )
    assert len({answer.json()["id"] for answer in answers}) == 1
    other = await api.client.post(
        "/api/v1/pipelines/hello/runs", json={}, headers={"Idempotency-Key": "once"}
    )
    is_problem(other, "idempotency.key_reused")
    assert (await get(api, "/runs"))["total"] == 1


async def test_lists_page_and_filter(api: Api) -> None:
    await api.deploy(HELLO)
    await api.deploy(FAILS, "broken.py")
    for name in ("hello", "broken", "hello", "broken", "hello"):
        await api.run(name)
    first = await get(api, "/runs", limit=2)
    assert [row["run"] for row in first["runs"]] == ["hello#3", "broken#2"]
    assert first["total"] == 5
    rest = await get(api, "/runs", limit=10, cursor=first["next_cursor"])
    assert [row["run"] for row in rest["runs"]] == ["hello#2", "broken#1", "hello#1"]
    assert "next_cursor" not in rest
    failed = await get(api, "/runs", status="failed")
    assert (failed["total"], failed["runs"][0]["error"]) == (2, "KeyError: 'email'")
    mine = await get(api, "/runs", pipeline="hello", status=["failed", "success"])
    assert mine["total"] == 3
    bad = await api.client.get("/api/v1/runs", params={"status": "done"})
    is_problem(bad, "request.invalid")


async def test_logs_are_filtered_searched_and_paged_from_the_tail(api: Api) -> None:
    source = HEAD + (
        "@pipeline\nasync def p(ctx):\n"
        "    for n in range(250):\n"
        "        ctx.log(f'Line {n}', level='warning' if n % 50 == 0 else 'info', n=n)\n"
        "    async with ctx.step('inside'):\n        print('100% _done_')\n"
    )
    await api.deploy(source)
    await api.run("p")
    tail = await get(api, "/runs/p@last/logs", limit=3)
    assert [line["message"] for line in tail["logs"]] == ["Line 248", "Line 249", "100% _done_"]
    assert (tail["total"], tail["logs"][-1]["step"]) == (251, "inside")
    older = await get(api, "/runs/p@last/logs", limit=2, cursor=tail["next_cursor"])
    assert [line["message"] for line in older["logs"]] == ["Line 246", "Line 247"]
    warned = await get(api, "/runs/p@last/logs", level="warning")
    assert [line["fields"]["n"] for line in warned["logs"]] == [0, 50, 100, 150, 200]
    assert (await get(api, "/runs/p@last/logs", grep="LINE 24"))["total"] == 11
    assert (await get(api, "/runs/p@last/logs", grep="%"))["total"] == 1
    assert (await get(api, "/runs/p@last/logs", grep="_"))["total"] == 1
    seen: list[str] = []
    cursor = None
    while True:
        page = await get(api, "/runs/p@last/logs", **({"cursor": cursor} if cursor else {}))
        assert size(page) <= 6 * 1024
        seen = [line["message"] for line in page["logs"]] + seen
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == [f"Line {n}" for n in range(250)] + ["100% _done_"]


async def test_answers_stay_small_and_say_what_was_cut(api: Api) -> None:
    source = HEAD + (
        "@pipeline\nasync def p(ctx):\n"
        "    for n in range(300):\n"
        "        with ctx.step(f'step {n}') as step:\n            step.metric('m', n)\n"
        "        ctx.log('x' * 1000)\n"
        "    return {'rows': [{'id': n, 'text': 'y' * 100} for n in range(500)]}\n"
    )
    await api.deploy(source)
    run = await api.run("p")
    assert size(run) <= 6 * 1024
    cut = {item["path"]: item for item in run["truncated"]}
    assert cut["result.rows"]["total"] == 500
    assert cut["steps"]["total"] == 300
    small = await api.client.get("/api/v1/runs/p@last/inspect")
    full = await api.client.get("/api/v1/runs/p@last/inspect", params={"full": True})
    assert len(small.content) <= 6 * 1024
    assert len(small.content) < len(full.content) <= 24 * 1024


def parse_sse(text: str) -> list[dict[str, str]]:
    blocks = [block for block in text.split("\n\n") if block.strip() and block[0] != ":"]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


async def test_the_stream_tells_all_and_resumes(api: Api) -> None:
    await api.deploy(HELLO)
    await api.run("hello")
    answer = await api.client.get("/api/v1/runs/hello@last/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = parse_sse(answer.text)
    kinds = [event["event"] for event in events]
    assert kinds == ["status", "hello", "log", "step_start", "step_end", "result", "end"]
    assert json.loads(events[-1]["data"]) == {"run": "hello#1", "status": "success"}
    log = json.loads(events[2]["data"])
    assert (log["message"], log["fields"]) == ("hello", {"who": "world"})
    middle = events[2]["id"]
    rest = await api.client.get("/api/v1/runs/hello@last/events", headers={"Last-Event-ID": middle})
    assert [e["event"] for e in parse_sse(rest.text)] == ["status", *kinds[3:]]
    is_problem(await api.client.get("/api/v1/runs/nobody/events"), "run.not_found")


async def test_a_full_queue_is_refused(api: Api) -> None:
    await api.deploy(SLEEP)
    await api.parts.dispatcher.stop_claiming()
    api.parts.services.runs._queue_limit = 2
    answers = [await api.client.post("/api/v1/pipelines/sleeper/runs", json={}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    is_problem(answers[2], "queue.full")
    assert answers[2].headers["retry-after"] == "5"


async def test_more_than_the_slots_waits_in_the_queue(api: Api) -> None:
    await api.deploy(SLEEP)
    made = [(await api.client.post("/api/v1/pipelines/sleeper/runs", json={})) for _ in range(10)]
    paths = [f"/api/v1/runs/{answer.json()['id']}" for answer in made]

    async def is_so(**expected: int) -> bool:
        return bool((await get(api, "/status"))["executor"] == {"slots": 8} | expected)

    await eventually_async(lambda: is_so(busy=8, queued=2))
    for path in paths[:2]:
        await api.client.post(f"{path}/cancel", json={})
    await eventually_async(lambda: is_so(busy=8, queued=0))
    for path in paths[2:]:
        await api.client.post(f"{path}/cancel", json={})
    await eventually_async(lambda: is_so(busy=0, queued=0))


async def test_actor_agent_and_reason_are_recorded(api: Api) -> None:
    key = await api.key(Scope.DEPLOY, Scope.RUN, name="robot")
    headers = {"X-Tau-Agent": "claude-code", "X-Request-ID": "req-7"}
    async with api.anonymous(Authorization=f"Bearer {key}", **headers) as client:
        body = {"file_name": "hello.py", "source": HELLO, "reason": "because"}
        await client.post("/api/v1/deployments", json=body)
        made = await client.post("/api/v1/pipelines/hello/runs", json={"reason": "why not"})
    assert made.json()["requested_by"] == {
        "key": "robot",
        "agent": "claude-code",
        "reason": "why not",
    }
    shown = await get(api, "/pipelines/hello")
    assert shown["deployed_by"] == {"key": "robot", "agent": "claude-code", "reason": "because"}
    entries = await audit_of(api)
    assert [(e["action"], e["actor"], e["request_id"], e["reason"]) for e in entries] == [
        ("pipeline.deploy", "robot", "req-7", "because"),
        ("run.create", "robot", "req-7", "why not"),
    ]


async def audit_of(api: Api) -> list[dict[str, Any]]:
    from sqlalchemy import text

    async with api.database.read() as session:
        rows = await session.execute(text("SELECT * FROM audit_entries ORDER BY id"))
        return [dict(row) for row in rows.mappings()]


async def test_lists_stay_small_and_lead_on(api: Api) -> None:
    """However long what is in the rows, a page fits, and the cursor loses none of them."""
    source = HEAD + "@pipeline\nasync def p(ctx):\n    raise ValueError('x' * 5000)\n"
    await api.deploy(source)
    await asyncio.gather(*(api.run("p", params={"pad": "y" * 3000}) for _ in range(25)))
    for path in ("/runs", "/errors", "/pipelines"):
        for full, limit in ((False, 6), (True, 24)):
            for rows in ({}, {"limit": 200}):
                answer = await api.client.get(f"/api/v1{path}", params={"full": full} | rows)
                budget = limit if not rows else 24
                assert len(answer.content) <= budget * 1024, (path, full, rows)
    seen: list[str] = []
    cursor = None
    while True:
        params = {"full": True} | ({"cursor": cursor} if cursor else {})
        page = await get(api, "/runs", **params)
        seen += [row["run"] for row in page["runs"]]
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == [f"p#{number}" for number in range(25, 0, -1)]
    of_one = await get(api, "/runs", pipeline="p", limit=3)
    rest = await get(api, "/runs", pipeline="p", cursor=of_one["next_cursor"])
    assert [row["run"] for row in of_one["runs"] + rest["runs"][:1]] == [
        f"p#{number}" for number in (25, 24, 23, 22)
    ]
    full = (await get(api, "/runs", full=True, limit=1))["runs"][0]
    assert (full["requested_by"]["key"], full["failure"]["type"]) == ("k", "ValueError")


async def test_a_pipeline_with_a_huge_model_is_shown_small(api: Api) -> None:
    fields = "".join(f"    field_{n}: str = '{'d' * 100}'\n" for n in range(300))
    source = (
        "from pydantic import BaseModel\n" + HEAD + f"class P(BaseModel):\n{fields}\n"
        "@pipeline(params=P)\nasync def p(ctx): pass\n"
    )
    await api.deploy(source)
    small = await api.client.get("/api/v1/pipelines/p")
    full = await api.client.get("/api/v1/pipelines/p", params={"full": True})
    assert len(small.content) <= 6 * 1024 < len(full.content) <= 24 * 1024
    assert small.json()["truncated"][0]["get"] == "tau show p --full"
