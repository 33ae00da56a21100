"""A journal in the form of an older Ambienti."""

from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

MIGRATIONS = Path(__file__).parents[2] / "scheduler/journal/migrations"


def to_form(url, form):
    """Make the tables of a new journal in an older form; return an engine on it."""
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes.update(connection=connection, now=50.0)
        command.upgrade(config, form)
    return engine
