"""What is said of hosts stands in one table."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Take over drained hosts and hosts that are off; who drains one stood in the event log alone."""
    words = op.create_table(
        "host_words",
        sa.Column("host", sa.String(200), primary_key=True),
        sa.Column("state", sa.String(20), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        comment="What somebody says of a host, until it is taken back or acted upon: draining, off.",
    )
    drained = sa.table("drained_hosts", *map(sa.column, ("host", "since", "why")))
    off = sa.table("hosts_off", *map(sa.column, ("host", "at", "by", "why")))
    columns = ["host", "state", "since", "by", "why"]
    of_drains = sa.select(drained.c.host, sa.literal("draining"), drained.c.since, sa.literal(""), drained.c.why)
    op.execute(words.insert().from_select(columns, of_drains))
    of_words = sa.select(off.c.host, sa.literal("off"), off.c.at, off.c.by, off.c.why)
    op.execute(words.insert().from_select(columns, of_words))
    log = sa.table("events", sa.column("id"), sa.column("kind"), sa.column("subject"), sa.column("detail", sa.JSON))
    told = sa.select(log.c.subject, log.c.detail).where(log.c.kind == "host-drain").order_by(log.c.id)
    for host, detail in op.get_bind().execute(told).all():
        by = str((detail or {}).get("by", ""))[:200]
        op.execute(words.update().where(words.c.host == host, words.c.state == "draining").values(by=by))
    op.drop_table("drained_hosts")
    op.drop_table("hosts_off")
