"""Fixtures for everybody."""

import pytest


@pytest.fixture(scope="session")
def session_pool():
    """One real HTCondor pool for the whole session."""
    from tests.lab.pool import test_pool

    with test_pool("session") as pool:
        yield pool


@pytest.fixture
def pool(session_pool):
    """The session's HTCondor pool with an empty queue; jobs and configuration of the test are taken away again."""
    yield session_pool
    session_pool.remove()
    session_pool.forget_configuration()
