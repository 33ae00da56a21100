"""Files that go with a notice: mailed reports."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column; what stands in the outbox has none."""
    op.add_column("notices", sa.Column("attachments", sa.JSON, nullable=False, server_default="[]"))
