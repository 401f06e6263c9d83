"""Schedules over HTTP: set by the file, by command, kept, cleared, refused."""

import pytest
from tests.api.test_gate import is_problem
from tests.api.test_life import post, refused
from tests.api.test_runs import get
from tests.fixtures.api import Api

DAILY = (
    "from tau import pipeline\n"
    "@pipeline(schedule='0 6 * * *', timezone='Europe/Berlin')\ndef p(ctx): pass\n"
)
PLAIN = "from tau import pipeline\n@pipeline\ndef p(ctx): pass\n"


async def test_the_files_schedule_is_applied_at_deploy(api: Api) -> None:
    tried = (await api.deploy(DAILY, dry_run=True)).json()["pipelines"][0]["schedule"]
    assert len(tried["next"]) == len(tried["next_local"]) == 5
    assert (await get(api, "/schedules"))["total"] == 0
    deployed = (await api.deploy(DAILY)).json()
    made = deployed["pipelines"][0]["schedule"]
    assert (made["cron"], made["set_by"], made["enabled"]) == ("0 6 * * *", "file", True)
    assert all(local[11:16] == "06:00" for local in made["next_local"])
    assert "warnings" not in deployed
    [row] = (await get(api, "/schedules"))["schedules"]
    assert (row["pipeline"], row["schedule"]) == ("p", "0 6 * * * Europe/Berlin")
    assert row["next_fire_at"] == made["next"][0]
    assert (row["next"], row["next_local"]) == (made["next"], made["next_local"])
    assert (await get(api, "/pipelines"))["pipelines"][0]["schedule"] == row["schedule"]
    assert (await get(api, "/pipelines/p"))["schedule"]["cron"] == "0 6 * * *"


async def test_a_command_stands_until_it_is_cleared(api: Api) -> None:
    await api.deploy(DAILY)
    changed = await post(api, "/pipelines/p/schedule", every="90s", reason="more often")
    assert (changed["schedule"]["every"], changed["schedule"]["set_by"]) == (90.0, "command")
    again = (await api.deploy(DAILY + "# more\n")).json()
    assert again["warnings"][0]["code"] == "schedule.kept"
    assert again["pipelines"][0]["schedule"]["every"] == 90.0
    cleared = await post(api, "/pipelines/p/schedule", clear=True)
    assert (cleared["schedule"]["cron"], cleared["schedule"]["set_by"]) == ("0 6 * * *", "file")
    await api.deploy(PLAIN)
    assert (await get(api, "/schedules"))["total"] == 0
    assert "schedule" not in await get(api, "/pipelines/p")


async def test_switching_off_and_on_outlives_a_deploy(api: Api) -> None:
    await api.deploy(DAILY)
    off = await post(api, "/pipelines/p/schedule", enabled=False)
    assert (off["changed"], off["schedule"]["enabled"]) == (True, False)
    await api.deploy(DAILY + "# more\n")
    [row] = (await get(api, "/schedules"))["schedules"]
    assert row["enabled"] is False
    assert not {"next_fire_at", "next", "next_local"} & set(row)
    on = await post(api, "/pipelines/p/schedule", enabled=True)
    assert on["schedule"]["enabled"] is True
    assert "next_fire_at" in (await get(api, "/schedules"))["schedules"][0]


async def test_a_dry_run_changes_nothing(api: Api) -> None:
    await api.deploy(DAILY)
    tried = await post(api, "/pipelines/p/schedule", cron="@hourly", dry_run=True)
    assert (tried["dry_run"], tried["schedule"]["cron"]) == (True, "@hourly")
    assert (await get(api, "/pipelines/p"))["schedule"]["cron"] == "0 6 * * *"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"cron": "61 * * * *"}, "pipeline.invalid_schedule"),
        ({"cron": "* * * * * *"}, "pipeline.invalid_schedule"),
        ({"cron": "@daily", "timezone": "Mars/X"}, "pipeline.invalid_schedule"),
        ({"every": 0.1}, "pipeline.invalid_schedule"),
        ({"every": "soon"}, "request.invalid"),
        ({"every": 60, "deadline": 1e15}, "request.invalid"),
        ({"timezone": "Mars/X"}, "pipeline.invalid_schedule"),
        ({"cron": "@daily", "every": 60}, "request.invalid"),
        ({"clear": True, "enabled": True}, "request.invalid"),
        ({"catchup": "some"}, "request.invalid"),
        ({}, "request.invalid"),
    ],
)
async def test_what_is_refused_changes_nothing(
    api: Api, body: dict[str, object], code: str
) -> None:
    await api.deploy(DAILY)
    before = (await get(api, "/schedules"))["schedules"]
    await refused(api, code, "/pipelines/p/schedule", **body)
    assert (await get(api, "/schedules"))["schedules"] == before


