"""Incidents and the outbox of notices to people."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "incidents",
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("cause", sa.String(200), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("opened_at", sa.BigInteger),
        sa.Column("closed_at", sa.BigInteger),
        sa.Column("forgotten", sa.Boolean, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        comment="One cause is one incident; `forgotten`: over for so long that it is not reopened any more.",
    )
    op.create_table(
        "notices",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.String(200), nullable=False, unique=True),
        sa.Column("incident", sa.Integer, nullable=False),
        sa.Column("person", sa.String(80), nullable=False),
        sa.Column("address", sa.String(300), nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("due_at", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("ended_at", sa.BigInteger),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        comment="The outbox: what a person must be told, written before it is sent; `address` says where the address is found.",
    )
    op.create_index("ix_incidents_forgotten", "incidents", ["forgotten"])
    op.create_index("ix_incidents_opened", "incidents", ["opened_at"])
    op.create_index("ix_notices_due", "notices", ["ended_at", "due_at"])
