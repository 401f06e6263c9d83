"""The outbox: what is to be told to whom, written with the change that it tells of."""

from datetime import datetime

from sqlalchemy import Index, String, Text, UniqueConstraint, literal_column, text
from sqlalchemy.orm import Mapped, mapped_column

from tau.models.base import Owned

# In the words of the partial indexes, see models/run.py.
PENDING = literal_column("'pending'", String)

_PENDING = text("status = 'pending'")
_FINISHED = text("finished_at IS NOT NULL")


class OutboxMessage(Owned):
    """An event for one target: a webhook's id, or the name of a service of [notify].

    `event_id` is the same for all targets of an event; `key` names what happened, so that nobody
    is told of it twice. A claim is held until `lease_until`, and `attempts` is its fence.
    """

    __tablename__ = "outbox"
    __table_args__ = (
        UniqueConstraint("target", "key"),
        Index(
            "ix_outbox_pending",
            "next_at",
            "id",
            sqlite_where=_PENDING,
            postgresql_where=_PENDING,
        ),
        Index(
            "ix_outbox_finished",
            "finished_at",
            sqlite_where=_FINISHED,
            postgresql_where=_FINISHED,
        ),
    )

    id: Mapped[str] = mapped_column(String(26), primary_key=True)
    event_id: Mapped[str] = mapped_column(String(32))
    channel: Mapped[str] = mapped_column(String(8))
    target: Mapped[str] = mapped_column(String(26))
    type: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(128))
    body: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(16))
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    owner: Mapped[str | None] = mapped_column(String(26))
    lease_until: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime]
    finished_at: Mapped[datetime | None]
