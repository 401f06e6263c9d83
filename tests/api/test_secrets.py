"""Secrets over HTTP, on both databases: set, listed, handed out, deleted, rotated; never shown."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from tests.api.test_gate import is_problem
from tests.api.test_runs import get
from tests.fixtures.api import Api

from tau.core.auth import Scope
from tau.core.crypto import KEY_FILE, Keyring
from tau.errors import SecretKeyWrong
from tau.services.vault import Vault

CANARY = "canary-5b1f/+ä-77"
HEAD = "from tau import pipeline\n"
READS = HEAD + (
    "import hashlib\n@pipeline\ndef reads(ctx):\n"
    "    return hashlib.sha256(ctx.secret('DB_PASSWORD').encode()).hexdigest()\n"
)


async def put(api: Api, name: str = "DB_PASSWORD", value: str = CANARY, **more: Any) -> Any:
    answer = await api.client.put(f"/api/v1/secrets/{name}", json={"value": value} | more)
    assert answer.status_code == 200, answer.text
    assert value not in answer.text
    return answer.json()


async def digest_of_run(api: Api) -> str:
    run = await api.run("reads")
    assert run["status"] == "success", run
    return str(run["result"])


def sha256(value: str) -> str:
    import hashlib

    return hashlib.sha256(value.encode()).hexdigest()


async def key_ids(api: Api) -> set[str]:
    async with api.database.read() as session:
        return set((await session.scalars(text("SELECT key_id FROM secrets"))).all())


async def test_a_secret_is_set_handed_out_listed_and_deleted(api: Api) -> None:
    await api.deploy(READS)
    missing = await get(api, "/secrets")
    assert missing["missing"] == [{"name": "DB_PASSWORD", "pipelines": ["reads"]}]
    assert missing["next"] == ["tau secret set DB_PASSWORD"]
    made = await put(api, reason="the database is new")
    assert (made["version"], made["changed"], made["pipelines"]) == (1, True, ["reads"])
    assert await digest_of_run(api) == sha256(CANARY)
    listed = await get(api, "/secrets")
    (row,) = listed["secrets"]
    assert (row["name"], row["version"], row["set_by"]) == ("DB_PASSWORD", 1, "k")
    assert row["pipelines"] == ["reads"]
    assert row["set_at"].endswith("Z")
    assert "missing" not in listed
    assert CANARY not in json.dumps(listed)

    shown = await api.client.delete("/api/v1/secrets/DB_PASSWORD", params={"dry_run": True})
    assert (shown.json()["deleted"], shown.json()["pipelines"]) == (False, ["reads"])
    gone = await api.client.delete("/api/v1/secrets/DB_PASSWORD", params={"reason": "leaked"})
    assert gone.json()["deleted"]
    run = await api.run("reads")
    assert "tau secret set DB_PASSWORD" in run["failure"]["message"]
    again = await api.client.delete("/api/v1/secrets/DB_PASSWORD")
    is_problem(again, "secret.not_found")


async def test_each_change_is_audited_and_each_handing_out_is_an_event(api: Api) -> None:
    await put(api, reason="first")
    await put(api, value="another one")
    await put(api, value="another one")
    await put(api, value="only tried", dry_run=True)
    await api.client.post("/api/v1/secrets/rotate", json={"reason": "quarterly"})
    await api.client.delete("/api/v1/secrets/DB_PASSWORD")
    entries = (await get(api, "/audit"))["entries"]
    told = [(e["action"], e["target"], e.get("reason"), e["detail"]) for e in reversed(entries)]
    assert told == [
        ("secret.set", "DB_PASSWORD", "first", {"version": 1}),
        ("secret.set", "DB_PASSWORD", None, {"version": 2}),
        ("secret.rotate", "secrets", "quarterly", {"count": 1}),
        ("secret.delete", "DB_PASSWORD", None, {"version": 2}),
    ]
    assert "another one" not in json.dumps(entries)

    await put(api)
    source = READS.replace("return", "ctx.secret('DB_PASSWORD'); ctx.secret('API_TOKEN'); return")
    await api.deploy(source)
    await digest_of_run(api)
    assert (await get(api, "/runs/reads@last/inspect"))["secrets"] == ["DB_PASSWORD", "API_TOKEN"]
    async with api.database.read() as session:
        rows = await session.scalars(text("SELECT data FROM events WHERE kind = 'secret'"))
        told_of = [json.loads(row) for row in rows.all()]
    assert told_of == [
        {"name": "DB_PASSWORD", "source": "store", "version": 1},
        {"name": "API_TOKEN", "source": "environment"},
    ]


async def test_the_store_comes_before_the_environment(api: Api) -> None:
    await api.deploy(READS.replace("DB_PASSWORD", "API_TOKEN"))
    assert await digest_of_run(api) == sha256("canary-9f8e7d")
    await put(api, "API_TOKEN")
    assert await digest_of_run(api) == sha256(CANARY)
    gone = (await api.client.delete("/api/v1/secrets/API_TOKEN")).json()
    assert gone["in_environment"]
    assert await digest_of_run(api) == sha256("canary-9f8e7d")


async def test_a_plan_counts_stored_ones(api: Api) -> None:
    await api.deploy(READS.replace("return", "ctx.secret('API_TOKEN'); ctx.secret('NO'); return"))
    path = "/api/v1/pipelines/reads/runs"

    async def needs() -> dict[str, bool]:
        plan = (await api.client.post(path, json={"dry_run": True})).json()
        return {need["name"]: need["set"] for need in plan["secrets"]}

    assert await needs() == {"API_TOKEN": True, "DB_PASSWORD": False, "NO": False}
    await put(api)
    assert await needs() == {"API_TOKEN": True, "DB_PASSWORD": True, "NO": False}


async def test_the_same_value_makes_no_version_and_a_short_one_a_warning(api: Api) -> None:
    assert (await put(api))["version"] == 1
    same = await put(api)
    assert (same["version"], same["changed"]) == (1, False)
    tried = await put(api, value="x!ÿ", dry_run=True)
    assert (tried["version"], tried["changed"], tried["dry_run"]) == (2, True, True)
    assert tried["warnings"][0]["code"] == "secret.short"
    assert (await get(api, "/secrets"))["secrets"][0]["version"] == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("9A", CANARY), ("a b", CANARY), ("TAU_API_KEY", CANARY), ("x" * 129, CANARY), ("A", ""),
     ("A", CANARY * 5000), ("A", "\ud800" + CANARY)],
)  # fmt: skip
async def test_what_is_no_secret_is_refused(api: Api, name: str, value: str) -> None:
    content = json.dumps({"value": value})
    answer = await api.client.put(
        f"/api/v1/secrets/{name}", content=content, headers={"content-type": "application/json"}
    )
    is_problem(answer, "secret.invalid")
    assert CANARY not in answer.text


@pytest.mark.parametrize("body", [{"value": [CANARY]}, {"valu": CANARY}, {"value": 1, CANARY: 1}])
async def test_a_body_that_is_wrong_is_not_repeated(api: Api, body: dict[str, Any]) -> None:
    answer = await api.client.put("/api/v1/secrets/A", json=body)
    problem = is_problem(answer, "request.invalid")
    # A field's name is told, as everywhere; what it holds is not.
    assert CANARY not in json.dumps(problem) or CANARY in body


async def test_readers_see_names_and_admins_alone_change(api: Api) -> None:
    await put(api)
    for scope in (Scope.READ, Scope.RUN, Scope.DEPLOY, Scope.WORKER):
        async with await api.holder(scope) as other:
            listed = await other.get("/api/v1/secrets")
            assert listed.status_code == (200 if scope is Scope.READ else 403)
            for method, path in (("PUT", "/A"), ("DELETE", "/A"), ("POST", "/rotate")):
                body = None if method == "DELETE" else {"value": "12345"} if path == "/A" else {}
                answer = await other.request(method, f"/api/v1/secrets{path}", json=body)
                is_problem(answer, "auth.missing_scope")


async def test_pages(api: Api) -> None:
    for name in ("C", "A", "B"):
        await put(api, name)
    first = await get(api, "/secrets", limit=2)
    assert ([row["name"] for row in first["secrets"]], first["total"]) == (["A", "B"], 3)
    rest = await get(api, "/secrets", limit=2, cursor=first["next_cursor"])
    assert [row["name"] for row in rest["secrets"]] == ["C"]


async def test_a_rotation_changes_the_key_and_no_value(api: Api, tmp_path: Path) -> None:
    for name in ("DB_PASSWORD", "OTHER"):
        await put(api, name)
    before = await key_ids(api)
    old_file = (tmp_path / "home" / KEY_FILE).read_text()
    tried = (await api.client.post("/api/v1/secrets/rotate", json={"dry_run": True})).json()
    assert (tried["rotated"], await key_ids(api)) == (2, before)
    rotated = (await api.client.post("/api/v1/secrets/rotate", json={})).json()
    assert rotated["rotated"] == 2
    assert await key_ids(api) == {rotated["key_id"]} != before
    new_file = (tmp_path / "home" / KEY_FILE).read_text()
    assert len(new_file.split()) == 1
    assert old_file.strip() not in new_file
    await api.deploy(READS)
    assert await digest_of_run(api) == sha256(CANARY)
    assert (await get(api, "/secrets"))["secrets"][0]["version"] == 1


async def test_an_interrupted_rotation_is_gone_on_with(api: Api, tmp_path: Path) -> None:
    """As a kill leaves it between the new key and its first use: nothing more is added."""
    await put(api)
    left = Keyring(tmp_path / "home" / KEY_FILE)
    left.add_key()
    api.parts.vault.ring.reload()
    await api.deploy(READS)
    assert await digest_of_run(api) == sha256(CANARY)
    await api.client.post("/api/v1/secrets/rotate", json={})
    assert await key_ids(api) == {left.key_id}
    assert Keyring(tmp_path / "home" / KEY_FILE).key_ids == {left.key_id}


async def test_a_daemon_with_another_key_neither_reads_nor_writes(api: Api, tmp_path: Path) -> None:
    await put(api)
    stranger = Keyring(tmp_path / "stranger.key")
    stranger.add_key()
    other = Vault(api.database, ring=stranger, environ={"DB_PASSWORD": "of the environment"})
    with pytest.raises(SecretKeyWrong):
        await other.check_store()
    with pytest.raises(SecretKeyWrong):  # never the environment's in place of it
        await other.find("DB_PASSWORD")
    # It takes the file up without a restart.
    (tmp_path / "stranger.key").write_text((tmp_path / "home" / KEY_FILE).read_text())
    found = await other.find("DB_PASSWORD")
    assert found is not None
    assert found.value == CANARY


async def test_a_secret_that_was_damaged_is_an_error_of_the_run_and_can_be_set_anew(
    api: Api,
) -> None:
    await put(api)
    await put(api, "OTHER", "other-value")
    async with api.database.transaction() as session:
        # One value in the place of another, as whoever can write the store might try.
        await session.execute(
            text(
                "UPDATE secrets SET token = (SELECT token FROM secrets WHERE name = 'OTHER') "
                "WHERE name = 'DB_PASSWORD'"
            )
        )
    await api.deploy(READS)
    run = await api.run("reads")
    assert run["status"] == "failed"
    assert "encrypted as another one" in run["failure"]["message"]
    is_problem(await api.client.post("/api/v1/secrets/rotate", json={}), "secret.wrong_key")
    assert (await put(api))["version"] == 2
    assert await digest_of_run(api) == sha256(CANARY)


async def test_a_state_that_holds_a_secret_fails_the_run_and_is_not_kept(api: Api) -> None:
    await put(api)
    source = READS.replace("return", "ctx.state['url'] = {'u': ctx.secret('DB_PASSWORD')}; return")
    await api.deploy(source.replace("@pipeline\n", "@pipeline(retries=3, retry_delay=0)\n"))
    run = await api.run("reads")
    assert (run["status"], run["failure"]["type"]) == ("failed", "StateInvalid")
    assert run["attempt"] == 1
    async with api.database.read() as session:
        assert (await session.scalars(text("SELECT data FROM pipeline_states"))).all() == []
