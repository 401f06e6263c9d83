"""What the daemon is and what it is doing right now."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from tau import __version__
from tau.core.clock import Clock
from tau.core.database import Database
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.status import ExecutorRead, StatusRead, StoreRead


@dataclass(frozen=True, kw_only=True)
class DaemonFacts:
    """What does not change while the daemon lives."""

    pid: int
    started_at: datetime
    home: str
    url: str
    revision: str
    slots: int


class StatusService:
    def __init__(
        self, db: Database, clock: Clock, *, facts: DaemonFacts, busy: Callable[[], int]
    ) -> None:
        self._db, self._clock = db, clock
        self._facts = facts
        self._busy = busy

    async def read(self) -> StatusRead:
        async with self._db.read() as session:
            unfinished = await RunRepository(session).count_unfinished()
            pipelines = PipelineRepository(session)
            count, total = await pipelines.count(), await pipelines.total_runs()
        facts = self._facts
        queued = unfinished.get("queued", 0) + unfinished.get("retrying", 0)
        return StatusRead(
            status="ok",
            version=__version__,
            pid=facts.pid,
            started_at=facts.started_at,
            uptime_s=int((self._clock.now() - facts.started_at).total_seconds()),
            home=facts.home,
            url=facts.url,
            store=StoreRead(kind=self._db.kind, revision=facts.revision),
            executor=ExecutorRead(slots=facts.slots, busy=self._busy(), queued=queued),
            runs=unfinished | {"total": total},
            pipelines=count,
            next=["tau list", "tau errors"] if count else ["tau deploy FILE"],
        )
