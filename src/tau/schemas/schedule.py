"""Schedules on the wire."""

from typing import Annotated, Self

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from tau.pipeline.durations import parse_duration
from tau.schedule.policy import Catchup
from tau.schemas.base import Change, Output, UtcTime

LONGEST_S = 366 * 86_400
Duration = Annotated[
    float, BeforeValidator(parse_duration), Field(gt=0, le=LONGEST_S, allow_inf_nan=False)
]


class ScheduleChange(Change):
    """A change of a pipeline's schedule: a cron or an interval, its rules, on or off, or `clear`.

    `clear` takes back what was set by command: the file's own schedule counts again, if it has
    one. `deadline` is how late a tick may still be run.
    """

    cron: Annotated[str, StringConstraints(min_length=1, max_length=128)] | None = None
    every: Duration | None = None
    timezone: Annotated[str, StringConstraints(max_length=64)] | None = None
    catchup: Catchup | None = None
    deadline: Duration | None = None
    enabled: bool | None = None
    clear: bool = False

    @model_validator(mode="after")
    def _says_one_thing(self) -> Self:
        if self.cron is not None and self.every is not None:
            raise ValueError("a schedule is either a cron expression or an interval")
        rules = (self.cron, self.every, self.timezone, self.catchup, self.deadline, self.enabled)
        if self.clear and any(rule is not None for rule in rules):
            raise ValueError("clear stands alone")
        if not self.clear and all(rule is None for rule in rules):
            raise ValueError("nothing to change was given")
        return self


class ScheduleRead(Output):
    """When a pipeline is due, by whose word, and the next ticks in UTC and in its own zone."""

    cron: str | None = None
    every: float | None = None
    timezone: str
    enabled: bool
    set_by: str
    catchup: Catchup
    deadline: float
    next: list[UtcTime]
    next_local: list[str]


class ScheduleChanged(Output):
    """What a change of a schedule came to, or would come to."""

    pipeline: str
    changed: bool
    dry_run: bool
    schedule: ScheduleRead | None = None
    next: list[str] | None = None


class ScheduleRow(Output):
    """A schedule in a list; one that is disabled has no next ticks."""

    pipeline: str
    schedule: str
    timezone: str
    enabled: bool
    set_by: str
    next_fire_at: UtcTime | None = None
    next: list[UtcTime] | None = None
    next_local: list[str] | None = None


class ScheduleList(Output):
    schedules: list[ScheduleRow]
    total: int
    next_cursor: str | None = None
