"""What a pushed id said first: by it one that is sent again and says otherwise is known."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the columns; of ids of before nothing is known."""
    op.add_column("pushes", sa.Column("at", sa.BigInteger))
    op.add_column("pushes", sa.Column("status", sa.Integer))
