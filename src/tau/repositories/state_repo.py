"""The states that pipelines keep between runs."""

from datetime import datetime
from typing import Any

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
        found = await self.find(pipeline_id)
        if found is not None and found.run_number > run_number:
            return found.run_number
        if found is None:
            found = PipelineState(pipeline_id=pipeline_id)
            self._session.add(found)
        found.data, found.run_number, found.updated_at = data, run_number, now
        await self._session.flush()
        return None
