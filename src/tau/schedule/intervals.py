"""Spans of data time as people write them: dates and times in a pipeline's zone. Pure."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo


def parse_moment(text: str, *, zone: str, is_end: bool) -> datetime:
    """An ISO date or datetime as an aware UTC datetime.

    Without an offset it is in `zone`. A bare date is its midnight; as an end it includes its
    day, so it is the next midnight. Raises ValueError.
    """
    local = ZoneInfo(zone)
    try:
        day = date.fromisoformat(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
    else:
        if is_end:
            day += timedelta(days=1)
        moment = datetime(day.year, day.month, day.day)
    return (moment if moment.tzinfo else moment.replace(tzinfo=local)).astimezone(UTC)
