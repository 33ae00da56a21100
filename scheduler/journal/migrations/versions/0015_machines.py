"""Machines: what workers and services have in common, where each of them was, and what only workers have."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"

_COMMON = ("uuid", "host", "cpus", "memory_mib", "origin", "state", "since", "requested_at", "booted_at", "closed_at")


def upgrade() -> None:
    """Take what is common out of the table of workers; each worker of before has been in one place."""
    machines = op.create_table(
        "machines",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("role", sa.String(20), nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("cpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("requested_at", sa.Float, nullable=False),
        sa.Column("booted_at", sa.Float),
        sa.Column("closed_at", sa.Float),
        comment="Every domain of ours ever ordered or adopted; open while its domain, disks or ads may exist.",
    )
    placements = op.create_table(
        "placements",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("machine", sa.String(80), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("begun", sa.Float, nullable=False),
        sa.Column("ended", sa.Float),
        sa.Column("ended_by", sa.String(20), nullable=False),
        comment="Where each machine was, one after the other; the last one is open while it is, or may be, there.",
    )
    workers = sa.table("workers", *(sa.column(name) for name in ("id", "name", *_COMMON)))
    of_machines = [workers.c.id, workers.c.name, *(workers.c[name] for name in _COMMON), sa.literal("worker")]
    op.execute(machines.insert().from_select(["id", "name", *_COMMON, "role"], sa.select(*of_machines)))
    if op.get_bind().dialect.name == "postgresql":
        op.create_table_comment("workers", "What only machines that are workers have.")
        # The numbers were given here, so its counter has to learn of them.
        op.execute("SELECT setval(pg_get_serial_sequence('machines', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM machines))")
    ended_by = sa.case((workers.c.closed_at.is_(None), ""), else_="unknown")
    places = sa.select(
        workers.c.name, workers.c.host, sa.literal(1), workers.c.requested_at, workers.c.closed_at, ended_by
    ).order_by(workers.c.id)
    op.execute(placements.insert().from_select(["machine", "host", "generation", "begun", "ended", "ended_by"], places))
    op.drop_index("ix_workers_open", "workers")
    for name in _COMMON:
        op.drop_column("workers", name)
    op.execute("ALTER TABLE workers RENAME COLUMN name TO machine")
    op.execute("ALTER TABLE intents RENAME COLUMN worker TO machine")
    op.create_index("ix_machines_open", "machines", ["closed_at"])
    op.create_index("ix_placements_machine", "placements", ["machine"])
    is_open = sa.text("ended IS NULL")
    op.create_index(
        "ix_placements_open", "placements", ["machine"], unique=True, sqlite_where=is_open, postgresql_where=is_open
    )
