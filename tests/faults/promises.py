"""What a daemon promises whatever becomes of it, as a test looks at it from outside."""

import contextlib
import sqlite3
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from tests.faults.load import Load
from tests.faults.witness import Witness
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.waiting import eventually

from tau.pipeline.types import FINAL_STATUSES


class Store:
    """The home's store, as a witness from outside sees it."""

    def __init__(self, daemon: DaemonProcess) -> None:
        self._path = daemon.home / "tau.db"

    def rows(self, query: str, *values: Any) -> list[Any]:
        with contextlib.closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True)) as store:
            return store.execute(query, values).fetchall()

    def unfinished(self, ids: set[str]) -> set[str]:
        """Those of the runs that have no final status, or are not there."""
        final = {
            run_id for run_id, status in self.rows("SELECT id, status FROM runs")
            if status in FINAL_STATUSES
        }  # fmt: skip
        return ids - final

    def ids(self) -> set[str]:
        return {run_id for (run_id,) in self.rows("SELECT id FROM runs")}


def change_schedule(daemon: DaemonProcess, name: str, **change: Any) -> None:
    with daemon.client() as client:
        answer = client.post(f"/pipelines/{name}/schedule", json=change)
    assert answer.status_code == 200, answer.text


def set_up(daemon: DaemonProcess, witness: Witness) -> None:
    """Deploy what there is a witness of; each tick of `each` becomes a run."""
    daemon.deploy(witness.source)
    change_schedule(daemon, "each", catchup="all")


def adoptions(daemon: DaemonProcess) -> int:
    """How many attempts outlived the daemon that had claimed them."""
    return (daemon.home / "test.log").read_text().count('"event": "adopting ')


def expect_all_as_asked(store: Store, witness: Witness, asked: Load) -> None:
    """Each request became one run, which was done once, with no attempt charged to a kill."""
    runs = store.rows(
        "SELECT id, pipeline_name, status, attempt FROM runs WHERE schedule_id IS NULL"
    )
    assert len(runs) == len(asked.accepted) == asked.count
    expected = [
        (run_id, name, "success", 1 + params["failures"])
        for run_id, (name, params) in asked.accepted.items()
    ]
    assert sorted(runs) == sorted(expected)
    completions = witness.completions()
    assert {completions[run_id] for run_id in asked.accepted} == {1}
    attempts = store.rows("SELECT run_id, number, status FROM attempts")
    ends = {(run_id, number): status for run_id, number, status in attempts}
    for run_id, (_, params) in asked.accepted.items():
        statuses = [ends.pop((run_id, n + 1)) for n in range(params["failures"] + 1)]
        assert statuses == ["failed"] * params["failures"] + ["success"]
    assert not [run_id for run_id, _ in ends if run_id in asked.accepted]


def expect_each_tick_once(store: Store, witness: Witness, *, at_least: int) -> None:
    """With catchup=all each second from the first to the last tick has its run."""
    rows = store.rows(
        "SELECT scheduled_for, status, attempt, id FROM runs"
        " WHERE schedule_id IS NOT NULL AND pipeline_name = 'each' ORDER BY scheduled_for"
    )
    times = [moment(row[0]) for row in rows]
    assert len(times) >= at_least
    seconds = int((times[-1] - times[0]).total_seconds())
    assert times == [times[0] + timedelta(seconds=n) for n in range(seconds + 1)]
    assert Counter((status, attempt) for _, status, attempt, _ in rows) == {
        ("success", 1): len(rows)
    }
    completions = witness.completions()
    assert {completions[row[3]] for row in rows} == {1}


def expect_spans_without_gap(store: Store) -> None:
    """With catchup=latest a tick has one row at most, and what ran covers all of the time."""
    rows = store.rows(
        "SELECT scheduled_for, status, status_reason, interval_start, interval_end FROM runs"
        " WHERE schedule_id IS NOT NULL AND pipeline_name = 'latest' ORDER BY scheduled_for"
    )
    assert len({row[0] for row in rows}) == len(rows)
    assert all(status == "success" or (status, bool(why)) == ("skipped", True)
               for _, status, why, _, _ in rows)  # fmt: skip
    ran = [(start, end) for _, status, _, start, end in rows if status == "success"]
    assert [start for start, _ in ran[1:]] == [end for _, end in ran[:-1]]


def moment(stored: str) -> datetime:
    return datetime.fromisoformat(stored).replace(tzinfo=UTC)


def expect_no_process_left(daemon: DaemonProcess) -> None:
    """What works in the home is the daemon with its zygote, and no attempt's process."""

    def left() -> list[psutil.Process]:
        assert daemon.process is not None
        tree = psutil.Process(daemon.process.pid)
        own = {tree.pid, *(child.pid for child in tree.children(recursive=True))}
        return [process for process in daemon.descendants() if process.pid not in own]

    eventually(lambda: not left())
    eventually(lambda: len(daemon.descendants()) == 2)
