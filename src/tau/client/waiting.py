"""Waiting for a run's end by long polls, through moments in which the daemon is away."""

import time
from collections.abc import Callable
from typing import Any, Protocol

from tau.errors import Interrupted, TauError, UnavailableError, WaitTimeout

JsonObject = dict[str, Any]
FINAL_STATUSES = frozenset({"success", "failed", "timeout", "cancelled", "skipped", "crashed"})

_POLL_S = 25
_PROGRESS_POLL_S = 1
_AWAY_S = 15.0
"""How long a daemon may be away while a run is waited for: a restart takes seconds."""
_PAUSE_S = 0.2


class GetRun(Protocol):
    """Gives the run at its end or after `wait_s` seconds."""

    def __call__(self, run: str, *, wait_s: int) -> JsonObject: ...


def wait_for_end(
    get_run: GetRun, run: str, *, timeout: float | None,
    on_progress: Callable[[JsonObject], None] | None, last_seen: JsonObject | None,
) -> JsonObject:  # fmt: skip
    """The run in its final state. Raises WaitTimeout, Interrupted, or what `get_run` raises;
    each names the run that goes on."""
    deadline = None if timeout is None else time.monotonic() + timeout
    poll_s = _PROGRESS_POLL_S if on_progress else _POLL_S
    watch = _Watch(get_run, run, seen=last_seen, poll_s=poll_s)
    try:
        while not watch.is_over:
            left = None if deadline is None else deadline - time.monotonic()
            watch.look(left)
            if on_progress and watch.seen:
                on_progress(watch.seen)
            if not watch.is_over and left is not None and left <= 0:
                raise WaitTimeout(f"Gave up waiting for {watch.name} after {timeout:g} s.")
    except KeyboardInterrupt:
        raise watch.naming(Interrupted(f"Interrupted; {watch.name} goes on.")) from None
    except TauError as error:
        watch.naming(error)
        raise
    return watch.seen or {}


class _Watch:
    """What is known of the run that is waited for."""

    def __init__(self, get_run: GetRun, run: str, *, seen: JsonObject | None, poll_s: int) -> None:
        self.seen = seen
        self._get_run = get_run
        self._run = run
        self._poll_s = poll_s
        self._away_since: float | None = None

    @property
    def is_over(self) -> bool:
        return self.seen is not None and self.seen.get("status") in FINAL_STATUSES

    @property
    def name(self) -> str:
        return str((self.seen or {}).get("run", self._run))

    def look(self, left: float | None) -> None:
        """Ask once, held by the daemon for as long as there is time `left`."""
        # By its id once that is known: NAME@last may be another run by then.
        run = str((self.seen or {}).get("id", self._run))
        poll = self._poll_s if left is None else max(0, min(self._poll_s, int(left + 0.999)))
        begin = time.monotonic()
        try:
            self.seen = self._get_run(run, wait_s=poll)
            self._away_since = None
        except UnavailableError:
            if self._is_gone(left):
                raise
        # An answer that was not held would make this a busy loop.
        early = poll and not self.is_over and time.monotonic() - begin < min(poll, _PAUSE_S)
        if early:
            time.sleep(_PAUSE_S)

    def naming(self, error: TauError) -> TauError:
        """The error with the run it is about, once that is known to exist."""
        if self.seen:
            facts = {key: self.seen[key] for key in ("run", "id", "status") if key in self.seen}
            error.details = facts | error.details
            error.next = error.next or [f"tau wait {self.name}"]
        return error

    def _is_gone(self, left: float | None) -> bool:
        """Whether a daemon that does not answer is no longer to be waited for."""
        now = time.monotonic()
        self._away_since = self._away_since or now
        too_long = now - self._away_since > _AWAY_S
        return self.seen is None or too_long or (left is not None and left <= 0)
