"""Files with dependencies of their own, from deploy to run, on both stores and with a real uv."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.api.test_gate import is_problem
from tests.fixtures.api import Api
from tests.fixtures.environments import local_package, script
from tests.fixtures.waiting import eventually_async

from tau.core.clock import SystemClock
from tau.core.config import EnvironmentSettings
from tau.services.environment_service import EnvironmentService
from tau.testing import FakeClock

BUILD_S = 60
SAYS = """
    import idna, sys

    @pipeline
    async def {name}(ctx):
        async with ctx.step("look") as step:
            step.rows_out = 3
        ctx.check(True, name="there")
        print("printed")
        ctx.log("said", secret=ctx.secret("NOT_THERE", default="nothing"))
        return {{"idna": idna.__version__, "python": sys.prefix, "path": sys.path}}
"""


@pytest.fixture
def import_timeout() -> float:
    return 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where this home's environments are."""
    return tmp_path / "home" / "environments"


def says(name: str, *dependencies: str) -> str:
    return script(*dependencies, body=SAYS.format(name=name))


async def names(api: Api) -> list[str]:
    answer = await api.client.get("/api/v1/pipelines")
    return [row["name"] for row in answer.json()["pipelines"]]


async def listed(api: Api) -> dict[str, Any]:
    document: dict[str, Any] = (await api.client.get("/api/v1/environments")).json()
    return document


def hashes(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.name != "building")


async def test_clashing_pins_of_one_library_run_side_by_side(api: Api, folder: Path) -> None:
    deployed = await asyncio.gather(
        api.deploy(says("old", "idna==3.6"), "old.py"),
        api.deploy(says("new", "idna==3.10"), "new.py"),
    )
    assert [answer.status_code for answer in deployed] == [201, 201]
    environments = [answer.json()["environment"] for answer in deployed]
    assert [one["ready"] for one in environments] == [True, True]
    runs = await asyncio.gather(*(api.run(name, wait=30) for name in ("old", "new") * 2))
    assert [run["status"] for run in runs] == ["success"] * 4, runs
    assert [run["result"]["idna"] for run in runs] == ["3.6", "3.10"] * 2
    prefixes = [Path(run["result"]["python"]).name for run in runs]
    assert prefixes == [one["hash"] for one in environments] * 2
    assert sorted(set(prefixes)) == hashes(folder)
    for run in runs:
        # All that a run tells comes through, and nothing of the daemon's packages is to be seen.
        assert run["steps"][0]["rows_out"] == 3
        assert run["checks"] == {"passed": 1, "failed": 0, "warned": 0}
        assert run["logs"] == {"lines": 2, "warnings": 0, "errors": 0}
        site = [path for path in run["result"]["path"] if "site-packages" in path]
        assert len(site) == 1
        assert site[0].startswith(run["result"]["python"])

    shown = (await api.client.get("/api/v1/pipelines/old", params={"full": True})).json()
    assert "idna==3.6" in shown["environment"].pop("installed")
    del environments[0]["built_in_s"]
    assert shown["environment"] == environments[0]
    assert environments[0]["dependencies"] == ["idna==3.6"]
    again = await api.deploy(says("old", "idna==3.6"), "old.py")
    assert (again.status_code, again.json()["changed"]) == (200, False)
    assert "built_in_s" not in again.json()["environment"], "what is there is not built again"


async def test_what_cant_be_resolved_is_named_and_nothing_is_kept(api: Api, folder: Path) -> None:
    refused = await api.deploy(says("bad", "idna==3.6", "idna>3.7"), "bad.py")
    is_problem(refused, "dependency.unresolvable")
    problem = refused.json()
    assert (problem["file"], problem["packages"]) == ("bad.py", ["idna"])
    assert problem["next"] == ["tau deploy bad.py"]
    assert await names(api) == []
    assert hashes(folder) == []
    unfit = await api.deploy(script(requires_python=">=3.28"), "bad.py")
    is_problem(unfit, "dependency.no_python")
    wrong = await api.deploy("# /// script\n# dependencies = 3\n# ///\n", "bad.py")
    is_problem(wrong, "pipeline.invalid_script_block")
    assert (await names(api), hashes(folder)) == ([], [])


async def test_a_dry_run_resolves_and_builds_nothing(api: Api, folder: Path) -> None:
    source = says("dry", "idna==3.6")
    planned = (await api.deploy(source, "dry.py", dry_run=True)).json()
    environment = planned["environment"]
    assert (environment["ready"], environment["packages"] > 3) == (False, True)
    assert planned["pipelines"] == [{"name": "dry", "version": 1, "changed": True, "line": 8}]
    assert [warning["code"] for warning in planned["warnings"]] == ["environment.not_built"]
    assert (hashes(folder), await names(api)) == ([], [])
    refused = await api.deploy(says("dry", "idna==3.999"), "dry.py", dry_run=True)
    is_problem(refused, "dependency.unresolvable")
    broken = await api.deploy(script("idna==3.6", body="def ("), "dry.py", dry_run=True)
    is_problem(broken, "pipeline.syntax_error")

    deployed = (await api.deploy(source, "dry.py")).json()
    assert deployed["environment"]["hash"] == environment["hash"]
    assert deployed["environment"]["packages"] == environment["packages"]
    assert deployed["pipelines"][0]["line"] == 8
    other = source.replace("async def dry", "async def other")
    seen = (await api.deploy(other, dry_run=True)).json()
    assert "warnings" not in seen, "where the environment is there, a dry run imports the file"


