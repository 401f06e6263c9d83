"""Two daemons on one PostgreSQL: they share the work, and one takes over when the other dies."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.environments import local_package, script
from tests.fixtures.waiting import eventually

Make = Callable[..., DaemonProcess]
SOURCE = r"""
import os, time
from tau import pipeline

@pipeline(every=1)
def each_second(ctx): pass

@pipeline(retries=1, retry_delay=0)
def works(ctx):
    def note(what):
        with open(ctx.params["effects"], "a") as file:
            file.write(f"{ctx.run_id} {ctx.attempt} {what} {time.monotonic()} {os.getpid()}\n")
    note("start")
    time.sleep(ctx.params.get("seconds", 0.05))
    note("end")
"""


@pytest.fixture
def pair(make_daemon: Make, empty_postgres: str) -> tuple[DaemonProcess, DaemonProcess]:
    first = make_daemon("first", TAU_DATABASE_URL=empty_postgres).start()
    second = make_daemon("second", TAU_DATABASE_URL=empty_postgres).start()
    return first, second


def effects_of(path: Path) -> list[tuple[str, str, str, float]]:
    rows = [line.split() for line in path.read_text().splitlines()]
    return [(run, attempt, what, float(at)) for run, attempt, what, at, _ in rows]


def test_they_share_the_work_and_no_attempt_runs_twice(
    pair: tuple[DaemonProcess, DaemonProcess], tmp_path: Path
) -> None:
    first, second = pair
    first.deploy(SOURCE.replace("(every=1)", ""), "shared.py")
    effects = tmp_path / "effects"
    with first.client() as one, second.client() as two:
        # The second daemon's keys are its own home's: both are in the one store.
        made = [
            client.post("/pipelines/works/runs", json={"params": {"effects": str(effects)}})
            for client in (one, two) * 20
        ]
        ids = [answer.json()["id"] for answer in made]
        runs = [one.get(f"/runs/{run_id}", params={"wait": 30}).json() for run_id in ids]
    assert {(run["status"], run["attempt"]) for run in runs} == {("success", 1)}
    assert sorted(run["number"] for run in runs) == list(range(1, 41))
    starts = [(run, attempt) for run, attempt, what, _ in effects_of(effects) if what == "start"]
    assert sorted(starts) == sorted((run_id, "1") for run_id in ids)


def test_each_tick_fires_once(pair: tuple[DaemonProcess, DaemonProcess]) -> None:
    first, second = pair
    first.deploy(SOURCE, "shared.py")
    with second.client() as client:

        def scheduled() -> list[dict[str, object]]:
            page = client.get(
                "/runs", params={"pipeline": "each_second", "limit": 50, "full": True}
            )
            rows: list[dict[str, object]] = page.json()["runs"]
            return rows

        eventually(lambda: len(scheduled()) >= 5, within=20)
        ends = [row["interval_end"] for row in scheduled()]
    assert len(set(ends)) == len(ends)


@pytest.mark.timeout(180)
def test_an_environment_is_built_where_the_run_is(
    pair: tuple[DaemonProcess, DaemonProcess], tmp_path: Path
) -> None:
    first, second = pair
    source = script(
        local_package(tmp_path / "package", version="2.5").requirement,
        body="""
            @pipeline
            def where(ctx):
                import heldup, sys
                return [heldup.VERSION, sys.prefix]
        """,
    )
    deployed = first.deploy(source, "where.py")
    assert deployed["environment"]["ready"] is True
    assert not (second.home / "environments").exists()
    first.stop()
    run = second.run("where", wait=30)
    assert (run["status"], run["attempt"]) == ("success", 1), run
    version, prefix = run["result"]
    assert version == "2.5"
    assert Path(prefix).parent == second.home / "environments"


@pytest.mark.timeout(180)
@pytest.mark.skipif(not os.environ.get("TAU_TEST_LONG"), reason="waits for a lease: TAU_TEST_LONG")
def test_a_daemon_that_dies_loses_its_run_to_the_other_and_they_never_overlap(
    pair: tuple[DaemonProcess, DaemonProcess], tmp_path: Path
) -> None:
    first, second = pair
    first.deploy(SOURCE.replace("(every=1)", ""), "shared.py")
    effects = tmp_path / "effects"
    second.stop()
    with first.client() as client:
        params = {"effects": str(effects), "seconds": 300}
        run_id = client.post("/pipelines/works/runs", json={"params": params}).json()["id"]
    eventually(lambda: effects.exists() and effects_of(effects))
    second.start()
    first.kill()
    with second.client() as client:
        eventually(lambda: client.get(f"/runs/{run_id}").json()["attempt"] == 2, within=120)
        eventually(lambda: len(effects_of(effects)) == 2)
        assert not first.descendants()
        client.post(f"/runs/{run_id}/cancel", json={})
        run = client.get(f"/runs/{run_id}", params={"wait": 20}).json()
    assert run["status"] == "cancelled"
