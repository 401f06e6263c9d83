"""The task that delivers what is in the outbox, and looks out for runs that are late."""

import asyncio
import logging
from collections import Counter
from datetime import timedelta

from tau.core.clock import Clock
from tau.core.signals import OUTBOX, Signals
from tau.daemon.trouble import Trouble
from tau.repositories.outbox_repo import Claimed
from tau.services.delivery_service import DeliveryService
from tau.services.late_service import LateService

logger = logging.getLogger("tau.courier")

AT_ONCE = 8
LOOK_S = 15.0
LONGEST_WAIT_S = 15.0
"""Another daemon's messages, and a clock that was set, are seen after so long at the latest."""
RETRY_S = 1.0


class Courier:
    def __init__(
        self, deliveries: DeliveryService, late: LateService, *, clock: Clock, signals: Signals
    ) -> None:
        self._deliveries, self._late = deliveries, late
        self._clock, self._signals = clock, signals
        self._under_way: dict[asyncio.Task[None], str] = {}
        self._loops: list[asyncio.Task[None]] = []
        self._trouble = Trouble(logger, "the outbox can't be read")
        self._blind = Trouble(logger, "runs that are late can't be looked for")

    @property
    def troubles(self) -> list[Trouble]:
        return [self._trouble, self._blind]

    async def start(self) -> None:
        """Take up what an earlier life left. Raises StoreUnavailable."""
        await self._deliveries.release()
        self._loops = [
            asyncio.create_task(self._deliver(), name="courier"),
            asyncio.create_task(self._look(), name="late runs"),
        ]

    async def stop(self) -> None:
        """What is under way is cut off: it is sent again by the next daemon, under its id."""
        tasks = [*self._loops, *self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _deliver(self) -> None:
        while True:
            # Before the look, so that what comes in meanwhile is not slept over.
            word = self._signals.listen(OUTBOX)
            try:
                seconds = await self._send_due()
                self._trouble.over()
            except Exception as error:
                # Whatever it was: without this task nobody would be told of anything.
                self._trouble.met(error)
                seconds = RETRY_S
            await self._signals.wait(word, within=seconds)
            if self._signals.closed:
                return

    async def _send_due(self) -> float:
        """Send what is due, as far as there is room; how long to wait for more."""
        room = AT_ONCE - len(self._under_way)
        if room <= 0:
            return LONGEST_WAIT_S
        due = await self._deliveries.next_at()
        if due is None:
            return LONGEST_WAIT_S
        wait = (due - self._clock.now()) / timedelta(seconds=1)
        if wait > 0:
            return min(wait, LONGEST_WAIT_S)
        busy = dict(Counter(self._under_way.values()))
        claimed = await self._deliveries.claim(limit=room, busy=busy)
        for message in claimed:
            task = asyncio.create_task(self._send(message), name=f"deliver {message.event_id}")
            self._under_way[task] = message.target
            task.add_done_callback(self._over)
        # Nothing to claim though it is due: its target is busy, or another daemon has it.
        return 0 if claimed else RETRY_S

    async def _send(self, message: Claimed) -> None:
        try:
            sent = await self._deliveries.deliver(message)
        except Exception as error:
            # Its claim runs out, and it is sent again.
            logger.warning("%s could not be told of %s: %s", message.target, message.type, error)
            return
        if not sent.delivered:
            logger.warning(
                "%s %s was not told of %s (attempt %d): %s",
                message.channel, message.target, message.type, message.attempt, sent.error,
            )  # fmt: skip

    def _over(self, task: "asyncio.Task[None]") -> None:
        self._under_way.pop(task, None)
        self._signals.notify(OUTBOX)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self._late.look()
                self._blind.over()
            except Exception as error:
                self._blind.met(error)
