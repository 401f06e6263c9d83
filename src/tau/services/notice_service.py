"""Writes down what people are to be told, in the transaction of the change that it tells of.

Who is to be told is settled here, so that a later webhook hears nothing of the past. Each event
has a key that names what happened: asked again, or by another daemon, nobody is told twice.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.database import ReadSession, Session
from tau.core.ids import IdFactory
from tau.core.notice_types import NoticeType
from tau.core.signals import OUTBOX, Signals
from tau.pipeline.protocol import JsonObject
from tau.pipeline.types import RunStatus
from tau.repositories.notice_repo import NoticeRepository
from tau.repositories.outbox_repo import NOTIFY, WEBHOOK, OutboxRepository
from tau.repositories.run_repo import RunRepository
from tau.repositories.webhook_repo import WebhookRepository
from tau.services.notice_text import brief, document
from tau.services.outcome import Claim, Outcome

BAD_ENDS = frozenset({RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED})


@dataclass(frozen=True, kw_only=True)
class Ending:
    """A run that has come to its final status."""

    run_id: str
    pipeline_id: str
    pipeline: str
    number: int
    trigger: str
    status: RunStatus
    attempts: int
    reason: str | None = None
    failure: JsonObject | None = None
    fingerprint: str | None = None


def ending_of(claim: Claim, outcome: Outcome, failure: JsonObject | None) -> Ending:
    """The end of a claimed run."""
    return Ending(
        run_id=claim.run_id,
        pipeline_id=claim.pipeline_id,
        pipeline=claim.pipeline_name,
        number=claim.number,
        trigger=claim.trigger,
        status=outcome.status,
        attempts=claim.attempt,
        reason=outcome.reason,
        failure=failure,
        fingerprint=outcome.fingerprint,
    )


class NoticeService:
    """`services` are the targets of [notify], which are told of `events`."""

    def __init__(
        self,
        clock: Clock,
        ids: IdFactory,
        *,
        signals: Signals,
        services: Sequence[str] = (),
        events: Collection[str] = tuple(NoticeType),
    ) -> None:
        self._clock, self._ids, self._signals = clock, ids, signals
        self._services, self._events = tuple(services), frozenset(events)

    async def ended(self, session: Session, end: Ending) -> None:
        """A run has ended for good: tell of a bad end, and of the first good one after it."""
        if end.status in BAD_ENDS:
            await self._tell(
                session,
                NoticeType.RUN_FAILED,
                f"run.failed:{end.run_id}",
                _of_run(end)
                | {
                    "failure": brief(end.failure),
                    "fingerprint": end.fingerprint,
                    "next": [f"tau inspect {_name(end)}", f"tau retry {_name(end)}"],
                },
            )
        elif end.status is RunStatus.SUCCESS and await self._targets(
            session, NoticeType.RUN_RECOVERED
        ):
            await self._tell_recovered(session, end)

    async def lost(self, session: Session, run_id: str) -> None:
        """A run has crashed for good with the daemon that executed it."""
        run = await RunRepository(session).find(run_id)
        if run is not None:
            end = Ending(
                run_id=run.id,
                pipeline_id=run.pipeline_id,
                pipeline=run.pipeline_name,
                number=run.number,
                trigger=run.trigger,
                status=RunStatus.CRASHED,
                attempts=run.attempt,
                reason=run.status_reason,
                fingerprint=run.fingerprint,
            )
            await self.ended(session, end)

    async def _tell_recovered(self, session: Session, end: Ending) -> None:
        failed = await NoticeRepository(session).find_failure_before(end.pipeline_id, end.run_id)
        if failed is None:
            return
        since = f"{end.pipeline}#{failed.number}"
        await self._tell(
            session,
            NoticeType.RUN_RECOVERED,
            f"run.recovered:{failed.id}",
            _of_run(end)
            | {
                "reason": f"the first success after {since} did not go well",
                "failed_run": since,
                "next": [f"tau inspect {_name(end)}"],
            },
        )

    async def missed(self, session: Session, runs: Sequence[dict[str, Any]]) -> None:
        """Ticks that were not run since their time had long passed: rows of skipped runs."""
        for run in runs:
            await self.late(
                session,
                run_id=run["id"],
                pipeline=run["pipeline_name"],
                number=run["number"],
                status=run["status"],
                trigger=run["trigger"],
                rule="missed",
                reason=str(run["status_reason"]),
                scheduled_for=run["scheduled_for"],
            )

    async def late(
        self,
        session: Session,
        *,
        run_id: str,
        pipeline: str,
        number: int,
        status: str,
        trigger: str,
        rule: str,
        reason: str,
        scheduled_for: datetime | None = None,
    ) -> None:
        """A run is late by this rule: `missed`, `not_started` or `longer_than_usual`."""
        run = f"{pipeline}#{number}"
        data = {
            "run": run,
            "id": run_id,
            "pipeline": pipeline,
            "status": status,
            "trigger": trigger,
            "rule": rule,
            "reason": reason,
            "scheduled_for": scheduled_for.isoformat() if scheduled_for else None,
            "next": [f"tau inspect {run}", "tau status"],
        }
        await self._tell(session, NoticeType.RUN_LATE, f"run.late:{run_id}:{rule}", data)

    async def paused(
        self, session: Session, *, pipeline: str, actor: Actor, reason: str | None
    ) -> None:
        """Somebody has switched a schedule off."""
        data = {
            "pipeline": pipeline,
            "reason": reason or "no reason was given",
            "by": actor.key_name,
            "agent": actor.agent,
            "next": [f"tau schedule {pipeline} --enable", f"tau show {pipeline}"],
        }
        key = f"schedule.paused:{self._ids.new()}"
        await self._tell(session, NoticeType.SCHEDULE_PAUSED, key, data)

    async def has_listeners(self, session: ReadSession, kind: NoticeType) -> bool:
        """Whether anybody is told of that."""
        return bool(await self._targets(session, kind))

    async def _tell(self, session: Session, kind: NoticeType, key: str, data: JsonObject) -> None:
        targets = await self._targets(session, kind)
        if not targets:
            return
        now, event_id = self._clock.now(), f"evt_{self._ids.new()}"
        shared = {
            "event_id": event_id,
            "type": kind,
            "key": key,
            "body": document(kind, data, at=now),
            "status": "pending",
            "attempts": 0,
            "next_at": now,
            "created_at": now,
        }
        rows = [
            shared | {"id": self._ids.new(), "channel": channel, "target": target}
            for channel, target in targets
        ]
        await OutboxRepository(session).add(rows)
        session.after_commit(lambda: self._signals.notify(OUTBOX))

    async def _targets(self, session: ReadSession, kind: NoticeType) -> list[tuple[str, str]]:
        """Who is told of that, as (channel, target); looked up once a transaction."""
        if "webhooks" not in session.info:
            session.info["webhooks"] = await WebhookRepository(session).subscribers()
        found = [(WEBHOOK, key) for key, events in session.info["webhooks"] if kind in events]
        if kind in self._events:
            found += [(NOTIFY, target) for target in self._services]
        return found


def _name(end: Ending) -> str:
    return f"{end.pipeline}#{end.number}"


def _of_run(end: Ending) -> JsonObject:
    return {
        "run": _name(end),
        "id": end.run_id,
        "pipeline": end.pipeline,
        "status": str(end.status),
        "trigger": end.trigger,
        "attempts": end.attempts,
        "reason": end.reason,
    }
