"""From which list of downtimes one was taken over."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the column; of what was taken over before nobody knows it."""
    op.add_column("downtimes", sa.Column("list", sa.String(400), nullable=False, server_default=""))
