"""Schedules as specs say them: checked, and shown with their next ticks."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tau.schedule.ticks import TickSpec, parse_spec
from tau.schemas.pipeline import ScheduleRead

SHOWN_TICKS = 5


def spec_of(spec: dict[str, Any]) -> TickSpec | None:
    """The schedule of a pipeline's spec. Raises TickSpecError."""
    zone = spec.get("timezone") or "UTC"
    if spec.get("schedule") is None and spec.get("every") is None:
        if zone != "UTC":
            ZoneInfo(zone)
        return None
    return parse_spec(cron=spec.get("schedule"), every=spec.get("every"), timezone=zone)


def read_schedule(spec: dict[str, Any], *, now: datetime) -> ScheduleRead | None:
    """The schedule with its next five ticks, in UTC and in its own zone."""
    ticks = spec_of(spec)
    if ticks is None:
        return None
    upcoming = ticks.next(now, count=SHOWN_TICKS)
    zone = ZoneInfo(ticks.timezone)
    return ScheduleRead(
        cron=ticks.cron,
        every=ticks.every,
        timezone=ticks.timezone,
        next=upcoming,
        next_local=[tick.astimezone(zone).isoformat() for tick in upcoming],
    )


def summary(spec: dict[str, Any]) -> str | None:
    """One line for lists: `0 6 * * * Europe/Berlin` or `every 3600 s`."""
    if spec.get("every") is not None:
        return f"every {spec['every']:g} s"
    if spec.get("schedule") is not None:
        return f"{spec['schedule']} {spec.get('timezone') or 'UTC'}"
    return None
