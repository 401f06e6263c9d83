"""Attempts of runs, and the events they told."""

from sqlalchemy import and_, delete, func, or_, select

from tau.core.database import Session
from tau.models import Attempt, Event
from tau.pipeline.types import EventKind
from tau.repositories.base import Repository, SessionT, decode_cursor, encode_cursor

_NO_SYNC = {"synchronize_session": False}


class AttemptRepository(Repository[SessionT]):
    async def list_by_run(self, run_id: str) -> list[Attempt]:
        query = select(Attempt).where(Attempt.run_id == run_id).order_by(Attempt.number)
        return list((await self._session.scalars(query)).all())

    async def find_offset(self, run_id: str, number: int) -> int:
        """How many bytes of the attempt's spool are in the store."""
        query = select(Attempt.spool_offset).where(
            Attempt.run_id == run_id, Attempt.number == number
        )
        return int(await self._session.scalar(query) or 0)

    async def remove(self: "AttemptRepository[Session]", run_id: str, number: int) -> None:
        """Forget an attempt that never started user code."""
        await self._session.execute(
            delete(Attempt)
            .where(Attempt.run_id == run_id, Attempt.number == number)
            .execution_options(**_NO_SYNC)
        )

    async def list_events(
        self, run_id: str, *, after: tuple[int, int] = (0, 0), limit: int
    ) -> list[Event]:
        """Events in their order, later than (attempt, seq)."""
        attempt, seq = after
        later = or_(Event.attempt > attempt, and_(Event.attempt == attempt, Event.seq > seq))
        query = (
            select(Event)
            .where(Event.run_id == run_id, later)
            .order_by(Event.attempt, Event.seq)
            .limit(limit)
        )
        return list((await self._session.scalars(query)).all())

    async def list_trace(self, run_id: str, attempt: int, *, limit: int) -> list[Event]:
        """The events of an attempt that are no log lines."""
        query = (
            select(Event)
            .where(Event.run_id == run_id, Event.attempt == attempt, Event.kind != EventKind.LOG)
            .order_by(Event.seq)
            .limit(limit)
        )
        return list((await self._session.scalars(query)).all())

    async def list_steps(self, run_id: str, *, limit: int) -> list[Event]:
        """The starts of a run's steps, which hold their names."""
        query = (
            select(Event)
            .where(Event.run_id == run_id, Event.kind == EventKind.STEP_START)
            .order_by(Event.attempt, Event.seq)
            .limit(limit)
        )
        return list((await self._session.scalars(query)).all())

    async def count_logs(self, run_id: str) -> tuple[int, int, int]:
        """A run's log lines, warnings and errors, as counted when they were stored."""
        query = select(
            func.coalesce(func.sum(Attempt.log_lines), 0),
            func.coalesce(func.sum(Attempt.log_warnings), 0),
            func.coalesce(func.sum(Attempt.log_errors), 0),
        ).where(Attempt.run_id == run_id)
        lines, warnings, errors = (await self._session.execute(query)).one()
        return int(lines), int(warnings), int(errors)

    async def list_logs(
        self,
        run_id: str,
        *,
        limit: int,
        cursor: str | None = None,
        level: int = 0,
        grep: str | None = None,
    ) -> tuple[list[Event], int, str | None]:
        """The newest matching lines, oldest first; how many match; the older page's cursor."""
        matching = [
            Event.run_id == run_id,
            Event.kind == EventKind.LOG,
            func.coalesce(Event.level, 0) >= level,
        ]
        if grep:
            matching.append(Event.message.icontains(grep, autoescape=True))
        total = await self._session.scalar(select(func.count()).select_from(Event).where(*matching))
        query = select(Event).where(*matching)
        if cursor is not None:
            attempt, seq = decode_cursor(cursor, int, int)
            query = query.where(
                or_(Event.attempt < attempt, and_(Event.attempt == attempt, Event.seq < seq))
            )
        query = query.order_by(Event.attempt.desc(), Event.seq.desc()).limit(limit + 1)
        rows = list((await self._session.scalars(query)).all())
        more = None
        if len(rows) > limit:
            rows = rows[:limit]
            more = encode_cursor(rows[-1].attempt, rows[-1].seq)
        return rows[::-1], int(total or 0), more
