"""Pipeline states: the small mapping that `ctx.state` keeps between runs."""

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Base


class PipelineState(Base):
    __tablename__ = "pipeline_states"

    pipeline_id: Mapped[str] = mapped_column(ForeignKey("pipelines.id"), primary_key=True)
    data: Mapped[dict[str, Any]]
    run_number: Mapped[int]
    updated_at: Mapped[datetime]
