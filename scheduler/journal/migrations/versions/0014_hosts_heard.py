"""Hosts of which the journal knows all workers."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table; a host on which a worker was booted or adopted has answered since the journal began."""
    op.create_table(
        "hosts_heard",
        sa.Column("host", sa.String(200), primary_key=True),
        comment="Hosts of which this journal knows all workers: they have answered since it began, or somebody gave them up.",
    )
    heard, workers = (sa.table(name, sa.column("host", sa.String)) for name in ("hosts_heard", "workers"))
    op.execute(heard.insert().from_select(["host"], sa.select(workers.c.host).distinct()))


def downgrade() -> None:
    """Drop it."""
    op.drop_table("hosts_heard")
