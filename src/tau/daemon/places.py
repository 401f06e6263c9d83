"""Free slots for runs that are only just being queued: claimed and committed with their row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tau.core.database import Session
from tau.models import Run
from tau.services.execution_service import ExecutionService
from tau.services.outcome import Claim
from tau.services.slots import Place


class Places:
    """Lends slots to transactions that queue runs.

    `begin` is called with a claim whose commit is durable, `broken` when a transaction with a
    place failed: with True where it had claimed a run, of which nobody knows whether it is ours.
    """

    def __init__(
        self,
        execution: ExecutionService,
        *,
        is_free: Callable[[], bool],
        begin: Callable[[Claim], None],
        broken: Callable[[bool], None],
    ) -> None:
        self._execution, self._is_free = execution, is_free
        self._begin, self._broken = begin, broken
        self._open: set[_Slot] = set()

    @property
    def lent(self) -> int:
        """How many slots transactions have that go on."""
        return len(self._open)

    def runs(self) -> set[str]:
        """The runs that are claimed by transactions which have not ended."""
        return {slot.claim.run_id for slot in self._open if slot.claim is not None}

    @contextmanager
    def place(self) -> Iterator[Place]:
        """A slot, if there is one, for one transaction."""
        if not self._is_free():
            yield Place()
            return
        slot = _Slot(self._execution, self._begin)
        self._open.add(slot)
        try:
            yield slot
        except BaseException:
            self._open.discard(slot)
            self._broken(slot.is_taken)
            raise
        finally:
            self._open.discard(slot)


class _Slot(Place):
    """One slot that is lent."""

    def __init__(self, execution: ExecutionService, begin: Callable[[Claim], None]) -> None:
        self._execution, self._begin = execution, begin
        self.claim: Claim | None = None

    @property
    def is_taken(self) -> bool:
        return self.claim is not None

    async def take(self, session: Session, run: Run) -> None:
        claim = self.claim = await self._execution.claim_new(session, run)
        if claim is not None:
            session.after_commit(lambda: self._begin(claim))
