"""Deploying a file: checked outside the daemon, then stored as new versions in one transaction."""

import shlex
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import Database, ReadSession, Session
from tau.core.ids import IdFactory
from tau.core.script_block import read_needs
from tau.core.source_cache import sha256_of
from tau.errors import (
    DependencyError,
    PipelineInvalidSchedule,
    PipelineNameOverride,
    PipelineNotText,
    PipelineTooLarge,
)
from tau.models import Pipeline, Schedule, Version
from tau.pipeline.protocol import JsonObject
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.pipeline_repo import PipelineRepository, tag_index
from tau.schedule.ticks import TickSpecError
from tau.schemas.base import NamedWarning
from tau.schemas.pipeline import DeployedRead, DeploymentCreate, DeploymentRead
from tau.services.budget import fitted
from tau.services.environment_service import EnvironmentService, Prepared
from tau.services.idempotency import once, request_digest
from tau.services.inspection import Inspector
from tau.services.schedule_service import ScheduleService
from tau.services.schedule_view import read_schedule, spec_of_file

MAX_SOURCE_BYTES = 1024 * 1024
NOT_ACTED_ON = ("depends_on",)


@dataclass
class _Plan:
    """What a deployment comes to for one pipeline of the file."""

    spec: JsonObject
    existing: Pipeline | None
    current: Version | None
    changed: bool
    number: int
    previous: int | None
    warnings: list[NamedWarning] = field(default_factory=list)
    schedule: Schedule | None = None


