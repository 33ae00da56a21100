"""Published versions of periods, kept where everything else is kept."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the table; what a file `published.json` holds, the daemon or the next `report publish` takes over."""
    op.create_table(
        "publications",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("published_at", sa.BigInteger, nullable=False),
        sa.Column("note", sa.Text, nullable=False),
        sa.Column("groups", sa.String(64), nullable=False),
        sa.Column("checked", sa.Integer, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.UniqueConstraint("start", "end", "number", name="uq_publications_number"),
        comment="Append-only: published versions of periods; `checked`: the line of the event log up to which nothing is new.",
    )
    op.create_index("ix_publications_end", "publications", ["end"])
