"""A long history: what it is found by, and how much of it was removed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BAD = sa.text("status IN ('failed', 'timeout', 'crashed')")
ENDED = sa.text("finished_at IS NOT NULL")
UNFINISHED = sa.text("finished_at IS NULL")
INDEXES = {
    "ix_runs_bad": (["tenant_id", "finished_at", "id"], BAD),
    "ix_runs_bad_of_pipeline": (["pipeline_id", "finished_at", "id"], BAD),
    "ix_runs_ended": (["tenant_id", "status", "id"], ENDED),
    "ix_runs_ended_of_pipeline": (["pipeline_id", "status", "number"], ENDED),
    "ix_runs_unfinished": (["tenant_id", "pipeline_id", "number"], UNFINISHED),
}


def upgrade() -> None:
    op.add_column(
        "pipelines",
        sa.Column("removed_count", sa.Integer(), nullable=False, server_default=sa.text("0")),
    )
    op.drop_index("ix_runs_bad", "runs")
    for name, (columns, where) in INDEXES.items():
        op.create_index(name, "runs", columns, sqlite_where=where, postgresql_where=where)


def downgrade() -> None:
    for name in INDEXES:
        op.drop_index(name, "runs")
    op.create_index(
        "ix_runs_bad", "runs", ["tenant_id", "id"], sqlite_where=BAD, postgresql_where=BAD
    )
    with op.batch_alter_table("pipelines", schema=None) as batch_op:
        batch_op.drop_column("removed_count")
