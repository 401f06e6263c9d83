"""What the end of an attempt means for its run: final or retried, when, and why. Pure."""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tau.pipeline.protocol import ExitRecord, JsonObject
from tau.pipeline.types import RunStatus
from tau.services.event_rows import storable

RETRIED = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED})
MAX_RETRY_DELAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """An attempt that this daemon owns, with all that is needed to execute it."""

    run_id: str
    reference: str
    pipeline_id: str
    pipeline_name: str
    number: int
    attempt: int
    max_attempts: int
    fence: int
    owner: str
    trigger: str
    sha256: str
    file_name: str
    origin: str | None
    timeout: float | None
    spec: JsonObject
    params: JsonObject
    facts: JsonObject


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What becomes of the run: `next_at` is set where it is retried."""

    status: RunStatus
    reason: str | None
    next_at: datetime | None = None
    fingerprint: str | None = None

    @property
    def is_final(self) -> bool:
        return self.status.is_final


def decide(
    claim: Claim,
    record: ExitRecord,
    *,
    cancel_reason: str | None,
    now: datetime,
    jitter: float,
) -> Outcome:
    """The outcome of an attempt that ended so; somebody's wish to cancel goes before a retry."""
    status, reason = RunStatus(record.status), reason_of(record)
    if cancel_reason is not None and status is not RunStatus.SUCCESS:
        return Outcome(status=RunStatus.CANCELLED, reason=cancel_reason)
    if status in RETRIED and claim.attempt < claim.max_attempts and is_worth_retrying(record):
        delay = retry_delay(claim.spec, claim.attempt, jitter=jitter)
        return Outcome(status=RunStatus.RETRYING, reason=reason, next_at=now + delay)
    kind = fingerprint(claim.pipeline_name, record) if status in RETRIED else None
    return Outcome(status=status, reason=reason, fingerprint=kind)


def crash(claim: Claim, reason: str) -> ExitRecord:
    """The record of an attempt that left none."""
    return ExitRecord(
        run_id=claim.run_id,
        attempt=claim.attempt,
        fence=claim.fence,
        status=RunStatus.CRASHED,
        reason=reason,
    )


def retry_delay(spec: JsonObject, attempt: int, *, jitter: float) -> timedelta:
    """How long after the end of `attempt` (1, 2, …) the next one may start.

    `jitter` (0 to 1) adds up to a tenth, so that runs which failed together do not come back
    together.
    """
    delay = float(spec.get("retry_delay") or 0)
    backoff = float(spec.get("retry_backoff") or 1)
    try:
        seconds = delay * backoff ** (attempt - 1)
    except OverflowError:
        seconds = MAX_RETRY_DELAY_S
    return timedelta(seconds=min(seconds * (1 + 0.1 * jitter), MAX_RETRY_DELAY_S))


def fingerprint(pipeline: str, record: ExitRecord) -> str:
    """Equal for failures of the same kind at the same place; numbers in messages don't count."""
    failure = record.failure or {}
    frames = failure.get("frames") or [{}]
    message = re.sub(r"0x[0-9a-f]+|\d+", "#", str(failure.get("message") or record.reason))
    parts = (pipeline, failure.get("type"), frames[-1].get("function"), message[:500])
    return hashlib.sha256("\n".join(map(str, parts)).encode("utf-8", "replace")).hexdigest()[:16]


def is_worth_retrying(record: ExitRecord) -> bool:
    return (record.failure or {}).get("retry") != "never"


def reason_of(record: ExitRecord) -> str | None:
    """Why it ended so, in one line."""
    if record.reason:
        return storable(record.reason)
    failure = record.failure
    if not failure:
        return None
    first_line = (str(failure.get("message") or "").splitlines() or [""])[0]
    return storable(f"{failure.get('type')}: {first_line}"[:500])


def start_of(record: ExitRecord) -> datetime | None:
    return datetime.fromtimestamp(record.started_at, UTC) if record.started_at else None
