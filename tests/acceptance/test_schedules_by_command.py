"""Schedules and dates as an operator gives them, through the real `tau` to a real daemon."""

from pathlib import Path
from typing import Any

import pytest
from tests.fixtures.daemon import DaemonProcess

BERLIN = """
from tau import pipeline

@pipeline(name={name!r}, timezone="Europe/Berlin"{schedule})
def work(ctx):
    return [str(ctx.interval_start), str(ctx.interval_end)]
"""
TWO = BERLIN.format(name="one", schedule="") + BERLIN.format(name="other", schedule="")


def tau(daemon: DaemonProcess, *words: str, exit_code: int = 0) -> Any:
    answer = daemon.tau(*words)
    assert answer.exit_code == exit_code, answer.stdout
    return answer.json


def written(folder: Path, name: str, *, schedule: str = "") -> str:
    file = folder / f"{name}.py"
    file.write_text(BERLIN.format(name=name, schedule=schedule and f", schedule={schedule!r}"))
    return str(file)


def test_a_schedule_from_deploy_to_clear(shared_daemon: DaemonProcess, tmp_path: Path) -> None:
    file = written(tmp_path, "planned", schedule="0 6 1 1 *")
    [deployed] = tau(shared_daemon, "deploy", file, "--schedule", "0 7 1 1 *")["pipelines"]
    assert (deployed["schedule"]["cron"], deployed["schedule"]["set_by"]) == (
        "0 7 1 1 *", "command",
    )  # fmt: skip
    assert deployed["schedule"]["next_local"][0].endswith("-01-01T07:00:00+01:00")
    ruled = tau(shared_daemon, "schedule", "planned", "--catchup", "all", "--deadline", "2h")
    rules = {key: ruled["schedule"][key] for key in ("cron", "catchup", "deadline")}
    assert rules == {"cron": "0 7 1 1 *", "catchup": "all", "deadline": 7200.0}
    tau(shared_daemon, "schedule", "planned", "--disable")
    assert row(shared_daemon, "planned")["enabled"] is False
    tau(shared_daemon, "schedule", "planned", "--enable")
    assert len(row(shared_daemon, "planned")["next"]) == 5
    cleared = tau(shared_daemon, "schedule", "planned", "--clear")["schedule"]
    assert (cleared["cron"], cleared["set_by"]) == ("0 6 1 1 *", "file")


def row(daemon: DaemonProcess, name: str) -> dict[str, Any]:
    rows = tau(daemon, "schedules", "--limit", "200")["schedules"]
    [found] = [row for row in rows if row["pipeline"] == name]
    return dict(found)


def test_a_dry_run_of_a_schedule_changes_nothing(
    shared_daemon: DaemonProcess, tmp_path: Path
) -> None:
    tau(shared_daemon, "deploy", written(tmp_path, "tried"))
    plan = tau(shared_daemon, "schedule", "tried", "--every", "1d", "--dry-run")
    assert (plan["dry_run"], plan["schedule"]["every"]) == (True, 86400.0)
    assert "schedule" not in tau(shared_daemon, "show", "tried")


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["61 6 * * *"], 3, "pipeline.invalid_schedule"),
        (["@daily", "--timezone", "Mars/Base"], 3, "pipeline.invalid_schedule"),
        (["--every", "0.5"], 3, "pipeline.invalid_schedule"),
        (["--deadline", "0"], 2, "request.invalid"),
        ([""], 2, "request.invalid"),
    ],
)
def test_a_schedule_that_is_refused(
    shared_daemon: DaemonProcess, tmp_path: Path, words: list[str], exit_code: int, code: str
) -> None:
    tau(shared_daemon, "deploy", written(tmp_path, "refused"))
    answer = tau(shared_daemon, "schedule", "refused", *words, exit_code=exit_code)
    assert answer["error"]["code"] == code
    assert "schedule" not in tau(shared_daemon, "show", "refused")


def test_one_schedule_for_two_pipelines(shared_daemon: DaemonProcess, tmp_path: Path) -> None:
    file = tmp_path / "two.py"
    file.write_text(TWO)
    answer = tau(shared_daemon, "deploy", str(file), "--schedule", "@daily", exit_code=3)
    assert answer["error"]["code"] == "pipeline.name_override"
    assert tau(shared_daemon, "show", "other", exit_code=8)["error"]


def test_a_run_of_a_month_in_the_zone_of_its_pipeline(
    shared_daemon: DaemonProcess, tmp_path: Path
) -> None:
    file = written(tmp_path, "dated")
    dates = ["--start-date", "2026-11-01", "--end-date", "2026-11-30"]
    run = tau(shared_daemon, "run", file, *dates)
    span = ["2026-10-31T23:00:00.000Z", "2026-11-30T23:00:00.000Z"]
    assert [run["interval_start"], run["interval_end"]] == span
    assert run["result"] == ["2026-10-31 23:00:00+00:00", "2026-11-30 23:00:00+00:00"]
    planned = tau(shared_daemon, "run", file, *dates, "--dry-run")
    assert [planned["interval_start"], planned["interval_end"]] == span
    again = tau(shared_daemon, "retry", run["run"])
    assert [again["interval_start"], again["interval_end"]] == span


@pytest.mark.parametrize(
    "dates", [["--end-date", "yesterday"], ["--start-date", "2026-12-01", "--end-date", "2026-11"]]
)
def test_dates_that_are_refused(
    shared_daemon: DaemonProcess, tmp_path: Path, dates: list[str]
) -> None:
    tau(shared_daemon, "deploy", written(tmp_path, "undated"))
    answer = tau(shared_daemon, "run", "undated", *dates, exit_code=2)
    assert answer["error"]["code"] == "request.invalid"
    assert tau(shared_daemon, "runs", "undated")["total"] == 0
