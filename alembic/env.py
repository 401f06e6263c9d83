"""Runs the migrations: on the connection that taud hands over, else on TAU_DATABASE_URL."""

import asyncio
import os
from typing import Any

from alembic import context
from sqlalchemy import Connection

from tau.core.database import Database
from tau.models import Base


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        render_item=_render_item,
    )
    with context.begin_transaction():
        context.run_migrations()


def _render_item(kind: str, item: Any, _autogenerate: Any) -> str | bool:
    """Migrations name plain types, so that they don't change when our own types do."""
    names = {"UtcDateTime": "sa.DateTime(timezone=True)", "Json": "sa.Text()"}
    return names.get(type(item).__name__, False) if kind == "type" else False


async def migrate_by_url() -> None:
    database = Database(os.environ["TAU_DATABASE_URL"])
    async with database.engine.begin() as connection:
        await connection.run_sync(migrate)
    await database.close()


given = context.config.attributes.get("connection")
if given is not None:
    migrate(given)
else:
    asyncio.run(migrate_by_url())
