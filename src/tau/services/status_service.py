"""What the daemon is, what it is doing right now, and what is wrong with it."""

import platform
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tau import __version__
from tau.core import sqlite_file
from tau.core.clock import Clock
from tau.core.database import Database, ReadSession
from tau.repositories.pipeline_repo import PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.repositories.schedule_repo import ScheduleRepository
from tau.repositories.store_repo import StoreRepository
from tau.schemas.status import (
    DiskRead,
    ExecutorRead,
    NextTick,
    QueueRead,
    SchedulesRead,
    StatusRead,
    StoreRead,
    VersionsRead,
)
from tau.services.diagnosis import Vitals, find_wrong

SHOWN_TICKS = 3
SHOWN_FAILING = 20


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
    """`troubles` tells what the daemon's loops can't do right now, a sentence each."""

    def __init__(
        self,
        db: Database,
        clock: Clock,
        *,
        facts: DaemonFacts,
        busy: Callable[[], int],
        troubles: Callable[[], list[str]] = list,
    ) -> None:
        self._db, self._clock = db, clock
        self._facts = facts
        self._busy, self._troubles = busy, troubles
        self._store_version = f"SQLite {sqlite3.sqlite_version}" if db.is_sqlite else ""

    async def read(self) -> StatusRead:
        """All of it; a handful of statements that find few rows by an index."""
        now, facts = self._clock.now(), self._facts
        async with self._db.read() as session:
            unfinished = await RunRepository(session).count_unfinished()
            oldest = await RunRepository(session).oldest_claimable()
            enabled, ticks = await ScheduleRepository(session).list_next(limit=SHOWN_TICKS)
            pipelines = PipelineRepository(session)
            count, total = await pipelines.count(), await pipelines.total_runs()
            failing = await pipelines.list_failing(limit=SHOWN_FAILING)
            version = await self._version(session)
        queue = _queue(unfinished, oldest, now)
        disk = self._disk()
        wrong = find_wrong(
            Vitals(
                troubles=self._troubles(),
                free_bytes=disk.free_bytes,
                queue=queue,
                free_slots=facts.slots - self._busy(),
                next_tick=ticks[0][1] if ticks else None,
                failing=failing,
                now=now,
            )
        )
        return StatusRead(
            status="trouble" if wrong else "ok",
            version=__version__,
            pid=facts.pid,
            started_at=facts.started_at,
            uptime_s=int((now - facts.started_at).total_seconds()),
            home=facts.home,
            url=facts.url,
            store=StoreRead(kind=self._db.kind, revision=facts.revision),
            executor=ExecutorRead(
                slots=facts.slots, busy=self._busy(), queued=queue.queued + queue.retrying
            ),
            runs=unfinished | {"total": total},
            queue=queue,
            schedules=SchedulesRead(
                enabled=enabled, next=[NextTick(pipeline=name, at=at) for name, at in ticks]
            ),
            disk=disk,
            versions=VersionsRead(tau=__version__, python=platform.python_version(), store=version),
            pipelines=count,
            wrong=wrong or None,
            next=["tau list", "tau errors"] if count else ["tau deploy FILE"],
        )

    async def _version(self, session: ReadSession) -> str:
        if not self._store_version:
            found = await StoreRepository(session).server_version()
            self._store_version = f"PostgreSQL {found}"
        return self._store_version

    def _disk(self) -> DiskRead:
        disk, file = shutil.disk_usage(Path(self._facts.home)), self._db.file
        taken = sqlite_file.disk_bytes(file) if file is not None else None
        return DiskRead(free_bytes=disk.free, total_bytes=disk.total, store_bytes=taken)


def _queue(unfinished: dict[str, int], oldest: datetime | None, now: datetime) -> QueueRead:
    waits = None if oldest is None else max(int((now - oldest).total_seconds()), 0)
    return QueueRead(
        waiting=unfinished.get("waiting", 0),
        queued=unfinished.get("queued", 0),
        retrying=unfinished.get("retrying", 0),
        oldest_s=waits,
    )
