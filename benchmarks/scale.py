"""A store with 1,000,000 runs and 10,000 schedules: lookups, restart, ticks, idle CPU."""

import json
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, Goal, Samples, one
from benchmarks.processes import cpu_of, tree_of
from benchmarks.server import Daemon
from benchmarks.worker_alone import SOURCE

RUNS, SCHEDULES, DUE = 1_000_000, 10_000, 1_000
WARM_UPS, REQUESTS, RESTARTS = 5, 100, 3
SETTLE_S, WINDOW_S, WINDOWS = 3.0, 5.0, 3
LEAD_S, POLL_S, PATIENCE_S, SINGLES = 12.0, 0.002, 200.0, 5
MILLISECOND = timedelta(milliseconds=1)
DAYS = 80
STATUSES = ("success",) * 90 + ("failed",) * 7 + ("timeout", "cancelled", "skipped")
DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"
LOOKUPS = {
    "the newest runs": "/runs",
    "the newest runs of one pipeline": "/runs?pipeline=p_00042",
    "failed runs": "/runs?status=failed",
    "running runs": "/runs?status=running",
    "errors": "/errors",
    "errors of a day": "/errors?since=24h",
    "errors of one pipeline": "/errors?pipeline=p_00042",
    "a last run": "/runs/p_00042@last",
    "a last failed run": "/runs/p_00042@last-failed",
    "a last success": "/runs/p_00042@last-success",
    "a pipeline": "/pipelines/p_00042",
}
LISTS = {"pipelines": "/pipelines", "schedules": "/schedules", "status": "/status"}


def measure() -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        home = Path(folder) / "home"
        with Daemon(home) as daemon:
            daemon.deploy(SOURCE, "trivial.py")
        fill(home / "tau.db")
        starts = []
        for _ in range(RESTARTS):
            with Daemon(home) as daemon:
                starts.append(daemon.first_answer_ms)
        with Daemon(home) as daemon:
            lookups = {name: _times(daemon, path) for name, path in LOOKUPS.items()}
            lists = {name: _times(daemon, path) for name, path in LISTS.items()}
            time.sleep(SETTLE_S)
            idle = Samples([_cpu_share(daemon.process.pid) for _ in range(WINDOWS)])
        single = Samples([lag for _ in range(SINGLES) for lag in _lags(home, _over_a_minute(1))])
        spread, lags = Samples(_lags(home, _over_a_minute())), Samples(_lags(home, _at_once()))
    slowest = max(samples.p95 for samples in lookups.values())
    of = f"of {RUNS:,} runs"
    return [
        *(Figure(f"{name}, {of}", "ms", samples) for name, samples in lookups.items()),
        Figure("the slowest p95 of these", "ms", one(slowest), goal=Goal(at_most=20)),
        *(Figure(f"{name}, {of}", "ms", samples) for name, samples in lists.items()),
        Figure(f"restart, {of}", "ms", Samples(starts), goal=Goal(at_most=3000)),
        Figure(f"idle CPU, {SCHEDULES:,} schedules", "%", idle, goal=Goal(at_most=3)),
        Figure("one tick to its stored run", "ms", single, goal=Goal(at_most=100)),
        Figure(f"{DUE:,} ticks within a minute, each to its stored run", "ms", spread),
        Figure("99 % of these", "ms", one(_latest(spread)), goal=Goal(at_most=1000)),
        Figure(f"{DUE:,} ticks at the same moment, each to its stored run", "ms", lags),
        Figure("99 % of these", "ms", one(_latest(lags)), goal=Goal(at_most=1000)),
    ]


