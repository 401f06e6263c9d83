"""Webhooks over the API: what is said of them, what is refused, who may ask."""

from typing import Any

import pytest
from sqlalchemy import select
from tests.fixtures.api import Api

from tau.commands.notifications import EVENTS
from tau.core.crypto import Sealed
from tau.core.notice_types import NoticeType
from tau.models import AuditEntry, Webhook

URL = "https://93.184.215.14/tau?token=canary-5f6e7d"


async def add(api: Api, **body: Any) -> dict[str, Any]:
    answer = await api.client.post("/api/v1/webhooks", json={"url": URL} | body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def listed(api: Api) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = (await api.client.get("/api/v1/webhooks")).json()["webhooks"]
    return rows


async def audit(api: Api) -> list[AuditEntry]:
    async with api.database.read() as session:
        query = select(AuditEntry).where(AuditEntry.action.startswith("webhook."))
        return list(await session.scalars(query.order_by(AuditEntry.id)))


def test_the_events_of_the_commands_are_those_of_the_daemon() -> None:
    assert set(EVENTS) == set(NoticeType)


async def test_a_webhook_is_added_listed_and_deleted(api: Api) -> None:
    made = await add(api, events=["run.late", "run.failed", "run.late"], reason="the pager")
    assert made["secret"].startswith("whsec_")
    assert made["events"] == ["run.failed", "run.late"]
    [row] = await listed(api)
    assert row == {
        "id": made["id"], "url": "https://93.184.215.14/tau?…", "enabled": True,
        "events": ["run.failed", "run.late"], "failures": 0, "pending": 0, "dead": 0,
    }  # fmt: skip
    async with api.database.read() as session:
        token, key_id = (await session.execute(select(Webhook.secret, Webhook.key_id))).one()
    assert made["secret"].encode() not in token
    assert api.parts.vault.open_signing(made["id"], Sealed(token, key_id)) == made["secret"]

    path = f"/api/v1/webhooks/{made['id']}/delete"
    tried = (await api.client.post(path, json={"dry_run": True})).json()
    assert (tried["deleted"], tried["dropped"]) == (False, 0)
    assert len(await listed(api)) == 1
    done = (await api.client.post(path, json={"reason": "moved"})).json()
    assert done["deleted"] is True
    assert await listed(api) == []
    again = await api.client.post(path, json={})
    assert (again.status_code, again.json()["code"]) == (404, "webhook.not_found")

    entries = await audit(api)
    assert [(e.action, e.target, e.reason) for e in entries] == [
        ("webhook.add", made["id"], "the pager"), ("webhook.delete", made["id"], "moved"),
    ]  # fmt: skip
    assert "canary" not in str([entry.detail for entry in entries])
    assert made["secret"] not in str([entry.detail for entry in entries])


async def test_a_repeated_request_makes_one_and_tells_its_secret_once(api: Api) -> None:
    headers = {"Idempotency-Key": "k1"}
    made = []
    for _ in range(2):
        answer = await api.client.post("/api/v1/webhooks", json={"url": URL}, headers=headers)
        assert answer.status_code == 201
        made.append(answer.json())
    assert made[0].pop("secret").startswith("whsec_")
    assert made[0] == made[1]
    assert len(await listed(api)) == 1


async def test_without_events_it_is_told_of_all_and_a_dry_run_adds_none(api: Api) -> None:
    tried = await add(api, dry_run=True)
    assert (tried["dry_run"], tried["events"]) == (True, sorted(EVENTS))
    assert tried.get("secret") is None
    assert await listed(api) == []
    assert await audit(api) == []
    assert (await add(api))["events"] == sorted(EVENTS)


@pytest.mark.parametrize(
    "url",
    ["http://93.184.215.14/", "https://127.0.0.1:8400/", "https://169.254.169.254/", "ftp://x/",
     "https://[::ffff:127.0.0.1]/", "https://u:p@93.184.215.14/", "nonsense", "https://localhost/"],
)  # fmt: skip
async def test_a_url_that_is_refused(api: Api, url: str) -> None:
    for dry_run in (True, False):
        answer = await api.client.post("/api/v1/webhooks", json={"url": url, "dry_run": dry_run})
        assert (answer.status_code, answer.json()["code"]) == (422, "webhook.url_refused")
    assert await listed(api) == []


@pytest.mark.parametrize(
    "body", [{}, {"url": ""}, {"url": URL, "events": []}, {"url": URL, "events": ["run.odd"]},
             {"url": URL, "secret": "whsec_mine"}, {"url": "https://x/" + "y" * 3000}],
)  # fmt: skip
async def test_a_request_that_is_none(api: Api, body: dict[str, Any]) -> None:
    answer = await api.client.post("/api/v1/webhooks", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request.invalid")


async def test_a_name_that_has_no_address_yet_is_warned_of(api: Api) -> None:
    made = await add(api, url="https://hooks.invalid/tau")
    [warning] = made["warnings"]
    assert warning["code"] == "webhook.unresolved"


async def test_the_list_has_pages_and_a_budget(api: Api) -> None:
    ids = [(await add(api, url=f"{URL}{'x' * 500}{n}"))["id"] for n in range(25)]
    found: list[str] = []
    cursor = None
    while True:
        query = {"limit": 20} | ({"cursor": cursor} if cursor else {})
        answer = await api.client.get("/api/v1/webhooks", params=query)
        assert len(answer.content) <= 6 * 1024
        document = answer.json()
        assert document["total"] == 25
        found += [row["id"] for row in document["webhooks"]]
        cursor = document.get("next_cursor")
        if cursor is None:
            break
    assert found == ids


async def test_a_test_of_what_is_not_there(api: Api) -> None:
    answer = await api.client.post("/api/v1/webhooks/none/test", json={})
    assert (answer.status_code, answer.json()["code"]) == (404, "webhook.not_found")
    answer = await api.client.post("/api/v1/notify/test", json={})
    assert (answer.status_code, answer.json()["code"]) == (409, "notify.not_configured")
