"""Reading pipelines: lists, one pipeline, its code."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tau.core.clock import Clock
from tau.core.database import Database, ReadSession
from tau.errors import VersionNotFound
from tau.models import Run, Schedule
from tau.pipeline.protocol import JsonObject
from tau.repositories.base import encode_cursor
from tau.repositories.pipeline_repo import Deployed, PipelineLine, PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.repositories.schedule_repo import ScheduleRepository
from tau.schemas.pipeline import (
    CodeRead,
    LastRun,
    PipelineFullRow,
    PipelineList,
    PipelineRead,
    PipelineRow,
)
from tau.schemas.run import RequestedBy
from tau.services.budget import fit_rows, fitted, shorten
from tau.services.environment_service import EnvironmentService
from tau.services.lookup import get_pipeline
from tau.services.schedule_view import describe, read_schedule, summary


class PipelineService:
    def __init__(self, db: Database, clock: Clock, *, environments: EnvironmentService) -> None:
        self._db, self._clock = db, clock
        self._environments = environments

    async def list(
        self,
        *,
        limit: int,
        cursor: str | None = None,
        tag: str | None = None,
        full: bool = False,
    ) -> PipelineList:
        """Deployed pipelines by name; `full` shows all that their files say."""
        async with self._db.glance() as session:
            page = await PipelineRepository(session).list_page(limit=limit, cursor=cursor, tag=tag)
            rows: Sequence[PipelineRow] = (
                await self._full_rows(session, page.rows) if full else [_row(r) for r in page.rows]
            )
        more = page.next_cursor
        shown, cut = fit_rows(rows, limit=limit, full=full)
        if cut:
            more = encode_cursor(shown[-1].name)
        return PipelineList(
            pipelines=list(shown),
            total=page.total,
            next_cursor=more,
            next=None if page.total or tag else ["tau deploy FILE"],
        )

    async def _full_rows(
        self, session: ReadSession, lines: Sequence[PipelineLine]
    ) -> Sequence[PipelineRow]:
        found = await PipelineRepository(session).list_whole([line.name for line in lines])
        schedules = await ScheduleRepository(session).find_many([d.pipeline.id for d in found])
        now = self._clock.now()
        return [_full_row(d, schedules.get(d.pipeline.id), now) for d in found]

    async def get(self, name: str, *, full: bool = False) -> PipelineRead:
        """A pipeline as its current version says it, and how it did last."""
        async with self._db.glance() as session:
            found = await get_pipeline(session, name)
            runs = RunRepository(session)
            last = await runs.find_last(found.pipeline.id)
            success = await runs.last_success_start(found.pipeline.id)
            schedule = await ScheduleRepository(session).find(found.pipeline.id)
        read = _read(found, last, schedule, now=self._clock.now(), success=success)
        read.environment = await self._environments.read(found.version.spec, full=full)
        get = f"tau code {read.name}" if full else f"tau show {read.name} --full"
        return fitted(read, full=full, get=get)

    async def code(self, name: str, *, version: int | None = None) -> CodeRead:
        """The source of a version, the current one where none is named."""
        async with self._db.read() as session:
            found = await get_pipeline(session, name)
            pipelines, row = PipelineRepository(session), found.version
            if version is not None and version != row.number:
                other = await pipelines.find_version(found.pipeline.id, version)
                if other is None:
                    raise VersionNotFound(
                        f"{found.pipeline.name} has no version {version}.",
                        hint=f"It has versions 1 to {found.pipeline.version_count}.",
                        next=[f"tau code {found.pipeline.name}"],
                    )
                row = other
            code = await pipelines.find_source(row.source_sha256)
        return CodeRead(
            name=found.pipeline.name,
            version=row.number,
            file=row.file_name,
            sha256=row.source_sha256,
            code=code or "",
        )


_SPEC_FIELDS = (
    "line",
    "function",
    "retries",
    "retry_delay",
    "retry_backoff",
    "timeout",
    "max_concurrent",
    "on_overlap",
)


def _read(
    found: Deployed,
    last: Run | None,
    schedule: Schedule | None,
    *,
    now: datetime,
    success: datetime | None,
) -> PipelineRead:
    pipeline, version, spec = found.pipeline, found.version, found.version.spec
    return PipelineRead(
        **_spec_facts(spec),
        name=pipeline.name,
        description=spec.get("description") or None,
        tags=spec.get("tags") or None,
        depends_on=spec.get("depends_on") or None,
        params=_params(spec["params"]),
        secrets=spec.get("secrets") or None,
        version=version.number,
        versions=pipeline.version_count,
        file=version.file_name,
        sha256=version.source_sha256,
        schedule=read_schedule(schedule, now=now),
        deployed_at=version.created_at,
        deployed_by=RequestedBy(key=version.created_by, agent=version.agent, reason=version.reason),
        runs=pipeline.run_count,
        last_run=_last_run(last),
        last_success_at=success,
        next=[f"tau run {pipeline.name}"] + ([f"tau runs {pipeline.name}"] if last else []),
    )


def _full_row(deployed: Deployed, schedule: Schedule | None, now: datetime) -> PipelineFullRow:
    read = _read(deployed, deployed.last_run, schedule, now=now, success=None)
    facts = {name: getattr(read, name) for name in PipelineFullRow.model_fields}
    return PipelineFullRow(**(facts | {"schedule": summary(schedule)}))


def _spec_facts(spec: JsonObject) -> dict[str, Any]:
    return {key: spec.get(key) for key in _SPEC_FIELDS}


def _params(params: dict[str, object]) -> dict[str, object] | None:
    return {key: value for key, value in params.items() if value} or None


def _last_run(run: Run | None) -> LastRun | None:
    if run is None:
        return None
    return LastRun(
        run=f"{run.pipeline_name}#{run.number}", status=run.status, finished_at=run.finished_at
    )


def _row(line: PipelineLine) -> PipelineRow:
    description = line.spec.get("description") or None
    last = f"{line.name}#{line.runs}"
    return PipelineRow(
        name=line.name,
        version=line.version,
        description=shorten(description, 120) if description else None,
        tags=line.spec.get("tags") or None,
        schedule=describe(line.cron, line.every, line.timezone, enabled=line.enabled),
        last_run=LastRun(run=last, status=line.last_status, finished_at=line.last_finished_at)
        if line.last_status
        else None,
        runs=line.runs,
    )
