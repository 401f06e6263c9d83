"""The environments that files have for themselves: found, built once, removed when not needed.

An environment is a folder `<home>/environments/<hash>`; the hash is of all that it is made from.
"""

import asyncio
import contextlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path

from tau.core.script_block import Needs
from tau.pipeline.protocol import JobRequest
from tau.workers import environment
from tau.workers.environment import Environment, Recipe, TauNeeds, try_lock
from tau.workers.environment_builder import Build, Builder
from tau.workers.fresh import IN_USE_FILE
from tau.workers.interpreters import Interpreters
from tau.workers.own_code import ENTRY, OwnCode
from tau.workers.uv import Uv


class Environments:
    """Those of this home; `code` is Tau's own, which their interpreters import."""

    def __init__(self, folder: Path, uv: Uv, *, code: OwnCode) -> None:
        self._folder, self._code = folder, code
        self._interpreters = Interpreters(uv)
        self._builder = Builder(folder, uv)
        self._of_tau: TauNeeds | None = None
        self._builds: dict[str, tuple[Build, asyncio.Task[Environment]]] = {}
        self._users: Counter[str] = Counter()
        self._known: dict[str, Environment] = {}

    async def start(self) -> None:
        """Clear away what was left half."""
        await asyncio.to_thread(self._builder.sweep)

    async def stop(self) -> None:
        """End the builds."""
        tasks = [task for _, task in self._builds.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @property
    def builds(self) -> list[Build]:
        """What is being built now."""
        return [build for build, _ in self._builds.values()]

    async def recipe(self, needs: Needs) -> Recipe:
        """What an environment for these needs is made from, here. Raises DependencyError."""
        if self._of_tau is None:
            self._of_tau = environment.of_tau()
        return Recipe(needs, await self._interpreters.get(needs.requires_python), self._of_tau)

    def find(self, recipe: Recipe) -> Environment | None:
        """The environment, if it is there and whole."""
        found = self._known.get(recipe.hash) or environment.read(self._folder / recipe.hash)
        # Its interpreter is a link to one outside, which may have been removed.
        if found is None or not found.interpreter.exists():
            self._known.pop(recipe.hash, None)
            return None
        self._known[recipe.hash] = found
        return found

    async def resolve(self, recipe: Recipe) -> list[str]:
        """What would be installed, as `name==version`. Raises DependencyError."""
        return await self._builder.resolve(recipe)

    async def get(self, recipe: Recipe) -> Environment:
        """The environment, built if it is not there; who asks meanwhile waits for the same build.

        A build goes on when who asked for it has gone. Raises DependencyError.
        """
        found = self.find(recipe)
        return found if found is not None else await asyncio.shield(self._building(recipe))

    async def enter(self, request: JobRequest, entered: Environment) -> JobRequest:
        """The request, to be carried out in the environment. Raises OSError."""
        code = await asyncio.to_thread(self._code.ready)
        return replace(
            request,
            interpreter=(str(entered.interpreter), "-P", str(code / ENTRY)),
            env=entered.variables(request.env),
        )

    @contextlib.contextmanager
    def used(self, recipe: Recipe) -> Iterator[None]:
        """While it is used, nobody removes the environment."""
        self._users[recipe.hash] += 1
        try:
            self.touch(recipe)
            yield
            self.touch(recipe)
        finally:
            self._users[recipe.hash] -= 1

    def list_ready(self) -> list[tuple[Environment, float]]:
        """Those that are there, each with the Unix time of its last use."""
        found = []
        for path in sorted(self._folder.glob("*")):
            one = environment.read(path)
            if one is not None:
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    found.append((one, one.in_use_file.stat().st_mtime))
        return found

    async def remove_unused(self, kept: Collection[str], *, unused_since: float) -> list[str]:
        """Remove those that are not `kept`, by their hashes, nor used since that Unix time."""
        removed = []
        for one, used_at in await asyncio.to_thread(self.list_ready):
            if one.hash not in kept and used_at < unused_since:
                grave = self._bury(one, unused_since=unused_since)
                if grave is not None:
                    await asyncio.to_thread(shutil.rmtree, grave, ignore_errors=True)
                    removed.append(one.hash)
        return removed

    def _bury(self, one: Environment, *, unused_since: float) -> Path | None:
        """Move it out of the way at once, unless somebody is in it; no await comes in between."""
        if self._users[one.hash] > 0 or one.hash in self._builds:
            return None
        if one.in_use_file.stat().st_mtime >= unused_since:  # used since they were listed
            return None
        with try_lock(one.in_use_file) as locked:
            if not locked:  # by an attempt that an earlier daemon has started
                return None
            self._known.pop(one.hash, None)
            grave = self._builder.aside(one.hash)
            grave.parent.mkdir(mode=0o700, exist_ok=True)
            one.path.rename(grave)
        return grave

    def touch(self, recipe: Recipe) -> None:
        """Note that it is used now."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._folder / recipe.hash / IN_USE_FILE)

    def _building(self, recipe: Recipe) -> "asyncio.Task[Environment]":
        if recipe.hash in self._builds:
            return self._builds[recipe.hash][1]
        build = Build(recipe)
        task = asyncio.create_task(self._builder.build(build), name=f"environment {recipe.hash}")
        self._builds[recipe.hash] = (build, task)
        task.add_done_callback(lambda done: self._built(recipe, done))
        return task

    def _built(self, recipe: Recipe, task: "asyncio.Task[Environment]") -> None:
        del self._builds[recipe.hash]
        if not task.cancelled():
            task.exception()  # was told to whoever waited; if nobody does any more, to nobody
