"""Deploying over HTTP: versions, refusals that keep nothing, repetition."""

from typing import Any

import pytest
from tests.api.test_gate import is_problem
from tests.fixtures.api import Api
from tests.fixtures.sources import HELLO, SLEEP

HEAD = "from tau import pipeline\n"


async def names(api: Api) -> list[str]:
    answer = await api.client.get("/api/v1/pipelines")
    return [row["name"] for row in answer.json()["pipelines"]]


async def test_versions_go_by_content(api: Api) -> None:
    first = await api.deploy(HELLO, "greet.py", reason="first")
    assert first.status_code == 201
    assert first.json()["pipelines"] == [
        {
            "name": "hello",
            "version": 1,
            "changed": True,
            "line": 4,
            "description": "Says hello.",
            "tags": ["greeting", "demo"],
        }
    ]
    again = await api.deploy(HELLO, "greet.py")
    assert (again.status_code, again.json()["changed"]) == (200, False)
    changed = (await api.deploy(HELLO + "# more\n", "greet.py")).json()["pipelines"][0]
    assert (changed["version"], changed["previous_version"]) == (2, 1)
    back = (await api.deploy(HELLO, "greet.py")).json()["pipelines"][0]
    assert back["version"] == 3
    shown = (await api.client.get("/api/v1/pipelines/greet")).json()
    assert (shown["name"], shown["version"], shown["versions"]) == ("hello", 3, 3)
    code = await api.client.get("/api/v1/pipelines/hello/code", params={"version": 2})
    assert code.json()["code"] == HELLO + "# more\n"
    missing = await api.client.get("/api/v1/pipelines/hello/code", params={"version": 9})
    is_problem(missing, "version.not_found")


async def test_a_dry_run_keeps_nothing(api: Api) -> None:
    answer = await api.deploy(HELLO, dry_run=True)
    assert (answer.status_code, answer.json()["changed"]) == (200, True)
    assert await names(api) == []


async def test_every_argument_of_the_decorator_is_kept(api: Api) -> None:
    source = HEAD + (
        "@pipeline(name='full', description='D', schedule='0 6 * * 1-5',\n"
        "  timezone='Europe/Berlin',"
        "  tags=['a', 'b'], depends_on=['x'], retries=2, retry_delay=7, retry_backoff=3,\n"
        "  timeout='1h30m', max_concurrent=4, on_overlap='skip', params={'region': 'eu'})\n"
        "def f(ctx): pass\n"
    )
    deployed = (await api.deploy(source)).json()
    [warning] = deployed["warnings"]
    assert warning["code"] == "option.not_acted_on"
    assert "depends_on" in warning["message"]
    shown = (await api.client.get("/api/v1/pipelines/full")).json()
    expected: dict[str, Any] = {
        "description": "D",
        "tags": ["a", "b"],
        "depends_on": ["x"],
        "retries": 2,
        "retry_delay": 7.0,
        "retry_backoff": 3.0,
        "timeout": 5400.0,
        "max_concurrent": 4,
        "on_overlap": "skip",
        "params": {"defaults": {"region": "eu"}},
        "function": "f",
    }
    assert {key: shown[key] for key in expected} == expected
    assert shown["schedule"]["cron"] == "0 6 * * 1-5"
    assert len(shown["schedule"]["next"]) == len(shown["schedule"]["next_local"]) == 5


