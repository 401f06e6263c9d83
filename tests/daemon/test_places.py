"""A run begins with the commit that queues it, where a slot is free: and then only once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.fixtures.api import Api
from tests.fixtures.waiting import eventually_async

from tau.core.database import Database, Session
from tau.errors import StoreUnavailable
from tau.models import Run

SLOTS = 8
SOURCE = """
import pathlib, time
from tau import pipeline

@pipeline(params={"until": ""})
def waits(ctx):
    while ctx.params["until"] and not pathlib.Path(ctx.params["until"]).exists():
        time.sleep(0.02)
"""
URL = "/api/v1/pipelines/waits/runs"


class HeardDatabase(Database):
    """Notes the runs' states at each commit; of the next ones some fail, or are not told of."""

    to_fail = to_lose = 0

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.commits: list[list[str]] = []

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Session]:
        async with super().transaction() as session:
            yield session
            self.commits.append(list(await session.scalars(select(Run.status))))
            if self.to_fail:
                self.to_fail -= 1
                raise StoreUnavailable("not now")
            lost = self.to_lose > 0
            if lost:
                self.to_lose -= 1
                session.info.pop("after_commit", None)
        if lost:
            raise StoreUnavailable("the answer was lost")


@pytest.fixture
async def database(store_url: str) -> AsyncIterator[HeardDatabase]:
    opened = HeardDatabase(store_url)
    yield opened
    await opened.close()


async def test_a_run_needs_few_commits(api: Api, database: HeardDatabase) -> None:
    await api.deploy(SOURCE)
    database.commits.clear()
    run = await api.run("waits")
    assert (run["status"], run["attempt"]) == ("success", 1)
    # Queued and claimed; started; perhaps first events by themselves; the last ones and the end.
    assert database.commits[0] == ["starting"]
    assert database.commits[-1] == ["success"]
    assert len(database.commits) <= 4


async def test_no_more_begin_than_there_are_slots(api: Api, tmp_path: Path) -> None:
    await api.deploy(SOURCE)
    until = tmp_path / "until"
    asked = (api.client.post(URL, json={"params": {"until": str(until)}}) for _ in range(20))
    made = [answer.json()["id"] for answer in await asyncio.gather(*asked)]

    async def statuses() -> list[str]:
        answers = [await api.client.get(f"/api/v1/runs/{run_id}") for run_id in made]
        return sorted(str(answer.json()["status"]) for answer in answers)

    async def all_slots_are_taken() -> bool:
        assert api.parts.dispatcher.busy <= SLOTS
        return await statuses() == ["queued"] * 12 + ["running"] * SLOTS

    await eventually_async(all_slots_are_taken)
    until.touch()

    async def all_have_ended() -> bool:
        assert api.parts.dispatcher.busy <= SLOTS
        return await statuses() == ["success"] * 20

    await eventually_async(all_have_ended)


async def test_what_fails_keeps_no_slot(api: Api, database: HeardDatabase) -> None:
    await api.deploy(SOURCE)
    database.to_fail = SLOTS + 1
    for _ in range(SLOTS + 1):
        assert (await api.client.post(URL, json={})).status_code == 503
    assert api.parts.dispatcher.places.lent == 0
    run = await api.run("waits")
    assert (run["run"], run["status"], run["attempt"]) == ("waits#1", "success", 1)


async def test_a_claim_nobody_was_told_of_is_taken_up(api: Api, database: HeardDatabase) -> None:
    await api.deploy(SOURCE)
    database.to_lose = 1
    assert (await api.client.post(URL, json={})).status_code == 503

    async def ended() -> bool:
        answer = await api.client.get("/api/v1/runs")
        return [run["status"] for run in answer.json()["runs"]] == ["success"]

    await eventually_async(ended)
    assert (await api.client.get("/api/v1/runs/waits@last")).json()["attempt"] == 1
