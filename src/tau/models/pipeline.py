"""Pipelines: a name, the version that runs now, and the numbering of its versions and runs."""

from datetime import datetime

from sqlalchemy import Index, String, Text, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Owned


class Pipeline(Owned):
    """`run_count` is the number of its newest run; `removed_count` runs are not kept any more."""

    __tablename__ = "pipelines"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        Index("ix_pipelines_stem", "tenant_id", "stem"),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    name: Mapped[str] = mapped_column(String(63))
    stem: Mapped[str] = mapped_column(String(255))
    tag_index: Mapped[str] = mapped_column(Text, default="")
    current_version: Mapped[int]
    version_count: Mapped[int]
    run_count: Mapped[int] = mapped_column(default=0)
    removed_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
    undeployed_at: Mapped[datetime | None]
