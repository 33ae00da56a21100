"""The lease lives by a counter that a standby watches on its own clock, and names the lock that proves its holder dead."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"

SAYS = (
    "One row: which daemon may act. A standby watches the counter of renewals; the epoch grows with each change of hands; "
    "until when, by its holder's clock, the farm counts as looked at is for reports alone."
)


def upgrade() -> None:
    """Add the counter and the name of the lock; a lock of before was that of the file beside a SQLite database."""
    op.add_column("lease", sa.Column("renewals", sa.BigInteger, nullable=False, server_default="0"))
    op.add_column("lease", sa.Column("lock", sa.String(200), nullable=False, server_default=""))
    lease = sa.table("lease", sa.column("lock", sa.String), sa.column("locked", sa.Boolean))
    op.execute(lease.update().where(lease.c.locked).values(lock="beside"))
    op.drop_column("lease", "locked")
    if op.get_bind().dialect.name == "postgresql":  # SQLite keeps none
        op.create_table_comment("lease", SAYS)
