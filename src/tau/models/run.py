"""Runs: the queue, the state machine and the history in one table."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Float,
    ForeignKey,
    Index,
    String,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Json, Owned
from tau.pipeline.types import RunStatus


def _spelled(*statuses: RunStatus) -> list[ColumnElement[str]]:
    return [literal_column(f"'{status}'", String) for status in statuses]


# For conditions that a partial index is to be found by: both databases compare its words with
# the statement's, in this order, and parameters are no words.
CLAIMABLE = _spelled(RunStatus.QUEUED, RunStatus.RETRYING)
PENDING = [*CLAIMABLE, *_spelled(RunStatus.WAITING)]
ACTIVE = _spelled(RunStatus.STARTING, RunStatus.RUNNING)
BAD = _spelled(RunStatus.FAILED, RunStatus.TIMEOUT, RunStatus.CRASHED)
[SUCCESS] = _spelled(RunStatus.SUCCESS)

_CLAIMABLE = text("status IN ('queued', 'retrying')")
_ACTIVE = text("status IN ('starting', 'running')")
_BAD = text("status IN ('failed', 'timeout', 'crashed')")
_TICK = text("schedule_id IS NOT NULL")
_SUCCESS = text("status = 'success'")
_ENDED = text("finished_at IS NOT NULL")
_UNFINISHED = text("finished_at IS NULL")


class Run(Owned):
    __tablename__ = "runs"
    __table_args__ = (
        UniqueConstraint("pipeline_id", "number"),
        Index(
            "ix_runs_tick",
            "schedule_id",
            "scheduled_for",
            unique=True,
            sqlite_where=_TICK,
            postgresql_where=_TICK,
        ),
        Index("ix_runs_list", "tenant_id", "id"),
        Index(
            "ix_runs_queue",
            "priority",
            "available_at",
            "id",
            sqlite_where=_CLAIMABLE,
            postgresql_where=_CLAIMABLE,
        ),
        Index(
            "ix_runs_active", "pipeline_id", "owner", sqlite_where=_ACTIVE, postgresql_where=_ACTIVE
        ),
        Index(
            "ix_runs_bad",
            "tenant_id",
            "finished_at",
            "id",
            sqlite_where=_BAD,
            postgresql_where=_BAD,
        ),
        Index(
            "ix_runs_bad_of_pipeline",
            "pipeline_id",
            "finished_at",
            "id",
            sqlite_where=_BAD,
            postgresql_where=_BAD,
        ),
        Index(
            "ix_runs_ended",
            "tenant_id",
            "status",
            "id",
            sqlite_where=_ENDED,
            postgresql_where=_ENDED,
        ),
        Index(
            "ix_runs_ended_of_pipeline",
            "pipeline_id",
            "status",
            "number",
            sqlite_where=_ENDED,
            postgresql_where=_ENDED,
        ),
        Index(
            "ix_runs_unfinished",
            "tenant_id",
            "pipeline_id",
            "number",
            sqlite_where=_UNFINISHED,
            postgresql_where=_UNFINISHED,
        ),
        Index(
            "ix_runs_success",
            "pipeline_id",
            "started_at",
            sqlite_where=_SUCCESS,
            postgresql_where=_SUCCESS,
        ),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    pipeline_id: Mapped[str] = mapped_column(ForeignKey("pipelines.id"))
    pipeline_name: Mapped[str] = mapped_column(String(63))
    number: Mapped[int]
    version: Mapped[int]
    status: Mapped[str] = mapped_column(String(16))
    status_reason: Mapped[str | None] = mapped_column(Text)
    trigger: Mapped[str] = mapped_column(String(16))
    params: Mapped[dict[str, Any]]
    interval_start: Mapped[datetime | None]
    interval_end: Mapped[datetime | None]
    schedule_id: Mapped[str | None] = mapped_column(String(26))
    scheduled_for: Mapped[datetime | None]
    rerun_of: Mapped[str | None] = mapped_column(String(26))
    priority: Mapped[int] = mapped_column(default=0)
    created_at: Mapped[datetime]
    available_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    owner: Mapped[str | None] = mapped_column(String(26))
    fence: Mapped[int] = mapped_column(default=0)
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=1)
    launch_failures: Mapped[int] = mapped_column(default=0)
    timeout: Mapped[float | None] = mapped_column(Float)
    max_concurrent: Mapped[int | None]
    cancel_requested_at: Mapped[datetime | None]
    cancel_reason: Mapped[str | None] = mapped_column(Text)
    result: Mapped[Any | None] = mapped_column(Json)
    failure: Mapped[dict[str, Any] | None]
    fingerprint: Mapped[str | None] = mapped_column(String(16))
    requested_by: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
