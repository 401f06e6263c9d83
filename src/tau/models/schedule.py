"""Schedules: the one truth about when a pipeline is due. APScheduler only wakes who reads them."""

from datetime import datetime

from sqlalchemy import Float, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Owned

_DUE = text("next_fire_at IS NOT NULL")


class Schedule(Owned):
    """A pipeline's schedule; its identity outlives redeploys, so that no tick fires twice.

    `watermark` is the last tick that was decided on, `covered_until` the end of the last span
    of data time that a run was made for, `generation` counts the changes of the spec.
    """

    __tablename__ = "schedules"
    __table_args__ = (
        UniqueConstraint("pipeline_id", "name"),
        Index("ix_schedules_due", "next_fire_at", sqlite_where=_DUE, postgresql_where=_DUE),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    pipeline_id: Mapped[str] = mapped_column(ForeignKey("pipelines.id"))
    name: Mapped[str] = mapped_column(String(63), default="default")
    cron: Mapped[str | None] = mapped_column(String(128))
    every: Mapped[float | None] = mapped_column(Float)
    timezone: Mapped[str] = mapped_column(String(64))
    enabled: Mapped[bool]
    set_by: Mapped[str] = mapped_column(String(16))
    catchup: Mapped[str] = mapped_column(String(8))
    deadline: Mapped[float] = mapped_column(Float)
    next_fire_at: Mapped[datetime | None]
    watermark: Mapped[datetime]
    covered_until: Mapped[datetime | None]
    generation: Mapped[int] = mapped_column(default=1)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
