"""Wake-ups inside one daemon: who waits for a run hears of a change right after its commit.

They are hints: the row is the truth, so a waiter that hears nothing looks again by itself.
"""

import asyncio
from collections import defaultdict

NEW_WORK = "work"
"""Topic of the dispatcher: a run may have become claimable."""
SCHEDULES = "schedules"
"""Topic of the scheduler: the next due time may have changed."""
CANCEL = "cancel"
"""Topic of the dispatcher: somebody wants a run to end that has started."""

OUTBOX = "outbox"
"""Topic of the courier: there may be something to tell people."""


class Signals:
    """Topics (a run's id, or `NEW_WORK`) and those who wait for them; of one event loop."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[asyncio.Future[None]]] = defaultdict(set)
        self._closed = False

    @property
    def closed(self) -> bool:
        """Whether the daemon is stopping: waiters are let go at once."""
        return self._closed

    def notify(self, topic: str) -> None:
        for waiter in self._waiters.pop(topic, ()):
            if not waiter.done():
                waiter.set_result(None)

    def close(self) -> None:
        self._closed = True
        for topic in list(self._waiters):
            self.notify(topic)

    def listen(self, topic: str) -> asyncio.Future[None]:
        """A future that the next notify ends; take it before looking at the row."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._closed:
            waiter.set_result(None)
            return waiter
        self._waiters[topic].add(waiter)
        waiter.add_done_callback(lambda w: self._forget(topic, w))
        return waiter

    async def wait(self, waiter: asyncio.Future[None], *, within: float) -> bool:
        """Whether it was notified in time (seconds)."""
        done, _ = await asyncio.wait({waiter}, timeout=max(within, 0))
        if not done:
            waiter.cancel()
        return bool(done)

    def _forget(self, topic: str, waiter: asyncio.Future[None]) -> None:
        waiters = self._waiters.get(topic)
        if waiters is not None:
            waiters.discard(waiter)
            if not waiters:
                del self._waiters[topic]
