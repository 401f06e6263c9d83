"""What endpoints depend on: the services, who asks, and what the key allows."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.openapi.models import HTTPBearer
from fastapi.security.base import SecurityBase
from fastapi.security.utils import get_authorization_scheme_param

from tau.core.auth import Actor, Scope
from tau.errors import KeyMissing, ScopeMissing
from tau.services.audit_service import AuditService
from tau.services.backup_service import BackupService
from tau.services.cleanup_service import CleanupService
from tau.services.config_service import ConfigService
from tau.services.deploy_service import DeployService
from tau.services.environment_service import EnvironmentService
from tau.services.key_service import KeyService, with_request
from tau.services.log_service import LogService
from tau.services.metrics_service import MetricsService
from tau.services.pipeline_service import PipelineService
from tau.services.readiness_service import ReadinessService
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.secret_service import SecretService
from tau.services.status_service import StatusService
from tau.services.store_service import StoreService
from tau.services.trace_service import TraceService
from tau.services.version_service import VersionService
from tau.services.webhook_service import WebhookService


@dataclass(frozen=True, kw_only=True)
class House:
    """What keeps the daemon itself: its store, settings and numbers."""

    backups: BackupService
    cleanup: CleanupService
    config: ConfigService
    metrics: MetricsService
    readiness: ReadinessService
    store: StoreService


@dataclass(frozen=True, kw_only=True)
class Services:
    """All that endpoints call; built once by the composition root."""

    audit: AuditService
    deployments: DeployService
    environments: EnvironmentService
    house: House
    keys: KeyService
    logs: LogService
    pipelines: PipelineService
    runs: RunService
    schedules: ScheduleService
    secrets: SecretService
    status: StatusService
    traces: TraceService
    versions: VersionService
    webhooks: WebhookService


async def get_services(request: Request) -> Services:
    """Async, since a plain function would be sent to a thread."""
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


class Key(SecurityBase):
    """A dependency that gives the actor whose API key was sent.

    One dependency and no tree of them: FastAPI solves it anew for every request, and a tree of
    five took a sixth of a list's time.
    """

    def __init__(self) -> None:
        self.scheme_name = "HTTPBearer"
        self.model = HTTPBearer(description="An API key: tau_<id>_<secret>")

    async def __call__(self, request: Request) -> Actor:
        """Who asks. Raises KeyMissing and KeyInvalid."""
        known: Actor | None = getattr(request.state, "actor", None)
        if known is not None:
            return known
        scheme, text = get_authorization_scheme_param(request.headers.get("authorization"))
        if scheme.lower() != "bearer" or not text.strip():
            raise KeyMissing()
        services = cast(Services, request.app.state.services)
        actor = await services.keys.authenticate(text.strip())
        actor = with_request(actor, agent=_agent(request), request_id=request.state.request_id)
        request.state.actor = actor
        return actor


class ScopedKey(Key):
    """A dependency that gives the actor if its key has the scope."""

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self.scope = scope

    async def __call__(self, request: Request) -> Actor:
        """Who asks. Raises KeyMissing, KeyInvalid and ScopeMissing."""
        actor = await super().__call__(request)
        if not actor.allows(self.scope):
            raise ScopeMissing(
                f"The key {actor.key_name!r} lacks the scope {self.scope}.",
                scope=str(self.scope),
                scopes=sorted(actor.scopes),
            )
        return actor


def _agent(request: Request) -> str | None:
    """The agent's name; our own client's is no agent's."""
    agent = request.headers.get("x-tau-agent") or request.headers.get("user-agent") or ""
    if agent.startswith("tau-cli/"):
        return None
    return "".join(c for c in agent if c.isprintable())[:128] or None


Reader = Annotated[Actor, Depends(ScopedKey(Scope.READ))]
Runner = Annotated[Actor, Depends(ScopedKey(Scope.RUN))]
Admin = Annotated[Actor, Depends(ScopedKey(Scope.ADMIN))]
Deployer = Annotated[Actor, Depends(ScopedKey(Scope.DEPLOY))]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
