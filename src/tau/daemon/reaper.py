"""Keeps this daemon's lease, ends what it may not execute any more, and takes what others lost.

Only where daemons share a store: the daemon of a SQLite home has it for itself, and finds at its
start by the locks of the attempts what is still alive.
"""

import asyncio
import logging

from tau.daemon.dispatcher import Dispatcher
from tau.daemon.trouble import Trouble
from tau.errors import StoreUnavailable
from tau.pipeline.types import RunStatus
from tau.services.lease_service import RENEW_S, SELF_FENCE_S, LeaseService
from tau.workers.processes import boot_time

logger = logging.getLogger("tau.reaper")


class Reaper:
    def __init__(
        self, leases: LeaseService, dispatcher: Dispatcher, *, renew_s: float = RENEW_S
    ) -> None:
        self._leases, self._dispatcher, self._renew_s = leases, dispatcher, renew_s
        self._trouble = Trouble(logger, "the lease can't be renewed, or lost runs taken")
        self._renewed_at = boot_time()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Before the first claim: who owns runs has a lease. Raises StoreUnavailable."""
        await self._leases.renew()
        self._renewed_at = boot_time()
        self._task = asyncio.create_task(self._run(), name="reaper")

    async def stop(self, *, executes_nothing: bool) -> None:
        """A daemon that leaves attempts behind keeps its lease, so that it can adopt them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if executes_nothing:
            try:
                await self._leases.release()
            except StoreUnavailable as error:
                logger.warning("the lease could not be given back: %s", error)

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._renew_s)
            try:
                await self._renew()
                self._trouble.over()
            except Exception as error:
                # Whatever it was: a daemon without this loop would be shot by the others.
                self._trouble.met(error)
                await self._fence_off()

    async def _renew(self) -> None:
        await self._leases.renew()
        self._renewed_at = boot_time()
        self._dispatcher.renew()
        await self._end_what_was_taken()
        await self._leases.reap()

    async def _end_what_was_taken(self) -> None:
        claims = self._dispatcher.claims()
        for run_id in await self._leases.taken(claims):
            logger.warning(
                "run %s is another daemon's now: its attempt here is ended",
                run_id,
                extra={"run_id": run_id},
            )
            await self._dispatcher.kill(
                run_id, RunStatus.CRASHED, "another daemon has taken the run"
            )

    async def _fence_off(self) -> None:
        if boot_time() - self._renewed_at > SELF_FENCE_S:
            reason = "the lease of its daemon could not be renewed"
            await self._dispatcher.kill_all(RunStatus.CRASHED, reason)
