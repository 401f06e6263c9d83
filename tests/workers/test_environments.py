"""Own environments with a real uv: built once, whole or not at all, removed when nobody needs it.

What Tau itself needs in one comes from the package index, or from uv's cache.
"""

import asyncio
import fcntl
import os
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.fixtures.environments import (
    LocalPackage,
    environments_in,
    local_package,
    uv_variables,
)
from tests.fixtures.waiting import eventually_async

from tau.core.script_block import Needs
from tau.errors import (
    DependencyUnresolvable,
    EnvironmentBuildFailed,
    IndexUnreachable,
    PythonMissing,
    UvMissing,
)
from tau.workers.environment import Environment, of_tau
from tau.workers.environments import Environments
from tau.workers.own_code import OwnCode
from tau.workers.uv import explain

BUILD_S = 60


@pytest.fixture
def held(tmp_path: Path) -> LocalPackage:
    """A package whose build waits until the test lets it go on."""
    package = local_package(tmp_path / "held")
    package.hold()
    return package


def start(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", program])


def said_in(environment: Environment, program: str) -> str:
    """What a program prints in the environment."""
    command = [environment.interpreter, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


async def build(environments: Environments, *dependencies: str) -> Environment:
    return await environments.get(await environments.recipe(Needs(dependencies)))


def left_in(home: Path) -> list[str]:
    """What is in the folder of environments, but the place where they are built."""
    folder = home / "environments"
    building = [path.name for path in folder.glob("building/*")]
    return sorted(path.name for path in folder.glob("*") if path.name != "building") + building


async def test_it_holds_what_was_asked_for_and_what_tau_needs(tmp_path: Path) -> None:
    package = local_package(tmp_path / "one", version="1.5")
    made = await build(environments_in(tmp_path), package.requirement)
    names = {entry.partition("=")[0].partition(" ")[0] for entry in made.packages}
    assert names >= {"heldup", "duckdb", "httpx"}
    assert "sqlalchemy" not in names
    assert set(of_tau().preferred) <= set(made.packages), "the versions that Tau has itself"
    program = "import heldup, duckdb, sys; print(heldup.VERSION, sys.prefix)"
    assert said_in(made, program).split() == ["1.5", str(made.path)]
    of_daemon = "import importlib.util as u; print(u.find_spec('fastapi'), u.find_spec('tau'))"
    assert said_in(made, of_daemon).split() == ["None", "None"]
    assert left_in(tmp_path) == [made.hash]


async def test_who_asks_at_the_same_time_waits_for_one_build(
    tmp_path: Path, held: LocalPackage
) -> None:
    environments = environments_in(tmp_path)
    asking = [asyncio.create_task(build(environments, held.requirement)) for _ in range(5)]
    await eventually_async(lambda: held.builds, within=BUILD_S)
    [going_on] = environments.builds
    assert going_on.phase.startswith("installing")
    asking[0].cancel()  # somebody has gone: the build goes on for the others
    held.release()
    made = await asyncio.gather(*asking[1:])
    assert len({environment.path for environment in made}) == 1
    assert await build(environments, held.requirement) == made[0]
    assert (held.builds, environments.builds) == (1, [])


async def test_a_daemon_that_stops_leaves_nothing_half(tmp_path: Path, held: LocalPackage) -> None:
    environments = environments_in(tmp_path)
    asking = asyncio.create_task(build(environments, held.requirement))
    await eventually_async(lambda: held.builds, within=BUILD_S)
    await environments.stop()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert left_in(tmp_path) == []
    [builder] = held.builders
    await eventually_async(lambda: not is_alive(builder))


_BUILDING = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.fixtures.environments import environments_in
from tau.core.script_block import Needs

async def main():
    environments = environments_in(Path({home!r}))
    await environments.get(await environments.recipe(Needs(({requirement!r},))))

asyncio.run(main())
"""


async def test_a_daemon_that_is_killed_leaves_nothing_that_counts(
    tmp_path: Path, held: LocalPackage
) -> None:
    """Its uv goes on alone, and whoever builds the same next waits for the end of that."""
    root = str(Path(__file__).parents[2])
    program = _BUILDING.format(root=root, home=str(tmp_path), requirement=held.requirement)
    daemon = start(program)
    await eventually_async(lambda: held.builds, within=BUILD_S)
    daemon.kill()
    daemon.wait()
    environments = environments_in(tmp_path)
    await environments.start()
    assert len(left_in(tmp_path)) == 2, "what an uv still works in is not swept away"
    asking = asyncio.create_task(build(environments, held.requirement))
    await eventually_async(lambda: environments.builds)
    assert is_alive(held.builders[0])
    held.release()
    made = await asking
    assert left_in(tmp_path) == [made.hash]
    assert made.interpreter.exists()


async def test_what_a_killed_build_left_is_swept_at_the_start(tmp_path: Path) -> None:
    half = tmp_path / "environments" / "building" / "0123456789abcdef.77-1"
    half.mkdir(parents=True)
    (half / "pyvenv.cfg").touch()
    (half.parent / "0123456789abcdef.lock").touch()
    await environments_in(tmp_path).start()
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(
    ("dependency", "package", "said"),
    [
        ("nosuch-package-of-tau==1", "nosuch-package-of-tau", "not found in the package registry"),
        ("idna==3.999", "idna", "no version of idna==3.999"),
        ("duckdb<1", "duckdb", "duckdb>="),
    ],
)
async def test_what_cant_be_resolved_is_named_and_leaves_nothing(
    tmp_path: Path, dependency: str, package: str, said: str
) -> None:
    with pytest.raises(DependencyUnresolvable, match=said) as caught:
        await build(environments_in(tmp_path), dependency)
    assert caught.value.details == {"packages": [package]}
    assert left_in(tmp_path) == []


async def test_a_package_that_does_not_build_is_told_with_its_words(tmp_path: Path) -> None:
    package = local_package(tmp_path / "bad")
    (package.folder / "backend.py").write_text("def build_wheel(*a, **k): raise OSError('no cake')")
    with pytest.raises(EnvironmentBuildFailed, match=r"heldup[\s\S]*no cake") as caught:
        await build(environments_in(tmp_path), package.requirement)
    assert caught.value.details == {"packages": ["heldup"]}
    assert left_in(tmp_path) == []


async def test_a_build_that_takes_too_long_is_ended(tmp_path: Path, held: LocalPackage) -> None:
    environments = environments_in(tmp_path)
    recipe = await environments.recipe(Needs((held.requirement,)))
    await environments.resolve(recipe)  # what it fetches is in uv's cache then
    hasty = environments_in(tmp_path, timeout=10)
    with pytest.raises(EnvironmentBuildFailed, match="longer than 10 s"):
        await hasty.get(recipe)
    assert left_in(tmp_path) == []
    await eventually_async(lambda: not is_alive(held.builders[0]))


async def test_an_index_that_does_not_answer_is_to_be_tried_again(tmp_path: Path) -> None:
    offline = {"UV_INDEX_URL": "http://127.0.0.1:9/simple", "UV_NO_CACHE": "1"}
    environ = os.environ | offline | {"UV_HTTP_RETRIES": "0"}
    with pytest.raises(IndexUnreachable, match="127.0.0.1:9") as caught:
        await build(environments_in(tmp_path, environ=environ), "idna")
    assert caught.value.retry == "after_wait"
    assert left_in(tmp_path) == []


async def test_what_builds_a_dependency_sees_no_secret(tmp_path: Path) -> None:
    package = local_package(tmp_path / "curious")
    secrets = {"TAU_API_KEY": "canary-1", "DATABASE_PASSWORD": "canary-2"}
    environ = uv_variables() | {"PATH": os.environ["PATH"], "UV_HTTP_TIMEOUT": "77"} | secrets
    await build(environments_in(tmp_path, environ=environ), package.requirement)
    assert "77" in package.variables, "uv's own variables are passed on"
    assert "canary" not in package.variables


async def test_without_uv_it_says_so(tmp_path: Path) -> None:
    if find_spec("uv") is not None:
        pytest.skip("the package uv is installed here")
    with pytest.raises(UvMissing, match="PATH"):
        await build(environments_in(tmp_path, environ={"PATH": str(tmp_path)}))
    with pytest.raises(UvMissing):
        await environments_in(tmp_path, environ={}).recipe(Needs((), ">=3.28"))


@pytest.mark.parametrize(
    ("requires", "hint"),
    [
        (">=3.29", "uv python install 3.29"),
        ("<3.9", "Tau's own code needs"),
        ("==3.11.*,!=3.11.*", "mend"),
    ],
)
async def test_a_python_that_is_not_here_is_not_fetched(
    tmp_path: Path, requires: str, hint: str
) -> None:
    with pytest.raises(PythonMissing, match="No Python here satisfies") as caught:
        await environments_in(tmp_path).recipe(Needs((), requires))
    assert hint in (caught.value.hint or "")


async def test_another_python_is_taken_where_the_daemons_own_will_not_do(tmp_path: Path) -> None:
    environments = environments_in(tmp_path)
    own = (await environments.recipe(Needs(()))).interpreter
    try:
        recipe = await environments.recipe(Needs((), f"!={own.version}"))
    except PythonMissing:
        pytest.skip("there is one Python here")
    assert recipe.interpreter.version != own.version
    assert recipe.hash != (await environments.recipe(Needs(()))).hash
    made = await environments.get(recipe)
    said = said_in(made, "import platform; print(platform.python_version())").strip()
    assert said == made.python == recipe.interpreter.version


async def test_only_what_nobody_needs_or_uses_is_removed(tmp_path: Path) -> None:
    environments = environments_in(tmp_path)
    recipe = await environments.recipe(Needs(()))
    made = await environments.get(recipe)
    later = time.time() + 3600

    assert await environments.remove_unused((), unused_since=time.time() - 3600) == []
    assert await environments.remove_unused({made.hash}, unused_since=later) == []
    with environments.used(recipe):
        assert await environments.remove_unused((), unused_since=later) == []
    lock = os.open(made.in_use_file, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_SH)  # as an attempt does that an earlier daemon has started
    assert await environments.remove_unused((), unused_since=later) == []
    os.close(lock)
    assert environments.find(recipe) == made

    assert await environments.remove_unused((), unused_since=later) == [made.hash]
    assert environments.find(recipe) is None
    assert left_in(tmp_path) == []
    await asyncio.to_thread(shutil.rmtree, tmp_path / "environments")
    assert (await environments.get(recipe)).hash == made.hash, "and is built again when needed"


async def test_one_whose_python_is_gone_is_built_again(tmp_path: Path) -> None:
    environments = environments_in(tmp_path)
    made = await build(environments)
    made.interpreter.unlink()
    made.interpreter.symlink_to(tmp_path / "gone")
    again = await build(environments)
    assert again.interpreter.exists()
    assert left_in(tmp_path) == [made.hash]


async def test_the_hash_is_of_all_that_it_is_made_from(tmp_path: Path) -> None:
    one = await environments_in(tmp_path).recipe(Needs(("idna",)))
    others = [
        replace(one, needs=Needs(("idna>3",))),
        replace(one, needs=Needs(("idna",), ">=3.11")),
        replace(one, interpreter=replace(one.interpreter, version="3.11.99")),
        replace(one, interpreter=replace(one.interpreter, path="/elsewhere/python")),
        replace(one, of_tau=replace(one.of_tau, requirements=("duckdb>=9",))),
        replace(one, of_tau=replace(one.of_tau, preferred=("duckdb==9",))),
    ]
    assert len({one.hash, *(other.hash for other in others)}) == 7


def test_older_words_of_uv_are_understood() -> None:
    said = """  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of idna==99 and you require idna==99, we
      can conclude that your requirements are unsatisfiable.
"""
    error = explain(said, ["duckdb", "idna"])
    assert isinstance(error, DependencyUnresolvable)
    assert error.details == {"packages": ["idna"]}
    assert error.message.endswith(
        "Because there is no version of idna==99 and you require idna==99, we can conclude that "
        "your requirements are unsatisfiable."
    )


def test_taus_own_code_is_copied_once_for_each_content(tmp_path: Path) -> None:
    package = tmp_path / "package"
    (package / "workers").mkdir(parents=True)
    (package / "workers" / "fresh.py").write_text("one")
    (package / "services").mkdir()
    first = OwnCode(tmp_path / "code", package=package).ready()
    assert OwnCode(tmp_path / "code", package=package).ready() == first
    (package / "workers" / "fresh.py").write_text("two")  # an upgrade
    second = OwnCode(tmp_path / "code", package=package).ready()
    assert (first / "tau" / "workers" / "fresh.py").read_text() == "one"
    assert not (first / "tau" / "services").exists(), "what is the daemon's own stays out"
    assert (second / "tau" / "workers" / "fresh.py").read_text() == "two"
    long_ago = time.time() - 60 * 86_400
    os.utime(first, (long_ago, long_ago))
    OwnCode(tmp_path / "code", package=package).ready()
    assert [path.name for path in (tmp_path / "code").iterdir()] == [second.name]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
