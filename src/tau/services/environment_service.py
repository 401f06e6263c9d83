"""Own environments as deploys, pages and housekeeping need them."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tau.core.clock import Clock
from tau.core.config import EnvironmentSettings
from tau.core.database import Database
from tau.core.script_block import Needs
from tau.errors import DependencyError
from tau.pipeline.protocol import JsonObject
from tau.repositories.pipeline_repo import PipelineRepository
from tau.schemas.environment import BuildRead, EnvironmentList, EnvironmentRead, ReadyRead
from tau.workers.environment import Environment, Recipe
from tau.workers.environments import Environments


@dataclass(frozen=True)
class Prepared:
    """An environment at deploy: None where it is not built, which only a dry run leaves so."""

    needs: Needs
    environment: Environment | None
    read: EnvironmentRead


class EnvironmentService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        environments: Environments,
        *,
        settings: EnvironmentSettings,
    ) -> None:
        self._db, self._clock = db, clock
        self._environments, self._settings = environments, settings

    async def prepare(self, needs: Needs, *, dry_run: bool) -> Prepared:
        """The environment for these needs, built if need be; a dry run only resolves them.

        Raises DependencyError; then nothing of it is kept.
        """
        recipe = await self._environments.recipe(needs)
        found = self._environments.find(recipe)
        if found is not None:
            self._environments.touch(recipe)
            return Prepared(needs, found, _ready(recipe, found))
        if dry_run:
            packages = await self._environments.resolve(recipe)
            return Prepared(needs, None, _unready(recipe, len(packages)))
        built = await self._environments.get(recipe)
        return Prepared(needs, built, _ready(recipe, built, is_new=True))

    async def read(self, spec: JsonObject, *, full: bool = False) -> EnvironmentRead | None:
        """The environment of a version's spec, as it is here; None where it has none of its own."""
        needs = Needs.of_spec(spec)
        if needs is None:
            return None
        try:
            recipe = await self._environments.recipe(needs)
        except DependencyError as error:
            return _read(needs, ready=False, problem=error.message)
        found = self._environments.find(recipe)
        if found is None:
            return _unready(recipe, None)
        installed = {"installed": list(found.packages)} if full else {}
        return _ready(recipe, found).model_copy(update=installed)

    async def list(self) -> EnvironmentList:
        """What is being built in this home, and what is there."""
        kept = await self._deployed()
        ready = await asyncio.to_thread(self._environments.list_ready)
        return EnvironmentList(
            building=[
                BuildRead(
                    hash=build.recipe.hash,
                    phase=build.phase,
                    since=_time(build.since),
                    dependencies=list(build.recipe.needs.dependencies),
                )
                for build in self._environments.builds
            ],
            environments=[
                ReadyRead(
                    hash=one.hash,
                    python=one.python,
                    packages=len(one.packages),
                    built_in_s=one.built_in_s,
                    used_at=_time(used_at),
                    deployed=one.hash in kept,
                )
                for one, used_at in ready
            ],
        )

    async def remove_unused(self) -> Sequence[str]:
        """Remove what no deployed pipeline names and nothing has used for days; the hashes."""
        unused_since = self._clock.now() - timedelta(days=self._settings.days)
        kept = await self._deployed()
        return await self._environments.remove_unused(kept, unused_since=unused_since.timestamp())

    async def _deployed(self) -> set[str]:
        """The hashes, here, of what the current versions of deployed pipelines need."""
        async with self._db.read() as session:
            found = await PipelineRepository(session).list_environments()
        hashes = set()
        for needs in {Needs.of_spec({"environment": kept}) for kept in found}:
            try:
                hashes.add((await self._environments.recipe(needs)).hash if needs else "")
            except DependencyError:
                continue  # it can't be had here, so there is none to keep
        return hashes


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _ready(recipe: Recipe, found: Environment, *, is_new: bool = False) -> EnvironmentRead:
    return _read(
        recipe.needs,
        hash=found.hash,
        python=found.python,
        packages=len(found.packages),
        ready=True,
        built_in_s=found.built_in_s if is_new else None,
    )


def _unready(recipe: Recipe, packages: int | None) -> EnvironmentRead:
    return _read(
        recipe.needs,
        hash=recipe.hash,
        python=recipe.interpreter.version,
        packages=packages,
        ready=False,
    )


def _read(
    needs: Needs,
    *,
    ready: bool,
    hash: str | None = None,
    python: str | None = None,
    packages: int | None = None,
    built_in_s: float | None = None,
    problem: str | None = None,
) -> EnvironmentRead:
    return EnvironmentRead(
        hash=hash,
        python=python,
        packages=packages,
        ready=ready,
        built_in_s=built_in_s,
        problem=problem,
        dependencies=list(needs.dependencies),
        requires_python=needs.requires_python,
    )
