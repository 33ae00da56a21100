"""What libvirt's lifecycle events mean to the loop."""

import libvirt
import pytest

from connectors.libvirt.watching import translated
from scheduler.model.ports import EventKind

STOPPED = libvirt.VIR_DOMAIN_EVENT_STOPPED


@pytest.mark.parametrize(
    ("event", "detail", "kind"),
    [
        (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_BOOTED, EventKind.STARTED),
        (libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_STARTED_MIGRATED, EventKind.STARTED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN, EventKind.STOPPED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_DESTROYED, EventKind.STOPPED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_SAVED, EventKind.STOPPED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FROM_SNAPSHOT, EventKind.STOPPED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_CRASHED, EventKind.CRASHED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_FAILED, EventKind.FAILED),
        (STOPPED, libvirt.VIR_DOMAIN_EVENT_STOPPED_MIGRATED, EventKind.MIGRATED),
        (STOPPED, 99, EventKind.STOPPED),
        (libvirt.VIR_DOMAIN_EVENT_CRASHED, libvirt.VIR_DOMAIN_EVENT_CRASHED_PANICKED, EventKind.CRASHED),
    ],
)
def test_a_lifecycle_event_has_one_meaning(event, detail, kind):
    told, _words = translated(event, detail)
    assert told is kind


def test_what_changes_neither_where_nor_whether_a_domain_runs_is_not_told():
    quiet = (libvirt.VIR_DOMAIN_EVENT_DEFINED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED, libvirt.VIR_DOMAIN_EVENT_RESUMED)
    assert [translated(event, 0) for event in quiet] == [None] * 3


def test_an_end_is_an_end_and_a_migration_is_none():
    assert {kind for kind in EventKind if kind.is_end} == {EventKind.STOPPED, EventKind.CRASHED, EventKind.FAILED}
    assert {kind for kind in EventKind if not kind.wakes} == {EventKind.STARTED}
