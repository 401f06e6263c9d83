"""Daemons, supervisors and zygotes shot at random moments: what was promised is kept.

TAU_TEST_LONG=1 makes it 5,000 runs and 300 kills.
"""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from tests.faults.load import Load
from tests.faults.promises import (
    Store,
    adoptions,
    change_schedule,
    expect_all_as_asked,
    expect_each_tick_once,
    expect_no_process_left,
    expect_spans_without_gap,
    set_up,
)
from tests.faults.witness import Witness
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.waiting import eventually

from tau.core.database import integrity_check

Make = Callable[..., DaemonProcess]

LONG = os.environ.get("TAU_TEST_LONG") == "1"
RUNS, KILLS = (5000, 300) if LONG else (500, 60)
SHOT_RUNS, ROUNDS = (2000, 120) if LONG else (160, 12)
BACKLOG = 80
"""So many runs at most wait at the last start, as a slow machine has to finish them in time."""
FINAL_WITHIN_S = 10.0
PATIENCE_S = 60.0
"""For what has no deadline of its own; a loaded machine is slow."""


@pytest.fixture
def seed() -> int:
    given = os.environ.get("TAU_TEST_SEED")
    chosen = int(given) if given else random.randrange(10**9)
    print(f"TAU_TEST_SEED={chosen}")  # noqa: T201
    return chosen


@pytest.fixture
def witness(tmp_path: Path) -> Witness:
    return Witness(tmp_path / "effects")


def live_and_die(daemon: DaemonProcess, chance: random.Random, *, at_most: float) -> None:
    """One life of the daemon, which may end before it answers."""
    daemon.launch()
    if chance.random() < 0.5:
        time.sleep(chance.uniform(0.02, 0.9))
    else:
        eventually(daemon.is_up, within=PATIENCE_S)
        time.sleep(chance.uniform(0.0, at_most))
    daemon.kill()


@pytest.mark.timeout(7200 if LONG else 900)
def test_killing_the_daemon_costs_nothing(make_daemon: Make, witness: Witness, seed: int) -> None:
    daemon, chance = make_daemon(), random.Random(seed)
    set_up(daemon.start(), witness)
    daemon.kill()
    store = Store(daemon)
    with Load(daemon, count=RUNS, seed=seed) as asked:
        kills = 0
        while kills < KILLS or not asked.is_done():
            finished = len(asked.accepted) - len(store.unfinished(set(asked.accepted)))
            asked.allow(min(RUNS * (kills + 1) // KILLS, finished + BACKLOG))
            live_and_die(daemon, chance, at_most=0.35 if kills < KILLS else 2.0)
            kills += 1
        daemon.start()
    begun = store.ids()
    eventually(lambda: not store.unfinished(begun), within=FINAL_WITHIN_S)
    assert asked.refused == []

    expect_no_process_left(daemon)
    change_schedule(daemon, "each", enabled=False)
    change_schedule(daemon, "latest", enabled=False)
    eventually(lambda: not store.unfinished(store.ids()), within=PATIENCE_S)
    assert daemon.stop(signal.SIGTERM) == 0
    assert integrity_check(daemon.home / "tau.db") == "ok"

    assert adoptions(daemon) > 0
    assert witness.started_twice() == []
    assert witness.overlaps() == []
    expect_all_as_asked(store, witness, asked)
    expect_each_tick_once(store, witness, at_least=KILLS // 2)
    expect_spans_without_gap(store)
    assert not list((daemon.home / "runs").iterdir())


# --- supervisors and zygotes too -------------------------------------------------------------


def supervisors(daemon: DaemonProcess) -> list[psutil.Process]:
    """The processes that hold an attempt's lock."""
    found = []
    for process in psutil.process_iter(["cmdline"]):
        if "tau.workers.zygote" not in (process.info["cmdline"] or ()):
            continue
        with contextlib.suppress(psutil.Error, OSError):
            files = [file.path for file in process.open_files()]
            if any(path.startswith(f"{daemon.home}/runs/") and path.endswith("/lock")
                   for path in files):  # fmt: skip
                found.append(process)
    return found


def zygotes(daemon: DaemonProcess) -> list[psutil.Process]:
    assert daemon.process is not None
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(daemon.process.pid).children()
    return []


def shoot(processes: list[psutil.Process]) -> int:
    """How many of them were still there to be shot."""
    hit = 0
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            hit += 1
    return hit


@pytest.mark.timeout(7200 if LONG else 900)
def test_shooting_supervisors_and_zygotes_costs_at_most_what_was_shot(
    make_daemon: Make, witness: Witness, seed: int
) -> None:
    daemon, chance = make_daemon(TAU_EXECUTOR__SLOTS="6"), random.Random(seed)
    set_up(daemon.start(), witness)
    store, shots = Store(daemon), 0
    with Load(daemon, count=SHOT_RUNS, seed=seed) as asked:
        for number in range(ROUNDS):
            asked.allow(SHOT_RUNS * (number + 1) // ROUNDS)
            deadline = time.monotonic() + chance.uniform(0.3, 1.0)
            while time.monotonic() < deadline:
                time.sleep(chance.uniform(0.0, 0.06))
                shots += shoot([p for p in supervisors(daemon) if chance.random() < 0.4])
                if chance.random() < 0.08:
                    shoot(zygotes(daemon))
            if number % 3 == 2:
                daemon.kill()
                shots += shoot(supervisors(daemon)) if chance.random() < 0.5 else 0
                daemon.start()
        eventually(asked.is_done, within=PATIENCE_S)
        daemon.kill()
        daemon.start()
    begun = store.ids()
    eventually(lambda: not store.unfinished(begun), within=FINAL_WITHIN_S)
    assert asked.refused == []
    expect_no_process_left(daemon)
    assert daemon.stop(signal.SIGTERM) == 0
    assert integrity_check(daemon.home / "tau.db") == "ok"

    assert witness.started_twice() == []
    assert witness.overlaps() == []
    completions = witness.completions()
    runs = {row[0]: row[1:] for row in store.rows("SELECT id, status, attempt FROM runs")}
    assert set(asked.accepted) <= set(runs)
    doubled = {run_id: count - 1 for run_id, count in completions.items() if count > 1}
    assert sum(doubled.values()) <= shots
    once = [run_id for run_id, (name, _) in asked.accepted.items() if name == "once"]
    assert not doubled.keys() & set(once)
    statuses = Counter(runs[run_id][0] for run_id in asked.accepted)
    assert set(statuses) <= {"success", "crashed", "failed"}, statuses
    assert shots > 0
    assert statuses["crashed"] > 0
    for run_id in asked.accepted:
        assert completions[run_id] >= 1 or runs[run_id][0] != "success"


@pytest.mark.timeout(120)
def test_a_first_start_that_is_killed_is_begun_anew(make_daemon: Make, seed: int) -> None:
    daemon, chance = make_daemon(), random.Random(seed)
    for _ in range(8):
        daemon.launch()
        time.sleep(chance.uniform(0.1, 1.2))
        daemon.kill()
    daemon.start()
    daemon.deploy("from tau import pipeline\n\n@pipeline\ndef main(ctx):\n    return 1\n")
    assert daemon.run("main")["result"] == 1
