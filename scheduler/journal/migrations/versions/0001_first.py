"""The first journal: lease, workers, intents, boots, sightings, drained hosts, events."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables, and the one row of each of those that hold one."""
    one = op.create_table(
        "journal",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("made_at", sa.Float, nullable=False),
        sa.Column("next_serial", sa.Integer, nullable=False),
        comment="One row: when this journal began and the next serial number of a worker.",
    )
    lease = op.create_table(
        "lease",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("until", sa.Float, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("locked", sa.Boolean, nullable=False),
        comment="One row: which daemon may act, until when; the epoch grows with each change of hands.",
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(80), nullable=False, unique=True),
        sa.Column("serial", sa.Integer, nullable=False),
        sa.Column("uuid", sa.String(36), nullable=False),
        sa.Column("environment", sa.String(80), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("vo", sa.String(80), nullable=False),
        sa.Column("batch_system", sa.String(80), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("cpus", sa.Integer, nullable=False),
        sa.Column("memory_mib", sa.Integer, nullable=False),
        sa.Column("address", sa.String(80)),
        sa.Column("origin", sa.String(20), nullable=False),
        sa.Column("state", sa.String(20), nullable=False),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("requested_at", sa.Float, nullable=False),
        sa.Column("booted_at", sa.Float),
        sa.Column("registered_at", sa.Float),
        sa.Column("drain_cause", sa.String(40), nullable=False),
        sa.Column("drained_at", sa.Float),
        sa.Column("cancelled_at", sa.Float),
        sa.Column("boot_error", sa.Text, nullable=False),
        sa.Column("closed_at", sa.Float),
        comment="Every worker ever ordered or adopted; open while its domain, disks or ads may exist.",
    )
    op.create_table(
        "intents",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("cause", sa.String(80), nullable=False),
        sa.Column("sentence", sa.Text, nullable=False),
        sa.Column("epoch", sa.Integer, nullable=False),
        sa.Column("begun_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("outcome", sa.String(20), nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        comment="What was about to be done, written before it was done.",
    )
    op.create_table(
        "boots",
        sa.Column("worker", sa.String(80), primary_key=True),
        sa.Column("environment", sa.String(80), nullable=False),
        sa.Column("version", sa.String(200), nullable=False),
        sa.Column("host", sa.String(200), nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("registered", sa.Boolean, nullable=False),
        sa.Column("cause", sa.Text, nullable=False),
        comment="How each boot ended.",
    )
    op.create_table(
        "sightings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_system", sa.String(80), nullable=False),
        sa.Column("job", sa.String(200), nullable=False),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("vo", sa.String(80), nullable=False),
        sa.Column("user", sa.String(200), nullable=False),
        sa.Column("environment", sa.String(80), nullable=False),
        sa.Column("first_seen", sa.Float, nullable=False),
        sa.Column("last_seen", sa.Float, nullable=False),
        sa.Column("ended", sa.Boolean, nullable=False),
        sa.UniqueConstraint("batch_system", "job", "worker", name="uq_sightings_job"),
        comment="Which job was seen in which worker of which environment.",
    )
    op.create_table(
        "drained_hosts",
        sa.Column("host", sa.String(200), primary_key=True),
        sa.Column("since", sa.Float, nullable=False),
        sa.Column("why", sa.Text, nullable=False),
        comment="Hosts that an administrator drains.",
    )
    op.create_table(
        "events",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("subject", sa.String(200), nullable=False),
        sa.Column("cause", sa.String(80), nullable=False),
        sa.Column("correlation", sa.String(80), nullable=False),
        sa.Column("detail", sa.JSON, nullable=False),
        comment="Append-only: every change of state, action and decision, with its cause.",
    )
    op.create_index("ix_workers_open", "workers", ["closed_at"])
    op.create_index("ix_intents_open", "intents", ["ended_at"])
    op.create_index("ix_boots_at", "boots", ["at"])
    op.create_index("ix_boots_environment", "boots", ["environment", "version"])
    op.create_index("ix_sightings_open", "sightings", ["ended"])
    op.create_index("ix_events_at", "events", ["at"])
    config = op.get_context().config
    assert config is not None
    op.bulk_insert(one, [{"id": 1, "made_at": config.attributes["now"], "next_serial": 1}])
    op.bulk_insert(lease, [{"id": 1, "owner": "", "until": 0.0, "epoch": 0, "locked": False}])
