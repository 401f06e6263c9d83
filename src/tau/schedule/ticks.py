"""Cron and interval specs → times. Pure; `cronsim` has Debian cron's rules, also at DST changes.

Accepted: exactly five cron fields, or @hourly @daily @weekly @monthly @yearly, in an IANA zone;
or an interval in seconds, anchored to the epoch so that it does not depend on the last run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

NAMED = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}


class TickSpecError(ValueError):
    """The cron expression, interval or time zone is not valid; the message says which and why."""


@dataclass(frozen=True)
class TickSpec:
    """When something is due: `cron` in `timezone`, or `every` seconds."""

    cron: str | None
    every: float | None
    timezone: str

    def ticks(self, after: datetime) -> Iterator[datetime]:
        """The due times later than `after`, rising, aware, UTC; endless."""
        if self.every is not None:
            return _interval_ticks(self.every, after)
        return _cron_ticks(str(self.cron), ZoneInfo(self.timezone), after)

    def next(self, after: datetime, *, count: int) -> list[datetime]:
        return list(islice(self.ticks(after), count))


def parse_spec(*, cron: str | None, every: float | None, timezone: str) -> TickSpec:
    """A spec that is known to have ticks. Raises TickSpecError."""
    if (cron is None) == (every is None):
        raise TickSpecError("a schedule is either a cron expression or an interval")
    zone = _zone(timezone)
    if every is not None:
        if not 1 <= every <= 366 * 86400:
            raise TickSpecError(f"an interval of {every:g} s is not between 1 s and 366 days")
        return TickSpec(cron=None, every=every, timezone=timezone)
    text = " ".join(str(cron).split())
    fields = NAMED.get(text, text)
    if len(fields.split(" ")) != 5:
        raise TickSpecError(
            f"{cron!r} has {len(fields.split())} fields; five are needed: "
            "minute hour day-of-month month day-of-week"
        )
    try:
        next(CronSim(fields, datetime.now(zone)))
    except (CronSimError, StopIteration) as error:
        raise TickSpecError(f"{cron!r}: {error or 'never due'}") from error
    return TickSpec(cron=text, every=None, timezone=timezone)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise TickSpecError(f"{name!r} is no IANA time zone, such as Europe/Berlin") from error


def _cron_ticks(cron: str, zone: ZoneInfo, after: datetime) -> Iterator[datetime]:
    for local in CronSim(NAMED.get(cron, cron), after.astimezone(zone)):
        yield local.astimezone(UTC)


def _interval_ticks(every: float, after: datetime) -> Iterator[datetime]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    count = int((after - epoch).total_seconds() // every)
    while True:
        count += 1
        tick = epoch + timedelta(seconds=count * every)
        if tick > after:
            yield tick
