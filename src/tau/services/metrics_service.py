"""The daemon's numbers in Prometheus' format, by its own client library.

That is imported at the first scrape: who has no Prometheus does not pay for it. The counters are
bumped elsewhere; the queue is asked of the store, since other daemons fill it too.
"""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from tau import __version__
from tau.core.counters import DURATION_BOUNDS_S, Counters
from tau.core.database import Database
from tau.pipeline.types import RunStatus
from tau.repositories.run_repo import RunRepository

if TYPE_CHECKING:
    from prometheus_client.core import Metric

FINAL = [status for status in RunStatus if status.is_final]
UNFINISHED = [status for status in RunStatus if not status.is_final]


class MetricsService:
    def __init__(
        self, db: Database, *, counters: Counters, slots: int, busy: Callable[[], int]
    ) -> None:
        self._db, self._counters = db, counters
        self._slots, self._busy = slots, busy

    async def read(self) -> tuple[bytes, str]:
        """The text and its content type. Raises StoreUnavailable."""
        async with self._db.read() as session:
            unfinished = await RunRepository(session).count_unfinished()
        from prometheus_client import CollectorRegistry, ProcessCollector
        from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

        registry = CollectorRegistry()
        registry.register(_Collected([*self._totals(), *self._now(unfinished)]))
        ProcessCollector(registry=registry)
        return generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4

    def _totals(self) -> "Iterable[Metric]":
        """What only grows; every status is there from the start, so that rates have a zero."""
        from prometheus_client.core import CounterMetricFamily as Total

        told = self._counters
        runs = Total("tau_runs_finished", "Runs by final status.", labels=["status"])
        for status in FINAL:
            runs.add_metric([status], told.runs[status])
        ticks = Total("tau_ticks", "Ticks of schedules by what they became.", labels=["became"])
        for became in ("run", "skipped"):
            ticks.add_metric([became], told.ticks[became])
        requests = Total(
            "tau_http_requests",
            "Requests by method, route and status.",
            labels=["method", "route", "status"],
        )
        for (method, route, status_code), count in sorted(told.requests.items()):
            requests.add_metric([method, route, str(status_code)], count)
        yield from (runs, ticks, requests)
        yield Total("tau_attempts_started", "Attempts claimed.", value=told.attempts)
        yield Total("tau_ticks_late", "Ticks more than 5 s late.", value=told.late_ticks)
        yield Total("tau_event_batches", "Transactions of what attempts told.", value=told.batches)
        yield Total("tau_events", "Events that attempts told.", value=told.events)
        yield self._durations()

    def _durations(self) -> "Metric":
        from prometheus_client.core import HistogramMetricFamily

        durations, below = self._counters.durations, 0
        buckets = []
        bounds = (*(f"{bound:g}" for bound in DURATION_BOUNDS_S), "+Inf")
        for bound, count in zip(bounds, durations.buckets, strict=True):
            below += count
            buckets.append((bound, below))
        return HistogramMetricFamily(
            "tau_attempt_duration_seconds",
            "From the start of user code to the attempt's end.",
            buckets=buckets,
            sum_value=durations.seconds,
        )

    def _now(self, unfinished: dict[str, int]) -> "Iterable[Metric]":
        """What goes up and down."""
        from prometheus_client.core import GaugeMetricFamily as Gauge

        runs = Gauge("tau_runs", "Unfinished runs in the store by status.", labels=["status"])
        for status in UNFINISHED:
            runs.add_metric([status], unfinished.get(status, 0))
        queued = sum(unfinished.get(status, 0) for status in ("queued", "retrying"))
        build = Gauge("tau_build_info", "What runs here.", labels=["version", "store"])
        build.add_metric([__version__, self._db.kind], 1)
        yield from (runs, build)
        yield Gauge("tau_queue_length", "Runs that wait for a slot or a time.", value=queued)
        yield Gauge("tau_attempts_running", "Attempts executing here.", value=self._busy())
        yield Gauge("tau_slots", "Attempts that may execute here at once.", value=self._slots)


class _Collected:
    """Families that are known already, as a collector."""

    def __init__(self, families: "list[Metric]") -> None:
        self._families = families

    def collect(self) -> "Iterable[Metric]":
        return self._families
