"""The states that pipelines keep between runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import select

from tau.core.database import Session
from tau.models import PipelineState
from tau.repositories.base import Repository, SessionT


class StateRepository(Repository[SessionT]):
    async def find(self, pipeline_id: str) -> PipelineState | None:
        return await self._session.get(PipelineState, pipeline_id)

    async def keep(
        self: "StateRepository[Session]",
        pipeline_id: str,
        data: dict[str, Any],
        *,
        run_number: int,
        now: datetime,
    ) -> int | None:
        """Write a run's state; the number of the newer run that forbids it, else None."""
        values = {"data": data, "run_number": run_number, "updated_at": now}
        statement = self._insert(PipelineState).values(pipeline_id=pipeline_id, **values)
        # One statement, since two daemons may end runs of a pipeline at the same moment.
        kept = await self._session.execute(
            statement.on_conflict_do_update(
                index_elements=[PipelineState.pipeline_id],
                set_=values,
                where=PipelineState.run_number <= run_number,
            ).returning(PipelineState.run_number)
        )
        if kept.one_or_none() is not None:
            return None
        newest = select(PipelineState.run_number).where(PipelineState.pipeline_id == pipeline_id)
        return await self._session.scalar(newest)
