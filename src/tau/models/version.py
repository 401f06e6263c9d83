"""Versions: one deployed content of a pipeline's file, numbered from 1."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Owned


class Version(Owned):
    __tablename__ = "versions"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey("pipelines.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    source_sha256: Mapped[str] = mapped_column(ForeignKey("sources.sha256"))
    file_name: Mapped[str] = mapped_column(String(255))
    origin: Mapped[str | None] = mapped_column(Text)
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    created_by: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