async def test_what_the_file_forgot_to_name_is_told(api: Api) -> None:
    answer = await api.deploy(script(body="import fastapi\n"), "forgetful.py")
    is_problem(answer, "dependency.missing_module")
    assert (answer.json()["package"], answer.json()["line"]) == ("fastapi", 5)
    assert "# /// script" in answer.json()["hint"]
    assert await names(api) == []


async def test_a_build_can_be_watched(api: Api, tmp_path: Path) -> None:
    held = local_package(tmp_path / "held")
    held.hold()
    deploying = asyncio.create_task(api.deploy(script(held.requirement, body=HELD)))
    await eventually_async(lambda: held.builds, within=BUILD_S)
    [building] = (await listed(api))["building"]
    assert building["phase"].startswith("installing")
    assert building["dependencies"] == [held.requirement]
    held.release()
    assert (await deploying).status_code == 201
    after = await listed(api)
    assert (after["building"], [one["deployed"] for one in after["environments"]]) == ([], [True])


HELD = """
    @pipeline
    def heldup(ctx):
        import heldup
        return heldup.VERSION
"""


async def test_one_that_is_missing_is_built_when_a_run_needs_it(
    api: Api, tmp_path: Path, folder: Path
) -> None:
    """As on another daemon than the one that the file was deployed to."""
    held = local_package(tmp_path / "held")
    await api.deploy(script(held.requirement, body=HELD))
    await forget(folder)
    held.change()
    shown = (await api.client.get("/api/v1/pipelines/heldup")).json()
    assert shown["environment"]["ready"] is False
    held.hold()
    made = await api.client.post("/api/v1/pipelines/heldup/runs", json={})
    await eventually_async(lambda: held.builds == 2, within=BUILD_S)
    waiting = (await api.client.get(made.headers["location"])).json()
    assert waiting["status"] == "starting"
    held.release()
    run = (await api.client.get(made.headers["location"], params={"wait": 30})).json()
    assert (run["status"], run["result"], run["attempt"]) == ("success", "1.0", 1)


async def test_a_run_can_be_cancelled_while_its_environment_is_built(
    api: Api, tmp_path: Path, folder: Path
) -> None:
    held = local_package(tmp_path / "held")
    await api.deploy(script(held.requirement, body=HELD))
    await forget(folder)
    held.change()
    held.hold()
    made = await api.client.post("/api/v1/pipelines/heldup/runs", json={})
    await eventually_async(lambda: held.builds == 2, within=BUILD_S)
    cancelled = await api.client.post(f"{made.headers['location']}/cancel", json={})
    assert cancelled.status_code == 200
    run = (await api.client.get(made.headers["location"], params={"wait": 20})).json()
    assert run["status"] == "cancelled"
    assert len((await listed(api))["building"]) == 1, "the build goes on for whoever is next"
    held.release()
    assert (await api.run("heldup", wait=30))["status"] == "success"
    assert held.builds == 2


async def test_a_build_that_fails_for_a_run_is_no_attempt(
    api: Api, tmp_path: Path, folder: Path
) -> None:
    held = local_package(tmp_path / "held")
    await api.deploy(script(held.requirement, body=HELD))
    await forget(folder)
    held.change()
    backend = held.folder / "backend.py"
    backend.write_text("def build_wheel(*a, **k): raise OSError('no cake')")
    run = await api.run("heldup", wait=30)
    assert run["status"] == "crashed"
    assert "could not be started 5 times" in run["reason"]
    assert "no cake" in run["reason"]


async def test_housekeeping_removes_what_no_deployed_pipeline_names(
    api: Api, tmp_path: Path, folder: Path
) -> None:
    held = local_package(tmp_path / "held")
    first = (await api.deploy(script(held.requirement, body=HELD))).json()["environment"]["hash"]
    second = (await api.deploy(script(body=HELD))).json()["environment"]["hash"]
    assert hashes(folder) == sorted([first, second])
    later = FakeClock(SystemClock().now() + timedelta(days=6))
    house = EnvironmentService(
        api.database, later, api.parts.environments, settings=EnvironmentSettings(days=7)
    )
    assert await house.remove_unused() == []
    later.advance(timedelta(days=2))
    assert await house.remove_unused() == [first], "the first version's, which runs no more"
    assert hashes(folder) == [second]
    await api.client.post("/api/v1/pipelines/heldup/undeploy", json={})
    assert await house.remove_unused() == [second]


async def test_what_an_attempt_runs_in_is_not_removed(api: Api, folder: Path) -> None:
    body = """
        import asyncio

        @pipeline
        async def sits(ctx):
            ctx.log("here")
            await asyncio.sleep(600)
    """
    await api.deploy(script(body=body))
    made = await api.client.post("/api/v1/pipelines/sits/runs", json={})
    run = made.headers["location"]

    async def lines() -> int:
        return int((await api.client.get(run)).json().get("logs", {}).get("lines", 0))

    await eventually_async(lines, within=30)
    await api.client.post("/api/v1/pipelines/sits/undeploy", json={})
    later = FakeClock(SystemClock().now() + timedelta(days=30))
    settings = EnvironmentSettings()
    api.parts.environments._users.clear()  # a daemon that was started anew knows nothing of it
    house = EnvironmentService(api.database, later, api.parts.environments, settings=settings)
    assert await house.remove_unused() == [], "the attempt itself holds on to it"
    await api.client.post(f"{run}/cancel", json={})
    await api.client.get(run, params={"wait": 20})
    assert len(await house.remove_unused()) == 1


async def forget(folder: Path) -> None:
    """Make this a home that has never built anything."""
    for name in hashes(folder):
        await asyncio.to_thread(shutil.rmtree, folder / name)
