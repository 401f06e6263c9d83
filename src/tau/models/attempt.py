"""Attempts: one process of a run. The primary key is the proof that it starts at most once."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Base


class Attempt(Base):
    __tablename__ = "attempts"
    __table_args__ = {"sqlite_with_rowid": False}  # noqa: RUF012

    run_id: Mapped[str] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    fence: Mapped[int]
    owner: Mapped[str] = mapped_column(String(26))
    status: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str | None] = mapped_column(Text)
    pid: Mapped[int | None]
    claimed_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    exit_code: Mapped[int | None]
    signal: Mapped[str | None] = mapped_column(String(16))
    failure: Mapped[dict[str, Any] | None]
    usage: Mapped[dict[str, Any] | None]
    spool_offset: Mapped[int] = mapped_column(BigInteger, default=0)
    log_lines: Mapped[int] = mapped_column(default=0)
    log_warnings: Mapped[int] = mapped_column(default=0)
    log_errors: Mapped[int] = mapped_column(default=0)
