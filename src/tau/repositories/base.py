"""What all repositories share: a session, the tenant, keyset pages.

A repository is generic in its session: a method that writes names `Repository[Session]` as the
type of `self`, so that the type checker refuses a write on a session that only reads.
"""

import base64
import json
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.dialects.postgresql import Insert as PostgresqlInsert
from sqlalchemy.dialects.sqlite import Insert as SqliteInsert

from tau.core.database import ReadSession
from tau.errors import CursorInvalid
from tau.models.base import DEFAULT_TENANT, Base, Owned

COUNT_LIMIT = 10_000
"""A filtered list counts its rows up to here: a total must not cost a scan of the history."""

SessionT = TypeVar("SessionT", bound=ReadSession, covariant=True)
RowT = TypeVar("RowT")


@dataclass(frozen=True)
class Page(Generic[RowT]):
    """A page of rows, the cursor of the next one, and how many there are in all."""

    rows: list[RowT]
    total: int
    next_cursor: str | None


class Repository(Generic[SessionT]):
    """Base of the only classes that write SQL; it sees the rows of one tenant."""

    def __init__(self, session: SessionT, *, tenant_id: str = DEFAULT_TENANT) -> None:
        self._session = session
        self._tenant_id = tenant_id

    def _mine(self, model: type[Owned]) -> ColumnElement[bool]:
        return model.tenant_id == self._tenant_id

    def _insert_if_new(self, model: type[Base]) -> PostgresqlInsert | SqliteInsert:
        """INSERT … ON CONFLICT DO NOTHING."""
        return self._insert(model).on_conflict_do_nothing()

    def _insert(self, model: type[Base]) -> PostgresqlInsert | SqliteInsert:
        """An INSERT with ON CONFLICT, which both databases have and each spells itself."""
        is_sqlite = self._session.get_bind().dialect.name == "sqlite"
        return SqliteInsert(model) if is_sqlite else PostgresqlInsert(model)

    async def _count(self, query: Select[Any], values: dict[str, Any] | None = None) -> int:
        limited = query.order_by(None).limit(COUNT_LIMIT).subquery()
        counting = select(func.count()).select_from(limited)
        return int(await self._session.scalar(counting, values) or 0)


def encode_cursor(*key: str | int) -> str:
    """An opaque text that names the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps(key).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """The key that `encode_cursor` was given. Raises CursorInvalid."""
    try:
        padded = cursor + "=" * (-len(cursor) % 4)
        key = json.loads(base64.urlsafe_b64decode(padded.encode("ascii")))
        valid = isinstance(key, list) and [type(part) for part in key] == list(kinds)
    except (ValueError, UnicodeError):
        valid = False
    if not valid:
        raise CursorInvalid(f"{cursor[:80]!r} is no cursor of this list.")
    return tuple(key)
