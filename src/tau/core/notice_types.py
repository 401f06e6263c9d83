"""What the daemon tells people of by itself."""

from enum import StrEnum


class NoticeType(StrEnum):
    """The kinds of event that go to webhooks and to the services of [notify]."""

    RUN_FAILED = "run.failed"
    RUN_RECOVERED = "run.recovered"
    RUN_LATE = "run.late"
    SCHEDULE_PAUSED = "schedule.paused"


TEST = "test"
"""The type of what is sent on request only, to see whether it arrives."""
