"""Hosts that somebody says are off for good."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "hosts_off",
        sa.Column("host", sa.String(200), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        comment="Hosts that somebody says are off for good; a row goes when the daemon has acted upon it.",
    )
