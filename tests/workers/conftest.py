"""Workers on a home of their own."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tau.workers.local import LocalWorker

MakeWorker = Callable[..., Any]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def make_worker(home: Path) -> AsyncIterator[MakeWorker]:
    """Starts workers on the test's home; stops those that the test did not stop."""
    async with AsyncExitStack() as stack:

        async def make(**options: Any) -> LocalWorker:
            return await stack.enter_async_context(_started(LocalWorker(home, **options)))

        yield make


@asynccontextmanager
async def _started(worker: LocalWorker) -> AsyncIterator[LocalWorker]:
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


@pytest.fixture
async def worker(make_worker: MakeWorker) -> LocalWorker:
    found: LocalWorker = await make_worker()
    return found
