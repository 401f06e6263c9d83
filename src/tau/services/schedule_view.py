"""Schedules as specs and rows say them, checked, and shown with their next ticks."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from tau.models import Schedule
from tau.repositories.schedule_repo import Scheduled
from tau.schedule.policy import Catchup
from tau.schedule.ticks import TickSpec, parse_spec
from tau.schemas.schedule import ScheduleRead, ScheduleRow

SHOWN_TICKS = 5


def spec_of_file(spec: dict[str, Any]) -> TickSpec | None:
    """The schedule that a pipeline's file declares. Raises TickSpecError, KeyError."""
    zone = spec.get("timezone") or "UTC"
    if spec.get("schedule") is None and spec.get("every") is None:
        if zone != "UTC":
            ZoneInfo(zone)
        return None
    return parse_spec(cron=spec.get("schedule"), every=spec.get("every"), timezone=zone)


def spec_of(schedule: Schedule | None) -> TickSpec | None:
    """The spec that a row holds; None where the pipeline has no schedule."""
    if schedule is None or (schedule.cron is None and schedule.every is None):
        return None
    return TickSpec(cron=schedule.cron, every=schedule.every, timezone=schedule.timezone)


def read_schedule(schedule: Schedule | None, *, now: datetime) -> ScheduleRead | None:
    """The schedule with its next five ticks, in UTC and in its own zone."""
    spec = spec_of(schedule)
    if schedule is None or spec is None:
        return None
    upcoming = spec.next(max(now, schedule.watermark), count=SHOWN_TICKS)
    zone = ZoneInfo(spec.timezone)
    return ScheduleRead(
        cron=spec.cron,
        every=spec.every,
        timezone=spec.timezone,
        enabled=schedule.enabled,
        set_by=schedule.set_by,
        catchup=Catchup(schedule.catchup),
        deadline=schedule.deadline,
        next=upcoming,
        next_local=[tick.astimezone(zone).isoformat() for tick in upcoming],
    )


def read_schedule_row(scheduled: Scheduled, *, now: datetime) -> ScheduleRow:
    schedule = scheduled.schedule
    read = read_schedule(schedule, now=now) if schedule.enabled else None
    return ScheduleRow(
        pipeline=scheduled.pipeline.name,
        schedule=summary(schedule) or "",
        timezone=schedule.timezone,
        enabled=schedule.enabled,
        set_by=schedule.set_by,
        next_fire_at=schedule.next_fire_at,
        next=read.next if read else None,
        next_local=read.next_local if read else None,
    )


def summary(schedule: Schedule | None) -> str | None:
    """One line for lists."""
    if schedule is None:
        return None
    return describe(schedule.cron, schedule.every, schedule.timezone, enabled=schedule.enabled)


def describe(
    cron: str | None, every: float | None, timezone: str | None, *, enabled: bool | None
) -> str | None:
    """`0 6 * * * Europe/Berlin`, `every 3600 s`, `… (disabled)`; None where there is none."""
    if cron is None and every is None:
        return None
    text = f"{cron} {timezone}" if cron else f"every {every:g} s"
    return text if enabled else f"{text} (disabled)"
