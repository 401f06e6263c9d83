"""A commit whose answer is lost was made all the same: nothing is stuck, nothing is doubled."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.fixtures.api import Api
from tests.fixtures.waiting import eventually_async

from tau.core.database import Database, Session
from tau.errors import StoreUnavailable

SOURCE = """
from tau import pipeline

@pipeline
def talks(ctx):
    for n in range(5):
        ctx.log(f"line {n}")
"""


class UnsureDatabase(Database):
    """Loses the answers to so many of the next commits."""

    to_lose = 0

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with super().transaction() as session:
            yield session
        if self.to_lose:
            self.to_lose -= 1
            raise StoreUnavailable("the answer was lost")


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[UnsureDatabase]:
    opened = UnsureDatabase(store_url)
    yield opened
    await opened.close()


@pytest.mark.parametrize("lost", [1, 2, 3, 5, 8])
async def test_the_answers_to_commits_are_lost(
    api: Api, database: UnsureDatabase, lost: int
) -> None:
    assert (await api.deploy(SOURCE)).status_code == 201
    database.to_lose = lost
    request = {"headers": {"Idempotency-Key": "one"}, "json": {}}
    url = "/api/v1/pipelines/talks/runs"
    assert (await api.client.post(url, **request)).status_code == 503

    async def accepted() -> str | None:
        answer = await api.client.post(url, **request)
        return str(answer.json()["id"]) if answer.status_code == 202 else None

    run_id = await eventually_async(accepted)
    answer = await api.client.get(f"/api/v1/runs/{run_id}", params={"wait": 20})
    run = answer.json()
    assert (run["status"], run["attempt"], run["run"]) == ("success", 1, "talks#1")
    logs = (await api.client.get(f"/api/v1/runs/{run_id}/logs")).json()
    assert [line["message"] for line in logs["logs"]] == [f"line {n}" for n in range(5)]
    inspected = (await api.client.get(f"/api/v1/runs/{run_id}/inspect")).json()
    assert inspected["logs"]["lines"] == 5, inspected
    assert (await api.client.get("/api/v1/runs")).json()["total"] == 1
