"""The port between who owns a run's life and the place where an attempt executes.

A worker turns a `JobRequest` into processes, delivers what they say to a listener, and answers
with the `ExitRecord`. It knows no database and no HTTP framework. What it promises:

- User code of one (run, attempt) starts at most once, whatever is called twice or crashes.
- Events arrive in the order of their `seq`, each at least once; `offset` counts the bytes of the
  spool that were delivered, and a later delivery starts where the caller says it has got to.
- All events have been delivered before `run` or `adopt` returns, and then no process of the
  attempt is left.
- `kill` is a wish: the attempt ends with the given status unless it has ended already.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tau.pipeline.protocol import ExitRecord, JobRequest, JsonObject


class LaunchRefused(Exception):  # noqa: N818
    """No user code was started and none will be for this attempt; the run may be queued again."""


class AttemptLost(Exception):  # noqa: N818
    """The attempt's processes are gone without a record of how they ended."""


class AttemptUnknown(AttemptLost):
    """There is no trace of the attempt: it was never begun, or what it left was deleted."""


class WorkerStopped(Exception):  # noqa: N818
    """The worker was stopped and has let go of the attempt, which goes on and can be adopted."""


@dataclass(frozen=True)
class Answer:
    """The answer to a request of the child.

    A value with `secret` facts about it (its name, never itself) is redacted from then on, and an
    event of the attempt tells them.
    """

    value: Any
    secret: JsonObject | None = None


class AttemptListener(Protocol):
    """What the owner of the run hears of one attempt."""

    async def started(self, *, supervisor_pid: int, child_pid: int | None) -> None:
        """The supervisor holds the attempt's lock and user code is about to run.

        Called again with the same pids when a supervisor attaches anew.
        """

    async def events(self, lines: Sequence[bytes], *, offset: int) -> None:
        """Complete lines of the spool, without their newlines; `offset` is the place after them.

        The worker waits for the return before it delivers more: this is the back pressure.
        """

    async def request(self, op: str, args: dict[str, Any]) -> Answer:
        """The child asks for something; a `TauError` raised here reaches the child as data."""
        ...


class Worker(Protocol):
    """A place where attempts execute."""

    async def start(self) -> None:
        """Get ready to run attempts."""

    async def stop(self) -> None:
        """Let go of running attempts without ending them, and free what the worker holds."""

    async def run(self, request: JobRequest, listener: AttemptListener) -> ExitRecord:
        """Execute one attempt to its end. Raises LaunchRefused, AttemptLost or WorkerStopped."""
        ...

    async def adopt(
        self, run_id: str, attempt: int, listener: AttemptListener, *, offset: int
    ) -> ExitRecord:
        """Follow an attempt that an earlier daemon started, from `offset` of its spool.

        Raises AttemptLost where its processes are proven dead without a record, AttemptUnknown
        where nothing is known of it, LaunchRefused where they never came to start user code, or
        WorkerStopped.
        """
        ...

    async def kill(self, run_id: str, attempt: int, *, status: str, reason: str) -> None:
        """Ask for the end of the attempt's whole process tree."""

    def renew(self) -> None:
        """Say to all attempts that their owner lives; one with a leash ends itself without."""

    def forget(self, run_id: str, attempt: int) -> None:
        """Have deleted what the attempt left on disk; called once its outcome is committed."""

    def forget_all_but(self, kept: Collection[tuple[str, int]]) -> None:
        """Forget what an earlier daemon had no time to: each attempt that nobody waits for."""