REFUSED = {
    "syntax": (HEAD + "def f(:\n", "pipeline.syntax_error", 2),
    "missing module": ("import json\nimport no_such_thing\n", "dependency.missing_module", 2),
    "error at import": (HEAD + "\n1/0\n", "pipeline.import_failed", 3),
    "no pipeline": ("x = 1\n", "pipeline.none_found", 1),
    "empty": ("", "pipeline.none_found", 1),
    "doubled name": (
        HEAD + "@pipeline\ndef f(ctx): pass\n@pipeline(name='f')\ndef g(ctx): pass\n",
        "pipeline.duplicate_name",
        4,
    ),
    "bad cron": (
        HEAD + "@pipeline(schedule='61 * * * *')\ndef f(ctx): pass\n",
        "pipeline.invalid_schedule",
        2,
    ),
    "six fields": (
        HEAD + "@pipeline(schedule='* * * * * *')\ndef f(ctx): pass\n",
        "pipeline.invalid_schedule",
        2,
    ),
    "bad zone": (
        HEAD + "\n@pipeline(schedule='@daily', timezone='Mars/X')\ndef f(ctx): pass\n",
        "pipeline.invalid_schedule",
        3,
    ),
    "bad zone alone": (
        HEAD + "@pipeline(timezone='Mars/X')\ndef f(ctx): pass\n",
        "pipeline.invalid_schedule",
        2,
    ),
    "unknown option": (
        HEAD + "@pipeline(shedule='@daily')\ndef f(ctx): pass\n",
        "pipeline.invalid_option",
        2,
    ),
    "bad value": (
        HEAD + "@pipeline(retries=-1)\ndef f(ctx): pass\n",
        "pipeline.invalid_option",
        2,
    ),
    "bad name": (
        HEAD + "@pipeline(name='No Good')\ndef f(ctx): pass\n",
        "pipeline.invalid_name",
        2,
    ),
    "exits": (HEAD + "import sys\nsys.exit(0)\n", "pipeline.exits_at_import", 3),
    "hard exit": (HEAD + "import os\nos._exit(0)\n", "pipeline.import_crashed", None),
    "segfault": (
        HEAD + "import ctypes\nctypes.string_at(0)\n",
        "pipeline.import_crashed",
        3,
    ),
    "endless loop": (HEAD + "while True: pass\n", "pipeline.import_timeout", 2),
    "sleep": (HEAD + "import time\n\ntime.sleep(60)\n", "pipeline.import_timeout", 4),
    "binary": ("\0\0\0", "pipeline.not_text", 1),
    "too large": ("#" * (1024 * 1024 + 1), "pipeline.too_large", None),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_file_leaves_nothing(api: Api, case: str) -> None:
    source, code, line = REFUSED[case]
    answer = await api.deploy(source, "bad.py")
    problem = is_problem(answer, code)
    assert problem["file"] == "bad.py"
    assert problem.get("line") == line
    assert await names(api) == []
    if code == "dependency.missing_module":
        assert problem["module"] == "no_such_thing"


async def test_one_bad_pipeline_refuses_the_whole_file(api: Api) -> None:
    source = HELLO + "\n@pipeline(schedule='bad')\ndef other(ctx): pass\n"
    is_problem(await api.deploy(source), "pipeline.invalid_schedule")
    assert await names(api) == []


async def test_several_pipelines_and_their_stem(api: Api) -> None:
    source = HEAD + "@pipeline\ndef a(ctx): pass\n@pipeline\nasync def b(ctx): pass\n"
    await api.deploy(source, "pair.py")
    assert await names(api) == ["a", "b"]
    problem = is_problem(await api.client.get("/api/v1/pipelines/pair"), "pipeline.ambiguous")
    assert problem["candidates"] == ["a", "b"]
    is_problem(await api.deploy(source, "pair.py", name="c"), "pipeline.name_override")


async def test_another_name(api: Api) -> None:
    assert (await api.deploy(HELLO, name="greeting")).status_code == 201
    assert await names(api) == ["greeting"]
    assert (await api.run("greeting"))["status"] == "success"
    is_problem(await api.deploy(HELLO, name="Not Good"), "request.invalid")


async def test_a_repeated_request_is_answered_once(api: Api) -> None:
    body = {"file_name": "hello.py", "source": HELLO}
    headers = {"Idempotency-Key": "k1"}
    first = await api.client.post("/api/v1/deployments", json=body, headers=headers)
    again = await api.client.post("/api/v1/deployments", json=body, headers=headers)
    assert first.json() == again.json()
    other = {**body, "source": SLEEP}
    reused = await api.client.post("/api/v1/deployments", json=other, headers=headers)
    is_problem(reused, "idempotency.key_reused")
    assert await names(api) == ["hello"]


async def test_unknown_pipelines_get_a_suggestion(api: Api) -> None:
    nothing = is_problem(await api.client.get("/api/v1/pipelines/helo"), "pipeline.not_found")
    assert "deploy" in nothing["hint"]
    await api.deploy(HELLO)
    near = is_problem(await api.client.get("/api/v1/pipelines/helo"), "pipeline.not_found")
    assert near["candidates"] == ["hello"]


async def test_lists_page_by_keyset_and_filter_by_tag(api: Api) -> None:
    for index in range(5):
        tag = "even" if index % 2 == 0 else "odd"
        source = HEAD + f"@pipeline(tags=['{tag}', 'x_y'])\ndef p{index}(ctx): pass\n"
        await api.deploy(source, f"p{index}.py")
    seen, cursor = [], None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = (await api.client.get("/api/v1/pipelines", params=params)).json()
        seen += [row["name"] for row in page["pipelines"]]
        assert page["total"] == 5
        cursor = page.get("next_cursor")
        if cursor is None:
            break
    assert seen == [f"p{index}" for index in range(5)]
    even = (await api.client.get("/api/v1/pipelines", params={"tag": "even"})).json()
    assert ([row["name"] for row in even["pipelines"]], even["total"]) == (["p0", "p2", "p4"], 3)
    for tag in ("eve", "x%y", "even\nodd"):
        none = (await api.client.get("/api/v1/pipelines", params={"tag": tag})).json()
        assert none["total"] == 0
    for bad in ("xyz", "W10", "é", "WzFd"):
        is_problem(
            await api.client.get("/api/v1/pipelines", params={"cursor": bad}),
            "request.invalid_cursor",
        )