async def test_a_pipeline_without_a_schedule(api: Api) -> None:
    await api.deploy(PLAIN)
    for body in ({"enabled": True}, {"timezone": "UTC"}):
        problem = await refused(api, "pipeline.invalid_schedule", "/pipelines/p/schedule", **body)
        assert "no schedule" in problem["message"]
    made = await post(api, "/pipelines/p/schedule", cron="@daily", catchup="all", deadline="2h")
    assert (made["schedule"]["catchup"], made["schedule"]["deadline"]) == ("all", 7200)
    await refused(api, "pipeline.not_found", "/pipelines/q/schedule", cron="@daily")


async def test_deploy_with_a_schedule(api: Api) -> None:
    made = (await api.deploy(DAILY, schedule="@hourly")).json()["pipelines"][0]["schedule"]
    assert (made["cron"], made["set_by"], made["timezone"]) == (
        "@hourly", "command", "Europe/Berlin",
    )  # fmt: skip
    is_problem(await api.deploy(DAILY + "#", schedule="bad"), "pipeline.invalid_schedule")
    assert (await get(api, "/pipelines/p"))["version"] == 1
    two = PLAIN + "@pipeline\ndef q(ctx): pass\n"
    is_problem(await api.deploy(two, schedule="@daily"), "pipeline.name_override")


async def test_undeploy_and_redeploy(api: Api) -> None:
    await api.deploy(DAILY)
    await post(api, "/pipelines/p/undeploy")
    assert (await get(api, "/schedules"))["total"] == 0
    await api.deploy(DAILY)
    assert "next_fire_at" in (await get(api, "/schedules"))["schedules"][0]


async def test_a_rollback_takes_the_schedule_of_that_version(api: Api) -> None:
    await api.deploy(DAILY)
    await api.deploy(PLAIN)
    await post(api, "/pipelines/p/rollback")
    assert (await get(api, "/pipelines/p"))["schedule"]["cron"] == "0 6 * * *"


async def test_spans_of_data_time(api: Api) -> None:
    source = DAILY.replace("pass", "return [str(ctx.interval_start), str(ctx.interval_end)]")
    await api.deploy(source)
    run = await api.run("p", start_date="2026-03-28", end_date="2026-03-29")
    assert run["interval_start"] == "2026-03-27T23:00:00.000Z"
    assert run["interval_end"] == "2026-03-29T22:00:00.000Z"
    assert run["result"] == ["2026-03-27 23:00:00+00:00", "2026-03-29 22:00:00+00:00"]
    again = await post(api, f"/runs/{run['id']}/retry")
    assert (again["interval_start"], again["interval_end"]) == (
        run["interval_start"], run["interval_end"],
    )  # fmt: skip
    for body in (
        {"start_date": "yesterday"},
        {"start_date": "2026-03-02", "end_date": "2026-03-01"},
        {"end_date": "2026-13-01"},
        {"start_date": ""},
    ):
        for more in ({}, {"dry_run": True}, {"validate_only": True}):
            await refused(api, "request.invalid", "/pipelines/p/runs", **body, **more)
    zoned = PLAIN.replace("@pipeline", "@pipeline(name='z', timezone='Asia/Tokyo')")
    await api.deploy(zoned)
    made = await post(api, "/pipelines/z/schedule", cron="@daily")
    assert made["schedule"]["timezone"] == "Asia/Tokyo"
    assert "interval_start" not in await api.run("p")
