"""Who may: tokens with a scope, corrections that somebody else accepts, and the logins behind names."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

BACK = 900_000_000
"""Microseconds: so far back may tokens report that were made before they had a bound."""
ADDED = {
    "tokens": (
        ("made_login", sa.String(200), ""),
        ("objects", sa.JSON, '["*"]'),
        ("back", sa.BigInteger, str(BACK)),
        ("reads", sa.Boolean, sa.false()),
    ),
    "exclusions": (("author_login", sa.String(200), ""), ("accepted_login", sa.String(200), "")),
}
"""Tokens of before may report on every object, as they could, but not far back."""


def upgrade() -> None:
    """Add the columns and the table."""
    for table, columns in ADDED.items():
        for name, kind, default in columns:
            op.add_column(table, sa.Column(name, kind, nullable=False, server_default=default))
    op.create_table(
        "corrections",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("object", sa.String(200), nullable=False),
        sa.Column("at", sa.BigInteger, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("cause", sa.String(80), nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("push", sa.String(200), nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.Column("decided", sa.String(20), nullable=False),
        sa.Column("decided_by", sa.String(200), nullable=False),
        sa.Column("decided_login", sa.String(200), nullable=False),
        sa.Column("decided_at", sa.BigInteger),
        sa.Column("applied_at", sa.BigInteger),
        comment="Results that came when their time had been told of already: they count once somebody else accepted them.",
    )
    op.create_index("ix_corrections_waiting", "corrections", ["decided", "applied_at"])
