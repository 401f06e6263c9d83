"""Secrets: a name and its encrypted value, with who set it when; the key lies elsewhere."""

from datetime import datetime

from sqlalchemy import LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import DEFAULT_TENANT, Owned


class Secret(Owned):
    """`version` counts how often the value was set anew; a rotation changes `key_id` alone."""

    __tablename__ = "secrets"

    tenant_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_TENANT)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    token: Mapped[bytes] = mapped_column(LargeBinary)
    key_id: Mapped[str] = mapped_column(String(16))
    version: Mapped[int]
    created_at: Mapped[datetime]
    set_at: Mapped[datetime]
    set_by: Mapped[str] = mapped_column(String(64))
    agent: Mapped[str | None] = mapped_column(String(128))
