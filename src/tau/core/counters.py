"""What this daemon has done since its start: plain numbers in this process, for /metrics.

They are bumped on the event loop, next to what they count: an addition, no lock and no library.
"""

from bisect import bisect_left
from collections import Counter
from datetime import timedelta

DURATION_BOUNDS_S = (0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600, 14_400)
LATE = timedelta(seconds=5)
"""A tick that becomes a run later than that after its due time counts as late."""


class Durations:
    """How many attempts took how long; the last bucket holds what is beyond all bounds."""

    def __init__(self) -> None:
        self.buckets = [0] * (len(DURATION_BOUNDS_S) + 1)
        self.seconds = 0.0

    def add(self, seconds: float) -> None:
        self.buckets[bisect_left(DURATION_BOUNDS_S, seconds)] += 1
        self.seconds += seconds


class Counters:
    """One set for each daemon, given to whoever does what is counted."""

    def __init__(self) -> None:
        self.runs: Counter[str] = Counter()
        """By final status: those that reached it here."""
        self.attempts = 0
        self.durations = Durations()
        self.ticks: Counter[str] = Counter()
        """By what they became: `run` or `skipped`."""
        self.late_ticks = 0
        self.batches = 0
        self.events = 0
        self.requests: Counter[tuple[str, str, int]] = Counter()
        """By method, the route's template and status."""
