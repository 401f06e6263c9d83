"""What is done about ticks that were missed. Pure."""

from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tau.schedule.ticks import TickSpec

MAX_CAUGHT_UP = 100
GRACE = timedelta(seconds=60)
"""A tick that is decided on so soon after its time was not missed."""
MISSED = "missed by"
"""How the reason begins for which a tick is skipped that came too late."""
LOOKBACKS = (timedelta(hours=2), timedelta(days=2), timedelta(days=62), timedelta(days=800))
"""How far back the last ticks are looked for, so that a long absence costs no long search."""


class Catchup(StrEnum):
    """Which of several missed ticks are run: the newest, all (at most 100), or none."""

    LATEST = "latest"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True)
class Tick:
    """A due time and what is done about it: a run, or no run and why."""

    at: datetime
    skipped: str | None = None


@dataclass(frozen=True)
class Decision:
    """The ticks to record, the newest one looked at, and when the next one is due."""

    ticks: list[Tick]
    watermark: datetime
    next_fire_at: datetime


def decide(
    spec: TickSpec, *, after: datetime, now: datetime, catchup: Catchup, deadline: timedelta
) -> Decision:
    """What becomes of the ticks later than `after` that are due at `now`.

    The answer depends on its arguments alone: asked again, late, twice or by two daemons, it is
    the same. With none due yet it only tells the next one.
    """
    wanted = MAX_CAUGHT_UP if catchup is Catchup.ALL else 1
    due: list[datetime] = []
    for lookback in (*LOOKBACKS, now - after):
        start = max(after, now - lookback)
        due, following = _up_to(spec, start, now)
        if len(due) >= wanted or start == after:
            break
    if not due:
        return Decision([], after, following)
    return Decision(_judge(due, now, catchup, deadline), due[-1], following)


def _up_to(spec: TickSpec, start: datetime, now: datetime) -> tuple[list[datetime], datetime]:
    """The last ticks after `start` up to now, and the first one later than now."""
    due: deque[datetime] = deque(maxlen=MAX_CAUGHT_UP)
    ticks = spec.ticks(start)
    for tick in ticks:
        if tick > now:
            return list(due), tick
        due.append(tick)
    raise RuntimeError("a schedule's ticks never end")


def _judge(due: list[datetime], now: datetime, catchup: Catchup, deadline: timedelta) -> list[Tick]:
    newest = due[-1]
    if catchup is Catchup.ALL:
        return [_within(tick, now, deadline) for tick in due]
    if catchup is Catchup.NONE and now - newest > GRACE:
        return [Tick(newest, f"{MISSED} {_span(now - newest)}, and catchup is none")]
    return [_within(newest, now, deadline)]


def _within(tick: datetime, now: datetime, deadline: timedelta) -> Tick:
    late = now - tick
    if late <= deadline:
        return Tick(tick)
    return Tick(tick, f"{MISSED} {_span(late)}; the deadline is {_span(deadline)}")


def _span(span: timedelta) -> str:
    return str(timedelta(seconds=int(span.total_seconds())))
