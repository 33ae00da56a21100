"""Hosts and discoveries named since the journal began, and whether it knows of all workers there."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Add the table; a journal that has booted or adopted workers is not new: what it was told of since, it knows."""
    heard = op.create_table(
        "sources_heard",
        sa.Column("kind", sa.String(20), primary_key=True),
        sa.Column("name", sa.String(200), primary_key=True),
        sa.Column("heard", sa.Boolean, nullable=False),
        comment="Hosts and discoveries named since this journal began or was restored; heard: it knows of all workers there.",
    )
    host = sa.table("workers", sa.column("host", sa.String)).c.host
    known = sa.select(sa.literal("host"), host, sa.true()).distinct()
    op.execute(heard.insert().from_select(["kind", "name", "heard"], known))
