"""Audit entries: who changed what, when, with which agent and why."""

from datetime import datetime
from typing import Any

from sqlalchemy import String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Owned


class AuditEntry(Owned):
    __tablename__ = "audit_entries"

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    at: Mapped[datetime]
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str] = mapped_column(String(128))
    actor: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(128))
    request_id: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[dict[str, Any] | None]
