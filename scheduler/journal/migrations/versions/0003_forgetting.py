"""What is old enough to be forgotten is found quickly."""

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the index."""
    op.create_index("ix_sightings_last_seen", "sightings", ["last_seen"])