class DeployService:
    def __init__(
        self,
        db: Database,
        clock: Clock,
        ids: IdFactory,
        *,
        inspector: Inspector,
        schedules: ScheduleService,
        environments: EnvironmentService,
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._inspector, self._schedules = inspector, schedules
        self._environments = environments

    async def deploy(
        self, request: DeploymentCreate, actor: Actor, *, idempotency_key: str | None = None
    ) -> DeploymentRead:
        """Store the file's pipelines; with `dry_run` only say what that would change.

        Raises ValidationError and DependencyError with `file` and `line`; then nothing is kept.
        """
        file_name = PurePath(request.file_name).name
        _check_text(file_name, request.source)
        prepared = await self._prepare(request, file_name)
        if prepared is not None and prepared.environment is None:
            return await self._outline(request, file_name, prepared)
        specs = await self._inspect(request, file_name, prepared)
        if request.name is not None:
            specs = [_renamed(specs, request.name, file_name)]
        if request.schedule is not None and len(specs) != 1:
            raise _one_wanted("--schedule", specs, file_name)
        for spec in specs:
            _check_schedule(spec, file_name)
        if request.dry_run:
            async with self._db.read() as session:
                answer = await self._describe(session, request, file_name, specs)
            return _in_environment(answer, prepared)
        async with self._db.transaction() as session:
            answer = await once(
                session,
                idempotency_key,
                digest=request_digest("deployments", request),
                now=self._clock.now(),
                produce=lambda: self._store(session, request, file_name, specs, actor),
                answer_type=DeploymentRead,
            )
        return _in_environment(answer, prepared)

    async def _prepare(self, request: DeploymentCreate, file_name: str) -> Prepared | None:
        """The file's own environment, if it asks for one; the error says what to do with it."""
        needs = read_needs(request.source, file_name)
        if needs is None:
            return None
        try:
            return await self._environments.prepare(needs, dry_run=request.dry_run)
        except DependencyError as error:
            error.message = f"{file_name}: {error.message}"
            error.details = {"file": file_name} | error.details
            error.next = error.next or [_command(request)]
            raise

    async def _inspect(
        self, request: DeploymentCreate, file_name: str, prepared: Prepared | None
    ) -> list[JsonObject]:
        specs = await self._inspector.inspect(
            file_name,
            request.source,
            origin=request.origin,
            environment=prepared.environment if prepared else None,
        )
        kept = {"environment": prepared.needs.to_dict()} if prepared else {}
        return [spec | kept for spec in specs]

    async def _outline(
        self, request: DeploymentCreate, file_name: str, prepared: Prepared
    ) -> DeploymentRead:
        """What can be said of a file whose environment a dry run does not build."""
        outlines = await self._inspector.outline(file_name, request.source)
        if request.name is not None:
            outlines = [_renamed(outlines, request.name, file_name)]
        sha256 = sha256_of(request.source)
        async with self._db.read() as session:
            plans = [await _plan(session, outline, sha256, file_name) for outline in outlines]
        answer = self._answer(request, file_name, sha256, plans)
        warning = NamedWarning(
            code="environment.not_built",
            message=f"A dry run builds no environment: the dependencies of {file_name} were "
            "resolved, but its imports, options and schedule are checked only at deploy.",
        )
        warned = answer.model_copy(update={"warnings": [*(answer.warnings or ()), warning]})
        return _in_environment(warned, prepared)

    async def _describe(
        self,
        session: ReadSession,
        request: DeploymentCreate,
        file_name: str,
        specs: list[JsonObject],
    ) -> DeploymentRead:
        sha256 = sha256_of(request.source)
        plans = [await _plan(session, spec, sha256, file_name) for spec in specs]
        for plan in plans:
            pipeline_id = plan.existing.id if plan.existing else ""
            plan.schedule, kept = await self._schedules.deployed(
                session, pipeline_id, plan.spec["name"], plan.spec, cron=request.schedule
            )
            plan.warnings += [kept] if kept else []
        return self._answer(request, file_name, sha256, plans)

    async def _store(
        self,
        session: Session,
        request: DeploymentCreate,
        file_name: str,
        specs: list[JsonObject],
        actor: Actor,
    ) -> DeploymentRead:
        now, sha256 = self._clock.now(), sha256_of(request.source)
        pipelines = PipelineRepository(session)
        await pipelines.lock_names()
        plans = [await _plan(session, spec, sha256, file_name) for spec in specs]
        await pipelines.keep_source(sha256, request.source, now=now)
        for plan in plans:
            if plan.changed:
                version = _version(plan, request, file_name, sha256, actor, now)
                await self._store_one(pipelines, plan, version)
                await self._schedule(session, version.pipeline_id, plan, request)
                await AuditRepository(session).add(
                    self._ids.new(),
                    "pipeline.deploy",
                    target=plan.spec["name"],
                    actor=actor,
                    now=now,
                    reason=request.reason,
                    detail={"version": version.number, "sha256": sha256},
                )
            elif plan.existing is not None and plan.current is not None:
                # The same content, read from another place: only where it lies has changed.
                plan.existing.stem = PurePath(file_name).stem
                plan.current.origin = request.origin or plan.current.origin
                await self._schedule(session, plan.existing.id, plan, request)
        return self._answer(request, file_name, sha256, plans)

    async def _schedule(
        self, session: Session, pipeline_id: str, plan: _Plan, request: DeploymentCreate
    ) -> None:
        plan.schedule, kept = await self._schedules.deployed(
            session, pipeline_id, plan.spec["name"], plan.spec, cron=request.schedule
        )
        plan.warnings += [kept] if kept else []
        if plan.schedule is not None:
            await self._schedules.keep(session, plan.schedule)

    async def _store_one(
        self, pipelines: PipelineRepository[Session], plan: _Plan, version: Version
    ) -> None:
        if plan.existing is not None:
            version.pipeline_id = plan.existing.id
            await pipelines.add_version(plan.existing, version)
            return
        version.pipeline_id = self._ids.new()
        pipeline = Pipeline(
            id=version.pipeline_id,
            name=plan.spec["name"],
            stem=PurePath(version.file_name).stem,
            tag_index=tag_index(plan.spec["tags"]),
            current_version=1,
            version_count=1,
            run_count=0,
            created_at=version.created_at,
            updated_at=version.created_at,
        )
        await pipelines.add(pipeline, version)

    def _answer(
        self, request: DeploymentCreate, file_name: str, sha256: str, plans: list[_Plan]
    ) -> DeploymentRead:
        now = self._clock.now()
        names = [plan.spec["name"] for plan in plans]
        follow = [f"tau run {name}" for name in names[:3]]
        answer = DeploymentRead(
            file=file_name,
            sha256=sha256,
            changed=any(plan.changed for plan in plans),
            dry_run=request.dry_run,
            pipelines=[_deployed_read(plan, now) for plan in plans],
            warnings=[warning for plan in plans for warning in plan.warnings] or None,
            next=[_command(request)] if request.dry_run else follow,
        )
        return fitted(answer, get="tau list --limit 200")


def _in_environment(answer: DeploymentRead, prepared: Prepared | None) -> DeploymentRead:
    """As it is on this daemon now: no part of what an idempotency key repeats."""
    if prepared is None:
        return answer
    told = answer.model_copy(update={"environment": prepared.read})
    return fitted(told, get="tau list --limit 200")


def _command(request: DeploymentCreate) -> str:
    """The command that does what a dry run showed."""
    words = ["tau", "deploy", request.origin or request.file_name]
    for option, value in (("--name", request.name), ("--schedule", request.schedule)):
        words += [option, value] if value is not None else []
    return shlex.join(words)


def _check_text(file_name: str, source: str) -> None:
    if len(source.encode("utf-8", "surrogatepass")) > MAX_SOURCE_BYTES:
        raise PipelineTooLarge(
            f"{file_name} is larger than {MAX_SOURCE_BYTES // 1024} KiB.",
            hint="Keep data out of the file; read it when the pipeline runs.",
            file=file_name,
        )
    try:
        source.encode("utf-8")
    except UnicodeEncodeError as error:
        raise PipelineNotText(f"{file_name} is not UTF-8 text.", file=file_name) from error
    if "\0" in source:
        line = source[: source.index("\0")].count("\n") + 1
        raise PipelineNotText(
            f"{file_name}:{line} holds a NUL byte: it is no text.", file=file_name, line=line
        )


def _renamed(specs: list[JsonObject], name: str, file_name: str) -> JsonObject:
    if len(specs) != 1:
        raise _one_wanted("--name", specs, file_name)
    return specs[0] | {"name": name, "declared_name": specs[0]["name"]}


def _one_wanted(option: str, specs: list[JsonObject], file_name: str) -> PipelineNameOverride:
    return PipelineNameOverride(
        f"{file_name} holds {len(specs)} pipelines; {option} is for a file with a single one.",
        file=file_name,
        candidates=[spec["name"] for spec in specs[:20]],
    )


def _check_schedule(spec: JsonObject, file_name: str) -> None:
    try:
        spec_of_file(spec)
    except (TickSpecError, KeyError) as error:
        raise PipelineInvalidSchedule(
            f"{file_name}:{spec['line']}: pipeline {spec['name']}: {error}",
            file=file_name,
            line=spec["line"],
        ) from error


def _next_number(existing: Pipeline | None, *, changed: bool) -> int:
    if existing is None:
        return 1
    return existing.version_count + 1 if changed else existing.current_version


async def _plan(session: ReadSession, spec: JsonObject, sha256: str, file_name: str) -> _Plan:
    pipelines = PipelineRepository(session)
    existing = await pipelines.find_any(spec["name"])
    current = None
    if existing is not None:
        current = await pipelines.find_version(existing.id, existing.current_version)
    same = (
        existing is not None
        and existing.undeployed_at is None
        and current is not None
        and current.source_sha256 == sha256
    )
    plan = _Plan(
        spec,
        existing,
        current,
        changed=not same,
        number=_next_number(existing, changed=not same),
        previous=existing.current_version if existing else None,
    )
    kept = [key for key in NOT_ACTED_ON if spec.get(key)]
    if kept:
        plan.warnings.append(
            NamedWarning(
                code="option.not_acted_on",
                message=f"{spec['name']}: this version keeps {', '.join(kept)} "
                "but does not act on it yet; runs are started by tau run.",
            )
        )
    if current is not None and current.file_name != file_name:
        plan.warnings.append(
            NamedWarning(
                code="pipeline.other_file",
                message=f"{spec['name']} came from {current.file_name} before.",
            )
        )
    return plan


def _version(
    plan: _Plan,
    request: DeploymentCreate,
    file_name: str,
    sha256: str,
    actor: Actor,
    now: datetime,
) -> Version:
    return Version(
        number=plan.number,
        source_sha256=sha256,
        file_name=file_name,
        origin=request.origin,
        spec=plan.spec,
        created_at=now,
        created_by=actor.key_name,
        agent=actor.agent,
        reason=request.reason,
    )


def _deployed_read(plan: _Plan, now: datetime) -> DeployedRead:
    return DeployedRead(
        name=plan.spec["name"],
        version=plan.number,
        previous_version=plan.previous,
        changed=plan.changed,
        line=plan.spec["line"],
        description=plan.spec.get("description") or None,
        tags=plan.spec.get("tags") or None,
        schedule=read_schedule(plan.schedule, now=now),
    )
