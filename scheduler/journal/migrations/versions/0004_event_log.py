"""One event log: by which clock and daemon each line is; statuses as intervals; downtimes, exclusions, tokens."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the columns and the tables."""
    op.add_column("events", sa.Column("monotonic", sa.BigInteger))
    op.add_column("events", sa.Column("boot", sa.Integer))
    op.add_column("events", sa.Column("received", sa.BigInteger))
    op.create_table(
        "watches",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("boot", sa.Integer, nullable=False),
        sa.Column("owner", sa.String(200), nullable=False),
        sa.Column("began", sa.String(10), nullable=False),
        sa.Column("began_at", sa.BigInteger, nullable=False),
        sa.Column("began_monotonic", sa.BigInteger, nullable=False),
        sa.Column("seen_at", sa.BigInteger, nullable=False),
        sa.Column("seen_monotonic", sa.BigInteger, nullable=False),
        comment="Stretches in which a daemon looked without a break; between two of them nobody did, or the clock was set.",
    )
    op.create_table(
        "objects",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("name", sa.String(200), nullable=False, unique=True),
        sa.Column("kind", sa.String(20), nullable=False),
        sa.Column("feed", sa.String(20), nullable=False),
        sa.Column("freshness", sa.BigInteger),
        sa.Column("confirmed", sa.BigInteger),
        comment="What has a status; `confirmed`: the last repetition of a pushed one.",
    )
    op.create_table(
        "existences",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("object", sa.Integer, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger),
        comment="When each object was declared to exist.",
    )
    op.create_table(
        "statuses",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("object", sa.Integer, nullable=False),
        sa.Column("first", sa.BigInteger, nullable=False),
        sa.Column("last", sa.BigInteger, nullable=False),
        sa.Column("count", sa.Integer, nullable=False),
        sa.Column("records", sa.LargeBinary, nullable=False),
        comment="Statuses as intervals, many of one object in one row (scheduler.journal.segments says how).",
    )
    op.create_table(
        "pushes",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("object", sa.Integer, nullable=False),
        sa.Column("push", sa.String(200), nullable=False),
        sa.Column("received", sa.BigInteger, nullable=False),
        sa.UniqueConstraint("object", "push", name="uq_pushes_push"),
        comment="Ids of pushed results, by which one sent twice is known.",
    )
    op.create_table(
        "tokens",
        sa.Column("name", sa.String(80), primary_key=True),
        sa.Column("hash", sa.String(128), nullable=False),
        sa.Column("made_at", sa.BigInteger, nullable=False),
        sa.Column("made_by", sa.String(200), nullable=False),
        sa.Column("revoked_at", sa.BigInteger),
        comment="Who may push statuses; of the token itself only the hash.",
    )
    op.create_table(
        "downtimes",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("objects", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("declared_at", sa.BigInteger, nullable=False),
        sa.Column("recurrence", sa.JSON),
        comment="Agreed downtimes; a recurring one has no revisions.",
    )
    op.create_table(
        "revisions",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("downtime", sa.String(80), nullable=False),
        sa.Column("declared_at", sa.BigInteger, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("by", sa.String(200), nullable=False),
        comment="Append-only: what was declared of a downtime, and when.",
    )
    op.create_table(
        "exclusions",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("objects", sa.JSON, nullable=False),
        sa.Column("start", sa.BigInteger, nullable=False),
        sa.Column("end", sa.BigInteger, nullable=False),
        sa.Column("cause", sa.String(80), nullable=False),
        sa.Column("author", sa.String(200), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("declared_at", sa.BigInteger, nullable=False),
        sa.Column("accepted_by", sa.String(200), nullable=False),
        sa.Column("accepted_at", sa.BigInteger),
        comment="Bad time that does not count once somebody accepted it.",
    )
    op.create_index("ix_events_kind", "events", ["kind", "at"])
    op.create_index("ix_existences_object", "existences", ["object"])
    op.create_index("ix_statuses_object", "statuses", ["object", "id"])
    op.create_index("ix_statuses_last", "statuses", ["last"])
    op.create_index("ix_revisions_downtime", "revisions", ["downtime"])
