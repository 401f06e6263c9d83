"""Claims queued runs for the free slots of this daemon, and sees their attempts through."""

import asyncio
import errno
import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from tau.core.clock import Clock
from tau.core.signals import CANCEL, NEW_WORK, Signals
from tau.daemon.executor import Executor
from tau.daemon.places import Places
from tau.daemon.trouble import Trouble
from tau.pipeline.types import RunStatus
from tau.services.execution_service import ExecutionService
from tau.services.outcome import Claim

logger = logging.getLogger("tau.dispatcher")

LONGEST_SLEEP_S = 30.0
SHARED_STORE_SLEEP_S = 1.0
RETRY_S = 1.0
CLAIM_BATCH = 32
CLAIM_SETTLES_S = 0.1
LAUNCH_PAUSE_S = 0.05


class Dispatcher:
    """The loop from queue to executor; the queue is the store, wake-ups are hints."""

    def __init__(
        self,
        execution: ExecutionService,
        executor: Executor,
        *,
        signals: Signals,
        clock: Clock,
        slots: int,
        shared_store: bool,
        has_room: Callable[[], bool],
    ) -> None:
        self._execution, self._executor = execution, executor
        self._signals, self._clock = signals, clock
        self._slots, self._has_room = slots, has_room
        self._longest_sleep = SHARED_STORE_SLEEP_S if shared_store else LONGEST_SLEEP_S
        self._active: dict[str, tuple[Claim, asyncio.Task[None]]] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._is_open = False
        self._claiming, self._had_more = 0, False
        self._doubts = self._doubts_settled = 0
        self.places = Places(
            execution, is_free=self._has_place, begin=self._begin, broken=self._place_broken
        )
        """For who queues runs."""
        self._queue = Trouble(logger, "runs can't be claimed")
        self._cancels = Trouble(logger, "the cancels can't be read")

    @property
    def busy(self) -> int:
        """How many attempts are executing."""
        return len(self._active)

    @property
    def claims_runs(self) -> bool:
        """Whether its loops run."""
        return bool(self._loops) and not any(loop.done() for loop in self._loops)

    @property
    def troubles(self) -> list[Trouble]:
        return [self._queue, self._cancels]

    async def start(self) -> None:
        """Adopt what an earlier daemon left, then claim."""
        unfinished = await self._execution.unfinished()
        self._executor.forget_all_but([claim for claim, _ in unfinished])
        for claim, offset in unfinished:
            logger.info(
                "adopting %s, attempt %d", claim.reference, claim.attempt, extra=_ids(claim)
            )
            self._follow(claim, self._executor.adopt(claim, offset))
        self._is_open = True
        self._loops = [
            asyncio.create_task(self._run(), name="dispatcher"),
            asyncio.create_task(self._watch_cancels(), name="cancels"),
        ]

    async def stop_claiming(self) -> None:
        self._is_open = False
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)

    async def drain(self, *, seconds: float) -> None:
        """Wait for executing attempts, at most that long; the rest goes on without us."""
        tasks = [task for _, task in self._active.values()]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def let_go(self) -> None:
        """Stop following; the attempts go on and are adopted at the next start."""
        tasks = [task for _, task in self._active.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def claims(self) -> list[Claim]:
        """The claims whose attempts are executing."""
        return [claim for claim, _ in self._active.values()]

    def renew(self) -> None:
        """Say to all attempts that their daemon lives."""
        self._executor.renew()

    async def kill(self, run_id: str, status: RunStatus, reason: str) -> None:
        """End a run's attempt, if it is still executing."""
        active = self._active.get(run_id)
        if active is not None:
            await self._executor.kill(active[0], status=status, reason=reason)

    async def kill_all(self, status: RunStatus, reason: str) -> None:
        """End every executing attempt."""
        for claim in self.claims():
            await self.kill(claim.run_id, status, reason)

    @property
    def _unsure(self) -> bool:
        """Whether a claim may be ours whose commit was not confirmed."""
        return self._doubts != self._doubts_settled

    @property
    def _free(self) -> int:
        """Slots that no attempt has, and none that is being claimed."""
        return self._slots - len(self._active) - self.places.lent - self._claiming

    def _has_place(self) -> bool:
        return self._is_open and not self._unsure and self._free > 0 and self._has_room()

    def _begin(self, claim: Claim) -> None:
        self._follow(claim, self._executor.execute(claim))

    def _place_broken(self, with_claim: bool) -> None:
        self._doubts += with_claim
        self._signals.notify(NEW_WORK)

    def _follow(self, claim: Claim, work: "asyncio._CoroutineLike[None]") -> None:
        task = asyncio.create_task(work, name=f"attempt {claim.reference}")
        self._active[claim.run_id] = (claim, task)
        task.add_done_callback(lambda done: self._forget(claim, done))

    def _forget(self, claim: Claim, task: asyncio.Task[None]) -> None:
        del self._active[claim.run_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("following %s failed", claim.reference, exc_info=error, extra=_ids(claim))
        self._signals.notify(NEW_WORK)

    async def _run(self) -> None:
        while True:
            waiter = self._signals.listen(NEW_WORK)
            try:
                sleep = await self._claim()
                self._queue.over()
            except Exception as error:
                # Whatever it was: a daemon without this loop would only seem to live.
                self._queue.met(error)
                self._doubts += 1
                sleep = RETRY_S
            await self._signals.wait(waiter, within=sleep)

    async def _watch_cancels(self) -> None:
        """Kill what somebody wants to end; another daemon may have taken the wish."""
        while True:
            waiter = self._signals.listen(CANCEL)
            try:
                sleep = await self._kill_cancelled()
                self._cancels.over()
            except Exception as error:
                self._cancels.met(error)
                sleep = RETRY_S
            await self._signals.wait(waiter, within=sleep)

    async def _kill_cancelled(self) -> float:
        """Pass the wishes on; how long to sleep then (seconds).

        One is lost on an attempt that is only just being begun: so each is passed on again until
        its run has ended.
        """
        wishes = await self._execution.to_kill()
        for run_id, reason in wishes:
            await self.kill(run_id, RunStatus.CANCELLED, reason)
        if any(run_id not in self._active for run_id, _ in wishes):
            return CLAIM_SETTLES_S
        return RETRY_S if wishes else self._longest_sleep

    async def _claim(self) -> float:
        """Fill the free slots; how long to sleep if nothing wakes us (seconds).

        Where the last claim filled them there is probably more. Else most wake-ups tell of an end
        behind which nothing is queued: then it looks first, which costs less.
        """
        if self._unsure:
            await self._take_up_claims()
        if self._free <= 0:
            return LONGEST_SLEEP_S
        if not self._had_more:
            has_work, next_due = await self._execution.look()
            if not has_work:
                return self._until(next_due)
        if not self._has_room():
            raise OSError(errno.ENOSPC, "the home's disk is full")
        self._claiming = free = min(self._free, CLAIM_BATCH)
        try:
            claims = await self._execution.claim(limit=free)
        finally:
            self._claiming = 0
        for claim in claims:
            self._begin(claim)
        self._had_more = len(claims) == free
        # The claimed attempts start first; then we look whether there is more.
        return 0 if self._had_more else LAUNCH_PAUSE_S

    async def _take_up_claims(self) -> None:
        """A claim whose commit was not confirmed may be ours all the same: begin its attempt.

        What is followed now was not lost; it may end while the store is asked. Nor is what a
        transaction claims that goes on; none begins while we are unsure.
        """
        doubts = self._doubts
        followed = set(self._active) | self.places.runs()
        for claim, offset in await self._execution.unfinished():
            if claim.run_id not in followed:
                logger.warning("taking up the claim of %s", claim.reference, extra=_ids(claim))
                self._follow(claim, self._executor.adopt(claim, offset))
        self._doubts_settled = doubts  # what came meanwhile is asked again

    def _until(self, due: datetime | None) -> float:
        if due is None:
            return self._longest_sleep
        wait = due - self._clock.now() + timedelta(milliseconds=1)
        return min(max(wait.total_seconds(), 0.01), self._longest_sleep)


def _ids(claim: Claim) -> dict[str, object]:
    """What a line of the log is about."""
    return {"run": claim.reference, "run_id": claim.run_id, "attempt": claim.attempt}
