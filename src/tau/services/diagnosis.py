"""What is wrong with a daemon, by its vital signs. Pure: no store, no clock of its own."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from tau.schemas.status import QueueRead, Wrong

LOW_SPACE_BYTES = 256 * 1024 * 1024
STUCK_S = 60
OVERDUE = timedelta(seconds=60)
SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Vitals:
    """`queue.oldest_s` and `next_tick` are compared with `now`; `failing` are pipelines' names."""

    troubles: Sequence[str]
    free_bytes: int
    queue: QueueRead
    free_slots: int
    next_tick: datetime | None
    failing: Sequence[str]
    now: datetime


def find_wrong(vitals: Vitals) -> list[Wrong]:
    """The worst first."""
    return list(_wrong(vitals))


def _wrong(vitals: Vitals) -> Iterator[Wrong]:
    for trouble in vitals.troubles:
        yield Wrong(what="daemon", message=f"{trouble}.", next=["taud doctor"])
    if vitals.free_bytes < LOW_SPACE_BYTES:
        yield Wrong(
            what="disk",
            message=f"{vitals.free_bytes // 1024**2} MiB are free on the home's disk.",
            next=["tau db stats", "tau db cleanup --days 30 --dry-run"],
        )
    if vitals.next_tick is not None and vitals.now - vitals.next_tick > OVERDUE:
        late = int((vitals.now - vitals.next_tick).total_seconds())
        yield Wrong(
            what="scheduler",
            message=f"A tick is {late} s late: the scheduler does not come to it.",
            next=["tau schedules", "taud doctor"],
        )
    waits = vitals.queue.oldest_s or 0
    if waits > STUCK_S and vitals.free_slots > 0:
        yield Wrong(
            what="queue",
            message=f"A run has been waiting for {waits} s although {vitals.free_slots} slots are "
            "free: a limit of its pipeline holds it back, or runs can't be started.",
            next=["tau runs --status queued --status retrying"],
        )
    if vitals.failing:
        names = ", ".join(vitals.failing[:SHOWN])
        more = ", …" if len(vitals.failing) > SHOWN else ""
        yield Wrong(
            what="pipelines", message=f"The last run failed of: {names}{more}.", next=["tau errors"]
        )
