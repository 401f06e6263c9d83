"""What a request for a run comes to: params, limits, overlap; made real or only shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tau.core.auth import Actor
from tau.core.database import ReadSession
from tau.errors import ParamsInvalid, RequestInvalid
from tau.models import Run
from tau.pipeline.protocol import JsonObject
from tau.pipeline.types import OnOverlap, RunStatus, Trigger
from tau.repositories.pipeline_repo import Deployed
from tau.schedule.intervals import parse_moment
from tau.schemas.run import RunCreate, RunPlan, SecretNeed
from tau.services.run_view import reference
from tau.services.vault import Vault


@dataclass(frozen=True)
class Overlap:
    """The unfinished runs of a pipeline that may have `limit` at a time."""

    limit: int | None
    others: Sequence[Run]
    policy: OnOverlap = OnOverlap.QUEUE

    @property
    def is_full(self) -> bool:
        return self.limit is not None and len(self.others) >= self.limit

    @property
    def skips(self) -> bool:
        return self.is_full and self.policy is OnOverlap.SKIP

    @property
    def to_cancel(self) -> Sequence[Run]:
        """The oldest runs, so many that the new one has room."""
        if self.limit is None or not self.is_full:
            return []
        ordered = sorted(self.others, key=lambda run: run.number)
        return ordered[: len(ordered) - self.limit + 1]

    @property
    def reason(self) -> str:
        names = ", ".join(reference(run) for run in self.others[:3])
        return f"max_concurrent is {self.limit}, and {names} did not end yet"


class Planner:
    """Knows the daemon's defaults and which secrets could be handed out."""

    def __init__(self, *, default_timeout: float, vault: Vault) -> None:
        self._default_timeout = default_timeout
        self._vault = vault

    def merged(self, found: Deployed, params: JsonObject) -> JsonObject:
        """The params with the declared defaults under them."""
        return dict(found.version.spec["params"].get("defaults") or {}) | params

    async def plan(
        self,
        session: ReadSession,
        found: Deployed,
        request: RunCreate,
        *,
        overlap: Overlap,
        rerun_of: Run | None = None,
    ) -> RunPlan:
        """What a run would be, without making it."""
        spec, pipeline = found.version.spec, found.pipeline.name
        would = "queue"
        if overlap.is_full:
            would = str(overlap.policy)
        names = spec.get("secrets") or []
        known = await self._vault.list_set(session, names)
        needs = [SecretNeed(name=name, set=name in known) for name in names]
        start, end = _interval(spec, request, rerun_of)
        again = f"tau retry {pipeline}#{rerun_of.number}" if rerun_of else f"tau run {pipeline}"
        return RunPlan(
            interval_start=start,
            interval_end=end,
            pipeline=pipeline,
            version=found.version.number,
            params=self.merged(found, request.params),
            timeout=request.timeout or spec.get("timeout") or self._default_timeout,
            max_attempts=_max_attempts(spec),
            secrets=needs or None,
            would=would,
            why=overlap.reason if overlap.is_full else None,
            rerun_of=rerun_of.id if rerun_of else None,
            next=[again],
        )

    def new_run(
        self,
        run_id: str,
        found: Deployed,
        number: int,
        request: RunCreate,
        actor: Actor,
        overlap: Overlap,
        *,
        now: datetime,
        rerun_of: Run | None = None,
    ) -> Run:
        """The row of a run that is queued, or skipped where its pipeline says so."""
        start, end = _interval(found.version.spec, request, rerun_of)
        return Run(
            id=run_id,
            pipeline_id=found.pipeline.id,
            pipeline_name=found.pipeline.name,
            number=number,
            version=found.version.number,
            status=RunStatus.SKIPPED if overlap.skips else RunStatus.QUEUED,
            status_reason=overlap.reason if overlap.skips else None,
            trigger=Trigger.RETRY if rerun_of else Trigger.MANUAL,
            params=request.params,
            interval_start=start,
            interval_end=end,
            rerun_of=rerun_of.id if rerun_of else None,
            priority=0,
            created_at=now,
            available_at=now,
            finished_at=now if overlap.skips else None,
            fence=0,
            attempt=0,
            max_attempts=_max_attempts(found.version.spec),
            launch_failures=0,
            timeout=request.timeout,
            max_concurrent=found.version.spec.get("max_concurrent"),
            requested_by=actor.key_name,
            agent=actor.agent,
            reason=request.reason,
        )


def _interval(
    spec: JsonObject, request: RunCreate, rerun_of: Run | None
) -> tuple[datetime | None, datetime | None]:
    if rerun_of is not None:
        return rerun_of.interval_start, rerun_of.interval_end
    return interval_of(spec, request)


def interval_of(spec: JsonObject, request: RunCreate) -> tuple[datetime | None, datetime | None]:
    """The span of data time that was asked for, in the pipeline's zone. Raises RequestInvalid."""
    zone, found = spec.get("timezone") or "UTC", []
    for name, text in (("start_date", request.start_date), ("end_date", request.end_date)):
        try:
            is_end = name == "end_date"
            found.append(parse_moment(text, zone=zone, is_end=is_end) if text is not None else None)
        except (ValueError, OverflowError) as error:
            raise RequestInvalid(
                f"{name}: {text!r} is no ISO date or datetime.", hint="For instance 2026-11-30."
            ) from error
    start, end = found
    if start is not None and end is not None and start >= end:
        raise RequestInvalid("start_date: it is not before end_date.")
    return start, end


def _max_attempts(spec: JsonObject) -> int:
    return int(spec.get("retries") or 0) + 1


def check_params(spec: JsonObject, params: JsonObject) -> None:
    """Refuse what is wrong for sure without running the pipeline's code. Raises ParamsInvalid.

    A model's own checks and conversions are code: they happen when the run starts. Known before
    are the names: which are required, and which are there at all where the model forbids others.
    """
    names: dict[str, Any] = spec["params"].get("names") or {}
    required, known = names.get("required") or [], names.get("known")
    faults = [{"field": name, "reason": "is required"} for name in required if name not in params]
    if known is not None:
        faults += [
            {"field": name, "reason": "is no param of this pipeline"}
            for name in params
            if name not in known
        ]
    if faults:
        raise ParamsInvalid(
            f"params: {faults[0]['field']}: {faults[0]['reason']}",
            next=[f"tau show {spec['name']}"],
            fields=faults,
        )
