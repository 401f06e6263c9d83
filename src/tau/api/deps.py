"""What endpoints depend on: the services, who asks, and what the key allows."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Header, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from tau.core.auth import Actor, Scope
from tau.errors import KeyMissing, ScopeMissing
from tau.services.audit_service import AuditService
from tau.services.deploy_service import DeployService
from tau.services.key_service import KeyService, with_request
from tau.services.log_service import LogService
from tau.services.pipeline_service import PipelineService
from tau.services.run_service import RunService
from tau.services.schedule_service import ScheduleService
from tau.services.status_service import StatusService
from tau.services.trace_service import TraceService
from tau.services.version_service import VersionService


@dataclass(frozen=True, kw_only=True)
class Services:
    """All that endpoints call; built once by the composition root."""

    audit: AuditService
    deployments: DeployService
    keys: KeyService
    logs: LogService
    pipelines: PipelineService
    runs: RunService
    schedules: ScheduleService
    status: StatusService
    traces: TraceService
    versions: VersionService


async def get_services(request: Request) -> Services:
    """Async, since a plain function would be sent to a thread."""
    return cast(Services, request.app.state.services)


ServicesDep = Annotated[Services, Depends(get_services)]


_bearer = HTTPBearer(auto_error=False, description="An API key: tau_<id>_<secret>")
Credentials = Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]


async def authenticate(request: Request, services: ServicesDep, credentials: Credentials) -> Actor:
    """Who asks. Raises KeyMissing and KeyInvalid."""
    if credentials is None or not credentials.credentials.strip():
        raise KeyMissing()
    actor = await services.keys.authenticate(credentials.credentials.strip())
    return with_request(actor, agent=_agent(request), request_id=request.state.request_id)


def _agent(request: Request) -> str | None:
    """The agent's name; our own client's is no agent's."""
    agent = request.headers.get("x-tau-agent") or request.headers.get("user-agent") or ""
    if agent.startswith("tau-cli/"):
        return None
    return "".join(c for c in agent if c.isprintable())[:128] or None


def require(scope: Scope) -> Callable[[Actor], Awaitable[Actor]]:
    """A dependency that gives the actor if its key has the scope. Raises ScopeMissing."""

    async def check(actor: Annotated[Actor, Depends(authenticate)]) -> Actor:
        if not actor.allows(scope):
            raise ScopeMissing(
                f"The key {actor.key_name!r} lacks the scope {scope}.",
                scope=str(scope),
                scopes=sorted(actor.scopes),
            )
        return actor

    check.scope = scope  # type: ignore[attr-defined]
    return check


Reader = Annotated[Actor, Depends(require(Scope.READ))]
Runner = Annotated[Actor, Depends(require(Scope.RUN))]
Admin = Annotated[Actor, Depends(require(Scope.ADMIN))]
Deployer = Annotated[Actor, Depends(require(Scope.DEPLOY))]
IdempotencyKey = Annotated[str | None, Header(alias="Idempotency-Key", max_length=255)]
