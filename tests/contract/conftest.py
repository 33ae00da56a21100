"""A journal of either kind: SQLite, and a real PostgreSQL."""

import os
from itertools import count

import pytest

from scheduler.journal.journal import Journal
from tests.lab.postgresql import PostgreSQL, programs

_numbers = count(1)


@pytest.fixture(scope="session")
def server():
    if programs() is None and "CI" not in os.environ:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    running = PostgreSQL()
    yield running
    running.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.real)])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/journal.db"
    return request.getfixturevalue("server").url(f"c{next(_numbers)}")


@pytest.fixture
def opened(url):
    journals = []

    def open_one(now=100.0, **options):
        journals.append(Journal(url, now=now, durable=False, **options))
        return journals[-1]

    yield open_one
    for journal in journals:
        journal.close()


@pytest.fixture
def journal(opened):
    made = opened()
    assert made.hold_lease("a", 100, 60)
    return made
