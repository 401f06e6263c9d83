"""The composition root: which part is given which others. Nothing here starts anything."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from tau import __version__
from tau.api.deps import House, Services
from tau.api.errors import install
from tau.api.gate import Gate
from tau.api.router import ROUTES
from tau.core.clock import Clock
from tau.core.config import EnvironmentSettings, ExecutorSettings, Loaded, RetentionSettings
from tau.core.counters import Counters
from tau.core.crypto import Keyring
from tau.core.database import Database
from tau.core.ids import IdFactory
from tau.core.signals import Signals
from tau.core.source_cache import SourceCache
from tau.daemon.dispatcher import Dispatcher
from tau.daemon.executor import Executor, child_environment, limits
from tau.daemon.home import has_room
from tau.daemon.reaper import Reaper
from tau.daemon.recorder import Recorder
from tau.daemon.trouble import Trouble
from tau.services.audit_service import AuditService
from tau.services.backup_service import BackupService
from tau.services.cleanup_service import CleanupService
from tau.services.config_service import ConfigService
from tau.services.deploy_service import DeployService
from tau.services.environment_service import EnvironmentService
from tau.services.execution_service import ExecutionService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.inspection import Inspector
from tau.services.key_service import KeyService
from tau.services.lease_service import SELF_FENCE_S, LeaseService
from tau.services.log_service import LogService
from tau.services.metrics_service import MetricsService
from tau.services.pipeline_service import PipelineService
from tau.services.readiness_service import ReadinessService
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.secret_service import SecretService
from tau.services.status_service import DaemonFacts, StatusService
from tau.services.store_service import StoreService
from tau.services.tick_service import TickService
from tau.services.trace_service import TraceService
from tau.services.vault import Vault
from tau.services.version_service import VersionService
from tau.workers.base import Worker
from tau.workers.environments import Environments
from tau.workers.own_code import OwnCode
from tau.workers.uv import Uv


@dataclass(frozen=True, kw_only=True)
class Given:
    """What the parts stand on."""

    db: Database
    clock: Clock
    ids: IdFactory
    signals: Signals
    worker: Worker
    settings: ExecutorSettings
    retention: RetentionSettings
    environments: EnvironmentSettings = EnvironmentSettings()
    environ: Mapping[str, str]
    keyring: Keyring
    sources: Path
    node_id: str
    facts: DaemonFacts
    loaded: Loaded
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a daemon consists of."""

    services: Services
    execution: ExecutionService
    recorder: Recorder
    dispatcher: Dispatcher
    housekeeping: HousekeepingService
    reaper: Reaper | None
    ticks: TickService
    vault: Vault
    environments: Environments
    troubles: list[Trouble]


def compose(given: Given) -> Parts:
    """The parts of one daemon."""
    counters = given.counters
    execution = ExecutionService(
        given.db, given.clock, owner=given.node_id, signals=given.signals, counters=counters
    )
    recorder = Recorder(execution)
    vault = Vault(given.db, ring=given.keyring, environ=given.environ)
    environments = _environments(given)
    for_users = EnvironmentService(given.db, given.clock, environments, settings=given.environments)
    executor = Executor(
        execution,
        recorder,
        given.worker,
        cache=SourceCache(given.sources),
        vault=vault,
        settings=given.settings,
        environ=given.environ,
        clock=given.clock,
        environments=environments,
        leash=None if given.db.is_sqlite else SELF_FENCE_S,
    )
    dispatcher = Dispatcher(
        execution,
        executor,
        signals=given.signals,
        clock=given.clock,
        slots=given.settings.slots,
        shared_store=not given.db.is_sqlite,
        has_room=partial(has_room, given.sources.parent),
    )
    worker = {
        "id": given.node_id,
        "host": socket.gethostname(),
        "pid": given.facts.pid,
        "version": __version__,
        "slots": given.settings.slots,
        "started_at": given.facts.started_at,
    }
    leases = LeaseService(
        given.db, given.clock, worker=worker, signals=given.signals, counters=counters
    )
    housekeeping = HousekeepingService(
        given.db, given.clock, retention=given.retention, environments=for_users
    )
    troubles = [*dispatcher.troubles, *recorder.troubles, *executor.troubles]
    return Parts(
        reaper=None if given.db.is_sqlite else Reaper(leases, dispatcher),
        services=_services(
            given, dispatcher, vault, housekeeping, troubles, environments, for_users
        ),
        vault=vault,
        execution=execution,
        recorder=recorder,
        dispatcher=dispatcher,
        housekeeping=housekeeping,
        environments=environments,
        ticks=TickService(
            given.db, given.clock, given.ids, signals=given.signals, counters=counters
        ),
        troubles=troubles,
    )


