"""The single writer of what attempts report: batches of reports, one transaction each."""

import asyncio
import logging
from dataclasses import dataclass

from tau.daemon.trouble import Trouble, patiently
from tau.services.execution_service import ExecutionService, Report, Told

logger = logging.getLogger("tau.recorder")

MAX_LINES = 500


@dataclass
class _Item:
    report: Report
    stored: asyncio.Future[None]


class Recorder:
    """Takes reports from all attempts and stores them in order.

    While one transaction commits the next batch gathers, so that a busy daemon commits less
    often for each report and an idle one at once. A store that does not answer is asked again
    until it does; meanwhile the attempts go on and their reports wait in their spools.
    """

    def __init__(self, execution: ExecutionService) -> None:
        self._execution = execution
        self._waiting: list[_Item] = []
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._trouble = Trouble(logger, "what attempts report can't be stored")
        self._lost: dict[tuple[str, int], Exception] = {}

    @property
    def troubles(self) -> list[Trouble]:
        return [self._trouble]

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="recorder")

    async def stop(self) -> None:
        """Ends the writer; what was not stored is told again by the spool at the next start."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        for item in self._waiting:
            item.stored.cancel()

    def put(self, report: Report) -> asyncio.Future[None]:
        """Take a report, after all that were put before; done once it is durable."""
        item = _Item(report, asyncio.get_running_loop().create_future())
        self._waiting.append(item)
        self._wake.set()
        return item.stored

    async def store(self, report: Report) -> None:
        """Returns once the report is durable."""
        await self.put(report)

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            batch = self._take()
            await self._store_batch(batch)

    def _take(self) -> list[_Item]:
        lines = count = 0
        while count < len(self._waiting) and lines < MAX_LINES:
            report = self._waiting[count].report
            lines += len(report.lines) if isinstance(report, Told) else 1
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        if not self._waiting:
            self._wake.clear()
        return batch

    async def _store_batch(self, batch: list[_Item]) -> None:
        batch = [item for item in batch if not self._fails_with_an_earlier_one(item)]
        try:
            reports = [item.report for item in batch]
            await patiently(lambda: self._execution.record(reports), self._trouble)
        except Exception as error:
            if len(batch) > 1:
                # One report that can't be stored must not take the others with it.
                for item in batch:
                    await self._store_batch([item])
                return
            claim = batch[0].report.claim
            ids = {"run": claim.reference, "run_id": claim.run_id, "attempt": claim.attempt}
            logger.exception("a report of %s is lost", claim.reference, extra=ids)
            self._lost[claim.run_id, claim.fence] = error
            self._fail(batch[0], error)
            return
        for item in batch:
            if not item.stored.done():
                item.stored.set_result(None)

    def _fails_with_an_earlier_one(self, item: _Item) -> bool:
        """Nothing of an attempt is kept after a report that is lost: least of all its end."""
        claim = item.report.claim
        error = self._lost.get((claim.run_id, claim.fence))
        if error is not None:
            self._fail(item, error)
        return error is not None

    def _fail(self, item: _Item, error: Exception) -> None:
        if not item.stored.done():
            item.stored.set_exception(error)