def _latest(lags: Samples) -> float:
    """What 99 % of them are below."""
    return sorted(lags.values)[-max(len(lags.values) // 100, 1)]


def fill(path: Path) -> None:
    """Copies of the one pipeline with a schedule far ahead each, and runs of the last weeks."""
    with closing(sqlite3.connect(path)) as store:
        store.row_factory = sqlite3.Row
        store.execute("PRAGMA synchronous=OFF")
        _copy_pipelines(store)
        _insert(store, "runs", _runs())
        _insert(store, "attempts", _attempts())
        store.commit()


def _copy_pipelines(store: sqlite3.Connection) -> None:
    pipeline = dict(store.execute("SELECT * FROM pipelines").fetchone())
    version = dict(store.execute("SELECT * FROM versions").fetchone())
    spec = json.loads(version["spec"])
    names = [f"p_{number:05d}" for number in range(SCHEDULES)]
    each = RUNS // SCHEDULES
    _insert(store, "pipelines", (pipeline | {"id": n, "name": n, "run_count": each} for n in names))
    specs = (json.dumps(spec | {"name": name, "declared_name": spec["name"]}) for name in names)
    _insert(
        store,
        "versions",
        (version | {"pipeline_id": n, "spec": s} for n, s in zip(names, specs, strict=True)),
    )
    now, ahead = _text(datetime.now(UTC)), datetime.now(UTC) + timedelta(days=30)
    _insert(
        store,
        "schedules",
        (
            {
                "id": name, "pipeline_id": name, "name": "default", "cron": "0 0 1 1 *",
                "timezone": "UTC", "enabled": 1, "set_by": "file", "catchup": "latest",
                "deadline": 3600.0, "next_fire_at": _text(ahead + timedelta(seconds=number)),
                "watermark": now, "generation": 1, "created_at": now, "updated_at": now,
                "tenant_id": "default",
            }
            for number, name in enumerate(names)
        ),
    )  # fmt: skip


def _runs() -> Iterator[dict[str, Any]]:
    begin = datetime.now(UTC) - timedelta(days=DAYS)
    step = timedelta(days=DAYS) / RUNS
    for index in range(RUNS):
        number, which = divmod(index, SCHEDULES)
        at, status = begin + step * index, STATUSES[(index * 31 + index // 97) % 100]
        name, text = f"p_{which:05d}", _text(at)
        bad = status in ("failed", "timeout")
        yield {
            "id": _run_id(at, index), "tenant_id": "default", "pipeline_id": name,
            "pipeline_name": name, "number": number + 1, "version": 1, "status": status,
            "status_reason": "ValueError: no such column" if bad else None, "trigger": "schedule",
            "params": "{}", "schedule_id": name, "scheduled_for": text, "priority": 0,
            "created_at": text, "available_at": text, "started_at": text, "finished_at": text,
            "owner": "node", "fence": 1, "attempt": 1, "max_attempts": 1, "launch_failures": 0,
            "failure": '{"type":"ValueError","message":"no such column"}' if bad else None,
            "fingerprint": f"{which % 50:016x}" if bad else None, "requested_by": "scheduler",
        }  # fmt: skip


def _attempts() -> Iterator[dict[str, Any]]:
    for run in _runs():
        at = run["created_at"]
        yield {
            "run_id": run["id"], "number": 1, "fence": 1, "owner": "node", "status": run["status"],
            "claimed_at": at, "started_at": at, "finished_at": at, "spool_offset": 100,
            "log_lines": 1, "log_warnings": 0, "log_errors": 0,
        }  # fmt: skip


def _run_id(at: datetime, index: int) -> str:
    """A ULID of that time: 10 characters of milliseconds, and the rest counts."""
    number, digits = int(at.timestamp() * 1000), ""
    for _ in range(10):
        number, digit = divmod(number, 32)
        digits = DIGITS[digit] + digits
    return f"{digits}{index:016d}"


def _insert(store: sqlite3.Connection, table: str, rows: Iterator[dict[str, Any]]) -> None:
    first = next(rows)
    columns, marks = ", ".join(f'"{name}"' for name in first), ", ".join("?" * len(first))
    statement = f"INSERT INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608
    store.execute(statement, list(first.values()))
    store.executemany(statement, (list(row.values()) for row in rows))


def _text(moment: datetime) -> str:
    return moment.replace(tzinfo=None).isoformat(" ", "microseconds")


def _times(daemon: Daemon, path: str) -> Samples:
    """Milliseconds of each of many requests, one after the other."""
    found = []
    with daemon.connect() as connection:
        for _ in range(WARM_UPS + REQUESTS):
            begin = time.perf_counter()
            connection.call("GET", f"/api/v1{path}")
            found.append((time.perf_counter() - begin) * 1e3)
    return Samples(found[WARM_UPS:])


def _cpu_share(pid: int) -> float:
    pids = tree_of(pid)
    before = sum(cpu_of(member).own for member in pids)
    time.sleep(WINDOW_S)
    spent = sum(cpu_of(member).own for member in pids) - before
    return spent / (WINDOW_S * 1e3) * 100


def _at_once() -> list[dict[str, Any]]:
    """A cron for each of many schedules, all due at the next minute that is not too soon."""
    first = datetime.now(UTC) + timedelta(seconds=LEAD_S)
    moment = first.replace(second=0, microsecond=0) + timedelta(minutes=1)
    return [_planned(moment, cron=f"{moment.minute} {moment.hour} * * *")] * DUE


def _over_a_minute(count: int = DUE) -> list[dict[str, Any]]:
    """Intervals of a day or so, a tick of each of which falls into one minute, evenly spread."""
    first = datetime.now(UTC) + timedelta(seconds=LEAD_S)
    moments = (first + timedelta(seconds=60 * number / count) for number in range(count))
    day = 86_400.0
    return [
        _planned(moment, every=moment.timestamp() / round(moment.timestamp() / day))
        for moment in moments
    ]


def _planned(moment: datetime, *, cron: str | None = None, every: float | None = None) -> Any:
    now = _text(datetime.now(UTC))
    return {"cron": cron, "every": every, "next_fire_at": _text(moment), "watermark": now}


def _lags(home: Path, plans: list[dict[str, Any]]) -> list[float]:
    """Milliseconds from the due time of each tick to when its run can be read; all runs end."""
    with closing(sqlite3.connect(home / "tau.db")) as store:
        names = store.execute("SELECT id FROM schedules ORDER BY id LIMIT ?", (len(plans),))
        store.executemany(
            "UPDATE schedules SET cron = :cron, every = :every, next_fire_at = :next_fire_at,"
            " watermark = :watermark, covered_until = NULL WHERE id = :id",
            [plan | {"id": name} for plan, (name,) in zip(plans, names.fetchall(), strict=True)],
        )
        store.commit()
        last: str = store.execute("SELECT max(id) FROM runs").fetchone()[0]
    with Daemon(home) as daemon, closing(sqlite3.connect(home / "tau.db")) as store:
        assert daemon.first_answer_ms < LEAD_S * 1e3, "the ticks were due before the daemon was up"
        found = _first_seen(store, last, count=len(plans))
        while store.execute("SELECT 1 FROM runs WHERE finished_at IS NULL").fetchone():
            time.sleep(SETTLE_S / 10)
        ends = store.execute("SELECT status FROM runs WHERE id > ?", (last,)).fetchall()
    assert set(ends) == {("success",)}, set(ends)
    return found


def _first_seen(store: sqlite3.Connection, last: str, *, count: int) -> list[float]:
    """The lag of each of so many runs that come after the last one, as another process sees it."""
    found: list[float] = []
    query = "SELECT id, scheduled_for FROM runs WHERE id > ? ORDER BY id"
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        assert time.monotonic() < deadline, f"{len(found)} of {count} ticks became runs"
        rows = store.execute(query, (last,)).fetchall()
        now = datetime.now(UTC)
        for _, due in rows:
            found.append((now - datetime.fromisoformat(due).replace(tzinfo=UTC)) / MILLISECOND)
        last = rows[-1][0] if rows else last
        time.sleep(POLL_S)
    return found


if __name__ == "__main__":
    from benchmarks.table import render

    print(render(measure()))
