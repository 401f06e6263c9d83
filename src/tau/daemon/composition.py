"""The composition root: which part is given which others. Nothing here starts anything."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from tau import __version__
from tau.api.deps import House, Services
from tau.api.errors import install
from tau.api.gate import Gate
from tau.api.router import ROUTES
from tau.core.clock import Clock
from tau.core.config import (
    EnvironmentSettings,
    ExecutorSettings,
    Loaded,
    NotifySettings,
    RetentionSettings,
    WebhookSettings,
)
from tau.core.counters import Counters
from tau.core.crypto import Keyring
from tau.core.database import Database
from tau.core.egress import Egress
from tau.core.ids import IdFactory
from tau.core.notifier import Notifier
from tau.core.signals import Signals
from tau.core.source_cache import SourceCache
from tau.daemon.courier import Courier
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
from tau.services.delivery_service import DeliveryService
from tau.services.deploy_service import DeployService
from tau.services.environment_service import EnvironmentService
from tau.services.execution_service import ExecutionService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.inspection import Inspector
from tau.services.key_service import KeyService
from tau.services.late_service import LateService
from tau.services.lease_service import SELF_FENCE_S, LeaseService
from tau.services.log_service import LogService
from tau.services.metrics_service import MetricsService
from tau.services.notice_service import NoticeService
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
from tau.services.webhook_service import WebhookService
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
    webhooks: WebhookSettings = WebhookSettings()
    notify: NotifySettings = NotifySettings()


@dataclass(frozen=True, kw_only=True)
class Telling:
    """How people are told of things: what writes it down, and what sends it."""

    notices: NoticeService
    deliveries: DeliveryService
    webhooks: WebhookService


@dataclass(frozen=True, kw_only=True)
class Shared:
    """What the services of users share with the daemon's own parts."""

    dispatcher: Dispatcher
    vault: Vault
    environments: Environments
    for_users: EnvironmentService
    telling: Telling
    housekeeping: HousekeepingService
    troubles: list[Trouble]


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
    courier: Courier
    troubles: list[Trouble]


def compose(given: Given) -> Parts:
    """The parts of one daemon."""
    vault = Vault(given.db, ring=given.keyring, environ=given.environ)
    telling = _telling(given, vault)
    told: Any = {
        "signals": given.signals, "notices": telling.notices, "counters": given.counters,
    }  # fmt: skip
    execution = ExecutionService(given.db, given.clock, owner=given.node_id, **told)
    recorder = Recorder(execution)
    environments = _environments(given)
    for_users = EnvironmentService(given.db, given.clock, environments, settings=given.environments)
    executor = _executor(given, execution, recorder, vault=vault, environments=environments)
    dispatcher = _dispatcher(given, execution, executor)
    leases = LeaseService(given.db, given.clock, worker=_worker(given), **told)
    courier = Courier(
        telling.deliveries,
        LateService(given.db, given.clock, notices=telling.notices, settings=given.notify),
        clock=given.clock,
        signals=given.signals,
    )
    told_of = (dispatcher, recorder, executor, courier)
    shared = Shared(
        dispatcher=dispatcher,
        vault=vault,
        environments=environments,
        for_users=for_users,
        telling=telling,
        housekeeping=HousekeepingService(
            given.db, given.clock, retention=given.retention, environments=for_users
        ),
        troubles=[trouble for part in told_of for trouble in part.troubles],
    )
    return Parts(
        reaper=None if given.db.is_sqlite else Reaper(leases, dispatcher),
        services=_services(given, shared),
        vault=vault,
        execution=execution,
        recorder=recorder,
        dispatcher=dispatcher,
        housekeeping=shared.housekeeping,
        environments=environments,
        ticks=TickService(given.db, given.clock, given.ids, **told),
        courier=courier,
        troubles=shared.troubles,
    )


def _executor(
    given: Given,
    execution: ExecutionService,
    recorder: Recorder,
    *,
    vault: Vault,
    environments: Environments,
) -> Executor:
    return Executor(
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


def _dispatcher(given: Given, execution: ExecutionService, executor: Executor) -> Dispatcher:
    return Dispatcher(
        execution,
        executor,
        signals=given.signals,
        clock=given.clock,
        slots=given.settings.slots,
        shared_store=not given.db.is_sqlite,
        has_room=partial(has_room, given.sources.parent),
    )


def _worker(given: Given) -> dict[str, Any]:
    """What the other daemons of the store know of this one."""
    return {
        "id": given.node_id,
        "host": socket.gethostname(),
        "pid": given.facts.pid,
        "version": __version__,
        "slots": given.settings.slots,
        "started_at": given.facts.started_at,
    }


def _environments(given: Given) -> Environments:
    home = given.sources.parent
    uv = Uv(given.environ, timeout=given.environments.build_timeout)
    return Environments(home / "environments", uv, code=OwnCode(home / "code"))


def _telling(given: Given, vault: Vault) -> Telling:
    notifier = Notifier(given.notify.urls)
    egress = Egress(
        allow_private=given.webhooks.allow_private,
        allow_http=given.webhooks.allow_http,
        timeout_s=given.webhooks.timeout,
    )
    deliveries = DeliveryService(
        given.db,
        given.clock,
        owner=given.node_id,
        egress=egress,
        notifier=notifier,
        vault=vault,
    )
    return Telling(
        notices=NoticeService(
            given.clock,
            given.ids,
            signals=given.signals,
            services=notifier.targets,
            events=given.notify.events,
        ),
        deliveries=deliveries,
        webhooks=WebhookService(
            given.db,
            given.clock,
            given.ids,
            egress=egress,
            notifier=notifier,
            vault=vault,
            deliveries=deliveries,
        ),
    )


def _services(given: Given, shared: Shared) -> Services:
    inspector = Inspector(
        given.worker,
        SourceCache(given.sources),
        given.ids,
        limits=limits(given.settings, timeout=given.settings.import_timeout),
        env=child_environment(given.settings, given.environ),
        environments=shared.environments,
    )
    schedules = ScheduleService(
        given.db, given.clock, given.ids, signals=given.signals, notices=shared.telling.notices
    )
    return Services(
        schedules=schedules,
        audit=AuditService(given.db),
        versions=VersionService(
            given.db, given.clock, given.ids, schedules=schedules, counters=given.counters
        ),
        house=_house(given, shared.dispatcher, shared.housekeeping),
        deployments=DeployService(
            given.db,
            given.clock,
            given.ids,
            inspector=inspector,
            schedules=schedules,
            environments=shared.for_users,
        ),
        environments=shared.for_users,
        keys=KeyService(given.db, given.clock, given.ids),
        logs=LogService(given.db, signals=given.signals),
        pipelines=PipelineService(given.db, given.clock, environments=shared.for_users),
        runs=RunService(
            given.db,
            given.clock,
            given.ids,
            signals=given.signals,
            planner=Planner(default_timeout=given.settings.timeout, vault=shared.vault),
            queue_limit=given.settings.queue_limit,
            slots=shared.dispatcher.places,
            counters=given.counters,
        ),
        secrets=SecretService(
            given.db, given.clock, given.ids, vault=shared.vault, node_id=given.node_id
        ),
        status=StatusService(
            given.db,
            given.clock,
            facts=given.facts,
            busy=lambda: shared.dispatcher.busy,
            troubles=lambda: [told for trouble in shared.troubles if (told := trouble.told)],
        ),
        traces=TraceService(given.db, given.clock),
        webhooks=shared.telling.webhooks,
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
