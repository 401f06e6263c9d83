"""Events: what happened in a run, in order. Logs, steps and checks are kinds of them."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, SmallInteger, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Base

_NO_LOG = text("kind <> 'log'")


class Event(Base):
    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ix_events_trace",
            "run_id",
            "attempt",
            "seq",
            sqlite_where=_NO_LOG,
            postgresql_where=_NO_LOG,
        ),
        {"sqlite_with_rowid": False},
    )

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    attempt: Mapped[int] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(16))
    level: Mapped[int | None] = mapped_column(SmallInteger)
    step: Mapped[int | None]
    message: Mapped[str | None] = mapped_column(Text)
    data: Mapped[dict[str, Any] | None]
