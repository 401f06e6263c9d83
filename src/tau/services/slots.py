"""The port to whoever executes runs here: a free slot begins a run with the commit that queues it.

So the first line of a run depends on one durable commit, not on a second one for its claim. What
is claimed is what the queue would have given next; where that is not sure, the run just waits.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from tau.core.database import Session
from tau.models import Run


class Place:
    """What a run gets that is being queued: here, no slot."""

    @property
    def is_taken(self) -> bool:
        """Whether the run was claimed, and begins once the transaction is durable."""
        return False

    async def take(self, session: Session, run: Run) -> None:
        """Claim the run in the transaction that queues it, if it is the only one in the queue."""


class Slots(Protocol):
    """Who has slots to give."""

    def place(self) -> AbstractContextManager[Place]:
        """A place for one run, held until the transaction inside has ended, however it ends."""
        ...


class NoSlots:
    """Of a process that executes nothing."""

    @contextmanager
    def place(self) -> Iterator[Place]:
        yield Place()
