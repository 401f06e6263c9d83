"""The loop of leases goes on, whatever its store says of it."""

from collections.abc import AsyncIterator

import pytest
from tests.fixtures.api import Api
from tests.fixtures.factories import START
from tests.fixtures.waiting import eventually_async

from tau.core.clock import SystemClock
from tau.core.database import Database
from tau.core.signals import Signals
from tau.daemon.reaper import Reaper
from tau.errors import StoreUnavailable
from tau.services.lease_service import LeaseService

WORKER = {
    "id": "node-test", "host": "here", "pid": 1, "version": "test", "slots": 8,
    "started_at": START,
}  # fmt: skip


class FailingLeases(LeaseService):
    """Says how often it reaped, and fails where it is told to."""

    reaped = 0
    failure: Exception | None = None

    async def reap(self) -> int:
        if self.failure is not None:
            raise self.failure
        self.reaped += 1
        return await super().reap()


@pytest.fixture
async def leases(database: Database, api: Api) -> AsyncIterator[FailingLeases]:
    made = FailingLeases(database, SystemClock(), worker=WORKER, signals=Signals())
    reaper = Reaper(made, api.parts.dispatcher, renew_s=0.02)
    await reaper.start()
    yield made
    await reaper.stop(executes_nothing=True)


@pytest.mark.parametrize("failure", [StoreUnavailable("away"), RuntimeError("a bug")])
async def test_a_reaper_survives_whatever_its_leases_raise(
    leases: FailingLeases, failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    await eventually_async(lambda: leases.reaped > 0)
    leases.failure = failure
    await eventually_async(lambda: "trying again" in caplog.text)
    leases.failure = None
    reaped = leases.reaped
    await eventually_async(lambda: leases.reaped > reaped)
    await eventually_async(lambda: "over after" in caplog.text)
    told = [record for record in caplog.records if "trying again" in record.message]
    assert len(told) == 1
