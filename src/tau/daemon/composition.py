"""The composition root: which part is given which others. Nothing here starts anything."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fastapi import FastAPI

from tau import __version__
from tau.api.deps import Services
from tau.api.errors import install
from tau.api.gate import Gate
from tau.api.router import ROUTES
from tau.core.clock import Clock
from tau.core.config import (
    ExecutorSettings,
    NotifySettings,
    RetentionSettings,
    WebhookSettings,
)
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
from tau.services.audit_service import AuditService
from tau.services.delivery_service import DeliveryService
from tau.services.deploy_service import DeployService
from tau.services.execution_service import ExecutionService
from tau.services.housekeeping_service import HousekeepingService
from tau.services.inspection import Inspector
from tau.services.key_service import KeyService
from tau.services.late_service import LateService
from tau.services.lease_service import SELF_FENCE_S, LeaseService
from tau.services.log_service import LogService
from tau.services.notice_service import NoticeService
from tau.services.pipeline_service import PipelineService
from tau.services.run_plan import Planner
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.sealing import PlainSealer, Sealer
from tau.services.secret_service import SecretService
from tau.services.status_service import DaemonFacts, StatusService
from tau.services.tick_service import TickService
from tau.services.trace_service import TraceService
from tau.services.version_service import VersionService
from tau.services.webhook_service import WebhookService
from tau.workers.base import Worker


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
    environ: Mapping[str, str]
    sources: Path
    node_id: str
    facts: DaemonFacts
    webhooks: WebhookSettings = WebhookSettings()
    notify: NotifySettings = NotifySettings()
    sealer: Sealer = PlainSealer()


@dataclass(frozen=True, kw_only=True)
class Telling:
    """How people are told of things: what writes it down, and what sends it."""

    notices: NoticeService
    deliveries: DeliveryService
    webhooks: WebhookService


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
    courier: Courier


def compose(given: Given) -> Parts:
    """The parts of one daemon."""
    telling = _telling(given)
    notices = telling.notices
    execution = ExecutionService(
        given.db, given.clock, owner=given.node_id, signals=given.signals, notices=notices
    )
    recorder = Recorder(execution)
    executor = Executor(
        execution,
        recorder,
        given.worker,
        cache=SourceCache(given.sources),
        secrets=SecretService(given.environ),
        settings=given.settings,
        environ=given.environ,
        clock=given.clock,
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
        given.db, given.clock, worker=worker, signals=given.signals, notices=notices
    )
    return Parts(
        reaper=None if given.db.is_sqlite else Reaper(leases, dispatcher),
        services=_services(given, dispatcher, telling),
        execution=execution,
        recorder=recorder,
        dispatcher=dispatcher,
        housekeeping=HousekeepingService(given.db, given.clock, retention=given.retention),
        ticks=TickService(given.db, given.clock, given.ids, signals=given.signals, notices=notices),
        courier=Courier(
            telling.deliveries,
            LateService(given.db, given.clock, notices=notices, settings=given.notify),
            clock=given.clock,
            signals=given.signals,
        ),
    )


def _telling(given: Given) -> Telling:
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
        sealer=given.sealer,
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
            sealer=given.sealer,
            deliveries=deliveries,
        ),
    )


def _services(given: Given, dispatcher: Dispatcher, telling: Telling) -> Services:
    inspector = Inspector(
        given.worker,
        SourceCache(given.sources),
        given.ids,
        limits=limits(given.settings, timeout=given.settings.import_timeout),
        env=child_environment(given.settings, given.environ),
    )
    secrets = SecretService(given.environ)
    schedules = ScheduleService(
        given.db, given.clock, given.ids, signals=given.signals, notices=telling.notices
    )
    return Services(
        schedules=schedules,
        audit=AuditService(given.db),
        versions=VersionService(given.db, given.clock, given.ids, schedules=schedules),
        deployments=DeployService(
            given.db, given.clock, given.ids, inspector=inspector, schedules=schedules
        ),
        keys=KeyService(given.db, given.clock, given.ids),
        logs=LogService(given.db, signals=given.signals),
        pipelines=PipelineService(given.db, given.clock),
        runs=RunService(
            given.db,
            given.clock,
            given.ids,
            signals=given.signals,
            planner=Planner(default_timeout=given.settings.timeout, secrets=secrets),
            queue_limit=given.settings.queue_limit,
            slots=dispatcher.places,
        ),
        status=StatusService(
            given.db, given.clock, facts=given.facts, busy=lambda: dispatcher.busy
        ),
        traces=TraceService(given.db, given.clock),
        webhooks=telling.webhooks,
    )


def create_app(services: Services, *, hosts: set[str]) -> FastAPI:
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
    app.add_middleware(Gate, hosts=hosts)
    install(app)
    return app
