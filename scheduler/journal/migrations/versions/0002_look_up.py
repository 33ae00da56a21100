"""Quick look-ups by worker and by subject, for `why` and the event log."""

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the two indexes."""
    op.create_index("ix_sightings_worker", "sightings", ["worker"])
    op.create_index("ix_events_subject", "events", ["subject", "at"])
