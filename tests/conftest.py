"""For all tests: the session's HTCondor pool; and with CI=true nothing may be skipped: what could not be tried was not proven."""

import os

import hypothesis
import pytest

hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")
"""How long an example takes is a matter of the machine, and of what else runs on it."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if report.skipped and os.environ.get("CI") == "true":
        reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and with CI=true that is a failure: {reason}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Keep together what shares a fixture, for tests that run side by side: a file, or the lab's one Xen host; the longest first."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("xen" if item.get_closest_marker("xen") else item.path.stem))
    items.sort(key=lambda item: [item.get_closest_marker(mark) is None for mark in ("xen", "lane", "real")])


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
