"""The life of a pipeline: its versions, what differs between them, rolling back, undeploying."""

from collections.abc import Mapping
from difflib import unified_diff
from functools import partial
from typing import Any

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.counters import Counters
from tau.core.database import Database, ReadSession, Session
from tau.core.ids import IdFactory
from tau.errors import VersionNotFound
from tau.models import Version
from tau.pipeline.types import RunStatus
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.base import encode_cursor
from tau.repositories.pipeline_repo import Deployed, PipelineRepository
from tau.repositories.run_repo import RunRepository
from tau.schemas.base import Change
from tau.schemas.run import RequestedBy
from tau.schemas.version import (
    DiffRead,
    Rollback,
    RollbackRead,
    UndeployRead,
    VersionList,
    VersionRow,
)
from tau.services.budget import fit_rows
from tau.services.lookup import get_pipeline
from tau.services.run_view import reference
from tau.services.schedule_service import ScheduleService


class VersionService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        schedules: ScheduleService,
        counters: Counters | None = None,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._schedules, self._counters = schedules, counters or Counters()

    async def list(self, name: str, *, limit: int, cursor: str | None = None) -> VersionList:
        """The versions of a pipeline, the newest first."""
        async with self._db.read() as session:
            found = await get_pipeline(session, name)
            rows, more = await PipelineRepository(session).list_versions(
                found.pipeline.id, limit=limit, cursor=cursor
            )
        current = found.pipeline.current_version
        shown, cut = fit_rows([_row(version, current) for version in rows], limit=limit)
        if cut:
            more = encode_cursor(shown[-1].version)
        follow = [f"tau diff {found.pipeline.name}"] if found.pipeline.version_count > 1 else None
        return VersionList(
            pipeline=found.pipeline.name,
            versions=list(shown),
            total=found.pipeline.version_count,
            next_cursor=more,
            next=follow,
        )

    async def diff(
        self, name: str, *, start: int | None = None, end: int | None = None
    ) -> DiffRead:
        """What changed from `start` (the version before `end`) to `end` (the current one).

        Raises VersionNotFound.
        """
        async with self._db.read() as session:
            found = await get_pipeline(session, name)
            newer = await _get_version(session, found, end or found.pipeline.current_version)
            older = await _get_version(session, found, start or max(newer.number - 1, 1))
            pipelines = PipelineRepository(session)
            before = await pipelines.find_source(older.source_sha256) or ""
            after = await pipelines.find_source(newer.source_sha256) or ""
        lines = list(
            unified_diff(
                before.splitlines(),
                after.splitlines(),
                f"{older.file_name} (version {older.number})",
                f"{newer.file_name} (version {newer.number})",
                lineterm="",
            )
        )
        spec = _changed_keys(older.spec, newer.spec)
        return DiffRead(
            pipeline=found.pipeline.name,
            from_=older.number,
            to=newer.number,
            changed=bool(lines or spec),
            added=sum(1 for line in lines[2:] if line.startswith("+")),
            removed=sum(1 for line in lines[2:] if line.startswith("-")),
            diff="\n".join(lines),
            spec=spec or None,
        )

    async def rollback(self, name: str, request: Rollback, actor: Actor) -> RollbackRead:
        """Move the pointer to an older version; runs that are queued keep theirs.

        Raises VersionNotFound.
        """
        if request.dry_run:
            async with self._db.read() as session:
                return await self._rollback(session, None, name, request, actor)
        async with self._db.transaction() as session:
            return await self._rollback(session, session, name, request, actor)

    async def _rollback(
        self,
        reading: ReadSession,
        writing: Session | None,
        name: str,
        request: Rollback,
        actor: Actor,
    ) -> RollbackRead:
        found = await get_pipeline(reading, name)
        pipeline, current = found.pipeline, found.pipeline.current_version
        if request.to is None and current == 1:
            raise VersionNotFound(
                f"{pipeline.name} has no version before 1.", next=[f"tau versions {pipeline.name}"]
            )
        target = await _get_version(reading, found, request.to or current - 1)
        changed = target.number != current
        if writing is not None and changed:
            now = self._clock.now()
            await PipelineRepository(writing).point_to(pipeline, target, now=now)
            schedule, _ = await self._schedules.deployed(
                writing, pipeline.id, pipeline.name, target.spec
            )
            if schedule is not None:
                await self._schedules.keep(writing, schedule)
            await AuditRepository(writing).add(
                self._ids.new(),
                "pipeline.rollback",
                target=pipeline.name,
                actor=actor,
                now=now,
                reason=request.reason,
                detail={"from": current, "to": target.number},
            )
        return RollbackRead(
            pipeline=pipeline.name,
            version=target.number,
            previous_version=current,
            changed=changed,
            dry_run=request.dry_run,
            next=[f"tau run {pipeline.name}", f"tau rollback {pipeline.name} --to {current}"],
        )

    async def undeploy(self, name: str, request: Change, actor: Actor) -> UndeployRead:
        """Take a pipeline out of service: what is queued is cancelled, what runs goes on."""
        if request.dry_run:
            async with self._db.read() as session:
                return await self._undeploy(session, None, name, request, actor)
        async with self._db.transaction() as session:
            return await self._undeploy(session, session, name, request, actor)

    async def _undeploy(
        self,
        reading: ReadSession,
        writing: Session | None,
        name: str,
        request: Change,
        actor: Actor,
    ) -> UndeployRead:
        found = await get_pipeline(reading, name)
        pipeline, runs = found.pipeline, RunRepository(reading)
        pending = await runs.list_pending(pipeline.id)
        running = await runs.list_running(pipeline.id)
        if writing is not None:
            now, reason = self._clock.now(), f"{pipeline.name} was undeployed"
            for run in pending:
                if await RunRepository(writing).cancel_pending(run.id, reason=reason, now=now):
                    ended = partial(self._counters.runs.update, [RunStatus.CANCELLED])
                    writing.after_commit(ended)
            await PipelineRepository(writing).undeploy(pipeline, now=now)
            await self._schedules.undeployed(writing, pipeline.id)
            await AuditRepository(writing).add(
                self._ids.new(),
                "pipeline.undeploy",
                target=pipeline.name,
                actor=actor,
                now=now,
                reason=request.reason,
                detail={"version": pipeline.current_version, "cancelled": len(pending)},
            )
        return UndeployRead(
            pipeline=pipeline.name,
            undeployed=writing is not None,
            dry_run=request.dry_run,
            version=pipeline.current_version,
            runs=pipeline.run_count,
            cancelled=[reference(run) for run in pending] or None,
            running=[reference(run) for run in running] or None,
            next=["tau list"],
        )


async def _get_version(session: ReadSession, found: Deployed, number: int) -> Version:
    version = await PipelineRepository(session).find_version(found.pipeline.id, number)
    if version is None:
        raise VersionNotFound(
            f"{found.pipeline.name} has no version {number}.",
            hint=f"It has versions 1 to {found.pipeline.version_count}.",
            next=[f"tau versions {found.pipeline.name}"],
        )
    return version


def _row(version: Version, current: int) -> VersionRow:
    return VersionRow(
        version=version.number,
        current=version.number == current,
        sha256=version.source_sha256,
        file=version.file_name,
        deployed_at=version.created_at,
        deployed_by=RequestedBy(key=version.created_by, agent=version.agent, reason=version.reason),
    )


def _changed_keys(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What the decorator says differently; where in the file it says so does not count."""
    keys = sorted((before.keys() | after.keys()) - {"line"})
    return {
        key: {"from": before.get(key), "to": after.get(key)}
        for key in keys
        if before.get(key) != after.get(key)
    }