def _environments(given: Given) -> Environments:
    home = given.sources.parent
    uv = Uv(given.environ, timeout=given.environments.build_timeout)
    return Environments(home / "environments", uv, code=OwnCode(home / "code"))


def _services(
    given: Given,
    dispatcher: Dispatcher,
    vault: Vault,
    housekeeping: HousekeepingService,
    troubles: Sequence[Trouble],
    environments: Environments,
    for_users: EnvironmentService,
) -> Services:
    inspector = Inspector(
        given.worker,
        SourceCache(given.sources),
        given.ids,
        limits=limits(given.settings, timeout=given.settings.import_timeout),
        env=child_environment(given.settings, given.environ),
        environments=environments,
    )
    schedules = ScheduleService(given.db, given.clock, given.ids, signals=given.signals)
    return Services(
        schedules=schedules,
        audit=AuditService(given.db),
        versions=VersionService(
            given.db, given.clock, given.ids, schedules=schedules, counters=given.counters
        ),
        house=_house(given, dispatcher, housekeeping),
        deployments=DeployService(
            given.db,
            given.clock,
            given.ids,
            inspector=inspector,
            schedules=schedules,
            environments=for_users,
        ),
        environments=for_users,
        keys=KeyService(given.db, given.clock, given.ids),
        logs=LogService(given.db, signals=given.signals),
        pipelines=PipelineService(given.db, given.clock, environments=for_users),
        runs=RunService(
            given.db,
            given.clock,
            given.ids,
            signals=given.signals,
            planner=Planner(default_timeout=given.settings.timeout, vault=vault),
            queue_limit=given.settings.queue_limit,
            slots=dispatcher.places,
            counters=given.counters,
        ),
        secrets=SecretService(given.db, given.clock, given.ids, vault=vault, node_id=given.node_id),
        status=StatusService(
            given.db,
            given.clock,
            facts=given.facts,
            busy=lambda: dispatcher.busy,
            troubles=lambda: [told for trouble in troubles if (told := trouble.told)],
        ),
        traces=TraceService(given.db, given.clock),
    )


def _house(given: Given, dispatcher: Dispatcher, housekeeping: HousekeepingService) -> House:
    return House(
        backups=BackupService(
            given.db,
            given.clock,
            given.ids,
            home=Path(given.facts.home),
            revision=given.facts.revision,
        ),
        cleanup=CleanupService(given.db, given.clock, given.ids, housekeeping=housekeeping),
        config=ConfigService(given.loaded),
        metrics=MetricsService(
            given.db,
            counters=given.counters,
            slots=given.settings.slots,
            busy=lambda: dispatcher.busy,
        ),
        readiness=ReadinessService(given.db, claims=lambda: dispatcher.claims_runs),
        store=StoreService(given.db, given.clock, given.ids, revision=given.facts.revision),
    )


def create_app(services: Services, *, hosts: set[str], counters: Counters | None = None) -> FastAPI:
    """The daemon's HTTP application."""
    app = FastAPI(
        title="Tau",
        version=__version__,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False, "operation_spans": False},
    )
    app.state.services = services
    app.router.routes.extend(ROUTES)
    app.add_middleware(Gate, hosts=hosts, counters=counters or Counters())
    install(app)
    return app
