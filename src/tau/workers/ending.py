"""How the end of an attempt is brought about: a look at the stacks, a request, then force."""

import signal
from dataclasses import dataclass

from tau.workers import killtree

_DUMP_S = 0.1


@dataclass(frozen=True)
class End:
    """Why an attempt is ended from outside, and as what."""

    status: str
    reason: str


class Ending:
    """The steps towards the end of one child: SIGUSR2 at a timeout, SIGTERM, SIGKILL.

    The child must not be reaped before its end is seen here: its pid is signalled.
    """

    def __init__(self, child_pid: int, *, grace_s: float) -> None:
        self._child_pid = child_pid
        self._grace_s = grace_s
        self._next_signal: int | None = None
        self.due: float | None = None
        """When `step` has something to do, on the monotonic clock; None for never."""
        self.end: End | None = None
        """Set at the first call of `begin`: later wishes change nothing."""

    @property
    def has_begun(self) -> bool:
        return self._next_signal is not None

    def begin(self, now: float, end: End | None, *, dump: bool = False) -> None:
        """Start to end the child; None as `end` leaves its own outcome standing."""
        if self.has_begun:
            return
        self.end = end
        if dump:
            killtree.send(self._child_pid, signal.SIGUSR2)
        self._next_signal = signal.SIGTERM
        self.due = now + _DUMP_S if dump else now

    def step(self, now: float) -> None:
        """Send what is due; called on every pass, however busy it is."""
        if self.due is None or now < self.due:
            return
        if self._next_signal == signal.SIGTERM:
            killtree.send_group(self._child_pid, signal.SIGTERM)
            self._next_signal = signal.SIGKILL
            self.due = now + self._grace_s
        else:
            killtree.send(self._child_pid, signal.SIGKILL)  # its descendants follow once it is gone
            self.due = None
