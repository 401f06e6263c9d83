"""Pipelines, their versions and sources."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, cast

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    func,
    select,
    type_coerce,
    update,
)

from tau.core.database import Session
from tau.models import Pipeline, Run, Schedule, Source, Version
from tau.models.run import BAD
from tau.repositories.base import (
    COUNT_LIMIT,
    Page,
    Repository,
    SessionT,
    decode_cursor,
    encode_cursor,
)


@dataclass(frozen=True)
class Deployed:
    """A pipeline with the version that runs now, and its last run."""

    pipeline: Pipeline
    version: Version
    last_run: Run | None = None


class PipelineLine(NamedTuple):
    """What a list shows of a pipeline: a few columns, since whole rows cost ten times as much."""

    total: int
    name: str
    version: int
    runs: int
    spec: dict[str, Any]
    last_status: str | None
    last_finished_at: datetime | None
    cron: str | None
    every: float | None
    timezone: str | None
    enabled: bool | None


_pipelines = cast(Table, Pipeline.__table__)
_versions = cast(Table, Version.__table__)
_runs = cast(Table, Run.__table__)
_schedules = cast(Table, Schedule.__table__)
_COUNT_RUN = (
    update(_pipelines)
    .where(_pipelines.c.id == bindparam("pipeline"))
    .values(run_count=_pipelines.c.run_count + 1)
    .returning(_pipelines.c.run_count)
)
_kept = _pipelines.c.run_count - _pipelines.c.removed_count
_RUNS_OF_ONE = select(_kept).where(_pipelines.c.id == bindparam("pipeline"))
_RUNS_OF_ALL = select(func.sum(_kept)).where(_pipelines.c.tenant_id == bindparam("tenant"))
_FIND = (
    select(Pipeline, Version)
    .join(
        Version,
        and_(Version.pipeline_id == Pipeline.id, Version.number == Pipeline.current_version),
    )
    .where(
        Pipeline.tenant_id == bindparam("tenant"),
        Pipeline.name == bindparam("name"),
        Pipeline.undeployed_at.is_(None),
    )
)


_deployed = and_(
    _pipelines.c.tenant_id == bindparam("tenant"), _pipelines.c.undeployed_at.is_(None)
)


def _matching(tag: str | None) -> ColumnElement[bool]:
    """The deployed pipelines of :tenant, those with a tag if one is named."""
    if tag is None:
        return _deployed
    return and_(_deployed, _pipelines.c.tag_index.contains(f"\n{tag}\n", autoescape=True))


def _counted(tag: str | None) -> Select[int]:
    """How many match, up to COUNT_LIMIT."""
    limited = select(_pipelines.c.id).where(_matching(tag)).limit(COUNT_LIMIT).subquery()
    return select(func.count()).select_from(limited)


@lru_cache(64)
def _page(tag: str | None, goes_on: bool) -> Select[Any]:
    """:rows deployed pipelines by name, those after :after where the list goes on.

    Built once: that takes as long as all else that a request for a list takes. Numbers of runs
    have no gaps, so that the last run is found by its number.
    """
    query = (
        select(
            _counted(tag).scalar_subquery(),
            _pipelines.c.name,
            _versions.c.number,
            _pipelines.c.run_count,
            _versions.c.spec,
            _runs.c.status,
            _runs.c.finished_at,
            _schedules.c.cron,
            _schedules.c.every,
            _schedules.c.timezone,
            _schedules.c.enabled,
        )
        .select_from(_pipelines)
        .join(
            _versions,
            and_(
                _versions.c.pipeline_id == _pipelines.c.id,
                _versions.c.number == _pipelines.c.current_version,
            ),
        )
        .outerjoin(
            _runs,
            and_(_runs.c.pipeline_id == _pipelines.c.id, _runs.c.number == _pipelines.c.run_count),
        )
        .outerjoin(_schedules, _schedules.c.pipeline_id == _pipelines.c.id)
        .where(_matching(tag))
    )
    if goes_on:
        query = query.where(_pipelines.c.name > bindparam("after"))
    return query.order_by(_pipelines.c.name).limit(bindparam("rows"))


class PipelineRepository(Repository[SessionT]):
    def _current(self) -> ColumnElement[bool]:
        return and_(Version.pipeline_id == Pipeline.id, Version.number == Pipeline.current_version)

    def _deployed(self) -> ColumnElement[bool]:
        return and_(self._mine(Pipeline), Pipeline.undeployed_at.is_(None))

    async def find(self, name: str) -> Deployed | None:
        """The deployed pipeline of that name."""
        values = {"tenant": self._tenant_id, "name": name}
        row = (await self._session.execute(_FIND, values)).one_or_none()
        return Deployed(row[0], row[1]) if row else None

    async def find_any(self, name: str) -> Pipeline | None:
        """The pipeline of that name, also one that is not deployed any more."""
        query = select(Pipeline).where(self._mine(Pipeline), Pipeline.name == name)
        return (await self._session.scalars(query)).one_or_none()

    async def list_by_stem(self, stem: str) -> list[Deployed]:
        """The deployed pipelines whose file has that stem."""
        query = (
            select(Pipeline, Version)
            .join(Version, self._current())
            .where(self._deployed(), Pipeline.stem == stem)
            .order_by(Pipeline.name)
        )
        return [Deployed(p, v) for p, v in await self._session.execute(query)]

    async def list_names(self) -> list[str]:
        """All deployed names, for suggestions."""
        query = select(Pipeline.name).where(self._deployed()).order_by(Pipeline.name).limit(1000)
        return list((await self._session.scalars(query)).all())

    async def list_page(
        self, *, limit: int, cursor: str | None = None, tag: str | None = None
    ) -> Page[PipelineLine]:
        """Deployed pipelines by name, each with its last run and its schedule."""
        values: dict[str, Any] = {"tenant": self._tenant_id, "rows": limit + 1}
        if cursor is not None:
            values["after"] = decode_cursor(cursor, str)[0]
        rows = (await self._session.execute(_page(tag, cursor is not None), values)).all()
        lines = [PipelineLine(*row) for row in rows]
        if lines:
            total = lines[0].total
        else:
            total = int(await self._session.scalar(_counted(tag), values) or 0)
        more = encode_cursor(lines[limit - 1].name) if len(lines) > limit else None
        return Page(lines[:limit], total, more)

    async def list_whole(self, names: Sequence[str]) -> list[Deployed]:
        """The deployed pipelines of these names, by name, with all their columns."""
        query = (
            select(Pipeline, Version, Run)
            .join(Version, self._current())
            .outerjoin(Run, and_(Run.pipeline_id == Pipeline.id, Run.number == Pipeline.run_count))
            .where(self._deployed(), Pipeline.name.in_(names))
            .order_by(Pipeline.name)
        )
        return [Deployed(p, v, r) for p, v, r in await self._session.execute(query)]

    async def list_failing(self, *, limit: int) -> list[str]:
        """Deployed pipelines whose newest run failed, timed out or crashed, by name."""
        query = (
            select(Pipeline.name)
            .join(Run, and_(Run.pipeline_id == Pipeline.id, Run.number == Pipeline.run_count))
            .where(self._mine(Pipeline), Pipeline.undeployed_at.is_(None), Run.status.in_(BAD))
            .order_by(Pipeline.name)
            .limit(limit)
        )
        return list((await self._session.scalars(query)).all())

    async def list_environments(self) -> list[dict[str, Any]]:
        """What deployed pipelines say of environments of their own, those of every tenant."""
        says_so = type_coerce(Version.spec, Text).contains('"environment":{')
        query = (
            select(Version.spec)
            .join(Pipeline, self._current())
            .where(Pipeline.undeployed_at.is_(None), says_so)
        )
        specs = (await self._session.scalars(query)).all()
        return [spec["environment"] for spec in specs if spec.get("environment")]

    async def count(self) -> int:
        return int(
            await self._session.scalar(
                select(func.count()).select_from(Pipeline).where(self._deployed())
            )
            or 0
        )

    async def find_version(self, pipeline_id: str, number: int) -> Version | None:
        return await self._session.get(Version, (pipeline_id, number))

    async def list_versions(
        self, pipeline_id: str, *, limit: int, cursor: str | None = None
    ) -> tuple[list[Version], str | None]:
        """Versions from the newest on, and the cursor of the next page."""
        query = select(Version).where(Version.pipeline_id == pipeline_id)
        if cursor is not None:
            query = query.where(Version.number < decode_cursor(cursor, int)[0])
        query = query.order_by(Version.number.desc()).limit(limit + 1)
        rows = list((await self._session.scalars(query)).all())
        return rows[:limit], encode_cursor(rows[limit - 1].number) if len(rows) > limit else None

    async def find_source(self, sha256: str) -> str | None:
        """The content of a stored file."""
        return await self._session.scalar(select(Source.content).where(Source.sha256 == sha256))

    async def keep_source(
        self: "PipelineRepository[Session]", sha256: str, content: str, *, now: datetime
    ) -> None:
        """Store a file's content once."""
        values = {"sha256": sha256, "content": content, "created_at": now}
        await self._session.execute(self._insert_if_new(Source).values(values))

    async def lock_names(self: "PipelineRepository[Session]") -> None:
        """Deploys of a tenant one after the other; SQLite's write transactions are so anyway."""
        if self._session.get_bind().dialect.name == "postgresql":
            key = func.hashtext(f"deploy:{self._tenant_id}")
            await self._session.execute(select(func.pg_advisory_xact_lock(key)))

    async def add(
        self: "PipelineRepository[Session]", pipeline: Pipeline, version: Version
    ) -> None:
        """A pipeline with its first version."""
        pipeline.tenant_id = version.tenant_id = self._tenant_id
        self._session.add(pipeline)
        await self._session.flush()
        self._session.add(version)
        await self._session.flush()

    async def add_version(
        self: "PipelineRepository[Session]", pipeline: Pipeline, version: Version
    ) -> None:
        """The next version, which becomes the current one."""
        version.tenant_id = self._tenant_id
        self._session.add(version)
        pipeline.version_count = pipeline.current_version = version.number
        pipeline.stem = version.file_name.removesuffix(".py")
        pipeline.tag_index = tag_index(version.spec["tags"])
        pipeline.updated_at = version.created_at
        pipeline.undeployed_at = None
        await self._session.flush()

    async def point_to(
        self: "PipelineRepository[Session]", pipeline: Pipeline, version: Version, *, now: datetime
    ) -> None:
        """Make a version the current one."""
        pipeline.current_version = version.number
        pipeline.stem = version.file_name.removesuffix(".py")
        pipeline.tag_index = tag_index(version.spec["tags"])
        pipeline.updated_at = now
        await self._session.flush()

    async def undeploy(
        self: "PipelineRepository[Session]", pipeline: Pipeline, *, now: datetime
    ) -> None:
        """Take a pipeline out of service; versions and runs stay."""
        pipeline.undeployed_at = now
        await self._session.flush()

    async def next_run_number(self: "PipelineRepository[Session]", pipeline_id: str) -> int:
        """Counts one run more; the row stays locked until the commit, so numbers have no gaps."""
        counted = await self._session.execute(_COUNT_RUN, {"pipeline": pipeline_id})
        return int(counted.scalar_one())

    async def total_runs(self, pipeline_id: str | None = None) -> int:
        """How many runs are kept, from the counters: those there have been but the removed."""
        if pipeline_id is not None:
            values = {"pipeline": pipeline_id}
            return int(await self._session.scalar(_RUNS_OF_ONE, values) or 0)
        return int(await self._session.scalar(_RUNS_OF_ALL, {"tenant": self._tenant_id}) or 0)


def tag_index(tags: list[str]) -> str:
    """Tags as one text in which each stands between newlines, so that LIKE finds whole ones."""
    return "".join(f"\n{tag}" for tag in tags) + "\n" if tags else ""
