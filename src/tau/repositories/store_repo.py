"""What the store says of itself: its size and that of its tables, its version, its oldest run."""

from typing import NamedTuple, cast

from sqlalchemy import Table, select, text

from tau.models import Run
from tau.models.base import Base
from tau.repositories.base import Repository, SessionT

_runs = cast(Table, Run.__table__)
_OLDEST = select(Run).order_by(_runs.c.id).limit(1)
_SIZES = text(
    "SELECT relname, n_live_tup, pg_total_relation_size(relid) FROM pg_stat_user_tables "
    "WHERE schemaname = current_schema()"
)
TABLES = sorted(Base.metadata.tables)


class Row(NamedTuple):
    """A table with its estimated number of rows and its bytes with indexes."""

    name: str
    rows: int
    bytes: int


class StoreRepository(Repository[SessionT]):
    """Sees the whole store; those of its methods that say so ask PostgreSQL's catalogue."""

    async def find_oldest_run(self) -> Run | None:
        return (await self._session.scalars(_OLDEST)).one_or_none()

    async def list_sizes(self) -> list[Row]:
        """PostgreSQL's own statistics of our tables."""
        found = [Row(*row) for row in await self._session.execute(_SIZES)]
        return sorted(row for row in found if row.name in TABLES)

    async def size(self) -> int:
        """Bytes of the PostgreSQL database."""
        found = await self._session.scalar(text("SELECT pg_database_size(current_database())"))
        return int(found or 0)

    async def server_version(self) -> str:
        """PostgreSQL's."""
        return str(await self._session.scalar(text("SHOW server_version")))
