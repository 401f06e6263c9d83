"""Builds an environment with uv: beside its place, and moved there when it is complete.

So nothing half is ever taken for an environment, whenever the daemon or uv is killed. Nothing of
the daemon's own packages is shared with it: a package that it found by path would silently stand
in for the version that the file pins.
"""

import asyncio
import fcntl
import os
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from tau.errors import EnvironmentBuildFailed
from tau.workers import environment
from tau.workers.environment import Environment, Recipe, try_lock
from tau.workers.uv import Uv

BUILDS_AT_ONCE = 2
_LOCK_POLL_S = 0.1


@dataclass
class Build:
    """One that is being built: what is done just now, and since when (Unix seconds)."""

    recipe: Recipe
    phase: str = "waiting"
    since: float = field(default_factory=time.time)


class Builder:
    """Builds in `<folder>/building`; a lock there is held by a build and by each uv it starts."""

    def __init__(self, folder: Path, uv: Uv) -> None:
        self._folder, self._uv = folder, uv
        self._site = folder / "building"
        self._turns = asyncio.Semaphore(BUILDS_AT_ONCE)

    async def resolve(self, recipe: Recipe) -> list[str]:
        """What would be installed, as `name==version`. Raises DependencyError."""
        with tempfile.TemporaryDirectory(prefix="tau-resolve-") as folder:
            # An earlier result is what uv prefers.
            result = Path(folder) / "result.txt"
            result.write_text("\n".join(recipe.of_tau.preferred))
            await self._uv.run(
                "pip", "compile", "-", "--quiet", "--no-header", "--no-annotate",
                "--python", recipe.interpreter.path, "--output-file", str(result),
                stdin="\n".join(recipe.requirements), names=recipe.names,
            )  # fmt: skip
            lines = [line.strip() for line in result.read_text().splitlines()]
        return [line for line in lines if line and not line.startswith(("#", "-"))]

    async def build(self, build: Build) -> Environment:
        """The environment of the build's recipe. Raises DependencyError."""
        name = build.recipe.hash
        try:
            async with self._turns:
                lock = await self._lock(name)
                try:
                    return await self._make(build, lock)
                finally:
                    # Also where it was cancelled: what is half goes, and then the lock.
                    await asyncio.shield(asyncio.to_thread(self._clear, name))
                    os.close(lock)
        except OSError as error:
            raise EnvironmentBuildFailed(f"The environment can't be made: {error}.") from error

    async def _lock(self, name: str) -> int:
        """The lock of one environment's builds, as a descriptor, once it is free.

        An uv that has outlived a killed daemon has it until it ends.
        """
        self._site.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._lock_file(name)
        while True:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if os.path.samestat(os.fstat(lock), os.stat(path)):
                    return lock
            except (BlockingIOError, FileNotFoundError):
                pass  # held by another, or removed by who has held it
            os.close(lock)
            await asyncio.sleep(_LOCK_POLL_S)

    async def _make(self, build: Build, lock: int) -> Environment:
        began, recipe = time.monotonic(), build.recipe
        place, partial = self._folder / recipe.hash, self.aside(recipe.hash)
        build.phase = "resolving"
        packages = await self.resolve(recipe)
        build.phase = "creating"
        await self._uv.run(
            "venv", "--quiet", "--relocatable", "--no-project",
            "--python", recipe.interpreter.path, str(partial),
            held=[lock],
        )  # fmt: skip
        build.phase = f"installing {len(packages)} packages"
        await self._uv.run(
            "pip", "install", "--quiet", "--no-deps",
            "--python", str(partial / "bin" / "python"), "--requirements", "-",
            stdin="\n".join(packages), names=recipe.names, held=[lock],
        )  # fmt: skip
        environment.complete(
            partial,
            python=recipe.interpreter.version,
            packages=packages,
            built_in_s=time.monotonic() - began,
        )
        if place.exists():  # one whose interpreter is gone
            place.rename(self.aside(recipe.hash))
        partial.rename(place)
        made = environment.read(place)
        if made is None:
            raise EnvironmentBuildFailed(f"{place} is not what was built there.")
        return made

    def aside(self, name: str) -> Path:
        """A place for what is not complete yet, or not wanted any more."""
        return self._site / f"{name}.{os.getpid()}-{time.time_ns()}"

    def sweep(self) -> None:
        """Delete what killed builds and removals have left, but where an uv still works."""
        for name in {path.name.partition(".")[0] for path in self._site.glob("*.*")}:
            with try_lock(self._lock_file(name)) as locked:
                if locked:
                    self._clear(name)

    def _lock_file(self, name: str) -> Path:
        return self._site / f"{name}.lock"

    def _clear(self, name: str) -> None:
        for left in self._site.glob(f"{name}.[0-9]*"):
            shutil.rmtree(left, ignore_errors=True)
        self._lock_file(name).unlink(missing_ok=True)
