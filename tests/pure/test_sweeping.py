"""Storage that no worker needs: when it is swept, and all that keeps it."""

from dataclasses import replace

import pytest

from connectors.libvirt.leftovers import ours
from scheduler.model.actions import Sweep
from scheduler.model.hosts import Stored, worker_uuid
from scheduler.model.readings import Unanswered
from scheduler.model.workers import LeftStorage, WorkerState
from scheduler.observe.memory import Memory
from scheduler.observe.merge import merge
from tests.pure.builders import NOW, a_domain, a_host, a_policy, a_worker, an_environment, plan_for, silent
from tests.pure.test_observe import POLICY, domain, host, ledger, node, queue, readings, registered

GRACE = an_environment().boot_seconds
UUID = worker_uuid("test", "el9-7", 7)


def left(**changes):
    return replace(LeftStorage("el9-7", UUID, ("h1",), "h1", "el9", GRACE + 1.0), **changes)


def swept(*found, policy=None, **changes):
    plan = plan_for(left=found, policy=policy or a_policy(hosts=("h1", "h2")), **changes)
    return [(action.machine, action.host) for action in plan.actions if isinstance(action, Sweep)]


BOTH = {"hosts": [a_host("h1"), a_host("h2")]}
H1_SILENT, H2_SILENT = [silent("h1"), a_host("h2")], [a_host("h1"), silent("h2")]


def test_what_is_left_on_the_host_of_a_worker_that_is_gone_is_swept_after_the_time_that_a_boot_may_take():
    assert swept(left(), **BOTH) == [("el9-7", "h1")]
    assert swept(left(seconds=GRACE - 1.0), **BOTH) == []


def test_nothing_is_swept_while_the_host_that_it_ran_on_is_silent_partial_or_old():
    for h1 in (silent("h1"), replace(a_host("h1"), complete=False), a_host("h1", at=NOW - 1000)):
        assert swept(left(hosts=("h1", "h2")), hosts=[h1, a_host("h2")]) == []


def test_another_host_of_the_same_storage_sweeps_when_the_host_that_it_ran_on_shows_nothing_there():
    assert swept(left(hosts=("h2",)), **BOTH) == [("el9-7", "h2")]
    assert swept(left(hosts=("h2", "h1")), **BOTH) == [("el9-7", "h1")]


@pytest.mark.parametrize("ran_on", ["", "scrapped"], ids=["unknown to the journal", "on a host that the site has no longer"])
def test_of_others_every_host_must_answer_since_each_may_run_it(ran_on):
    one = left(ran_on=ran_on, environment="")
    assert swept(one, **BOTH) == [("el9-7", "h1")]
    assert swept(one, hosts=H2_SILENT) == []
    assert swept(left(), hosts=H2_SILENT) == [("el9-7", "h1")]


def test_nothing_is_swept_while_workers_are_adopted():
    assert swept(left(), **BOTH, adopting_until=NOW + 60) == []


def test_a_cycle_sweeps_no_more_than_its_bound():
    many = [left(worker=f"el9-{n}") for n in range(100, 200)]
    assert len(swept(*many, **BOTH)) == 50


# --- what counts as left ----------------------------------------------------------------------------------------------


def seen(*entries, stored, memory=None, closed=(), **changes):
    given = readings(stored=stored, closed={one.name: one for one in closed}, **changes)
    made = merge(given, ledger(*entries), memory or Memory(), POLICY)
    return made.observation.left, made.memory


ITS = {"h1": (Stored("el9-1", worker_uuid("hill", "el9-1", 1)),)}


def test_storage_of_a_worker_that_is_open_in_the_journal_is_not_left():
    assert seen(registered(), stored=ITS, h1=host(domain()))[0] == ()
    assert seen(registered(), stored=ITS)[0] == ()


def test_storage_of_a_name_that_any_host_shows_is_not_left_whoever_bears_it():
    gone = registered(closed_at=100.0, state=WorkerState.GONE)
    for shown in (domain(), domain(site="elsewhere"), a_domain("el9-1")):
        assert seen(stored=ITS, closed=[gone], h2=host(shown, name="h2"))[0] == ()


def test_a_worker_that_no_journal_knows_but_its_batch_system_shows_may_need_it():
    assert seen(stored=ITS, pool=queue(node()))[0] == ()
    gone = registered(closed_at=100.0, state=WorkerState.GONE)
    (one,) = seen(stored=ITS, closed=[gone], pool=queue(node()))[0]
    assert (one.ran_on, one.environment) == ("h1", "el9")


def test_how_long_is_counted_from_the_end_of_the_worker_or_from_the_first_sight():
    (known,), _ = seen(stored=ITS, closed=[registered(closed_at=9_000.0, state=WorkerState.GONE)])
    assert known.seconds == 1000.0
    (first,), memory = seen(stored=ITS)
    assert (first.seconds, first.ran_on) == (0.0, "")
    nothing, memory = seen(stored={}, memory=memory, monotonic=600.0)
    assert nothing == ()
    (again,), memory = seen(stored=ITS, memory=memory, monotonic=700.0)
    assert again.seconds == 200.0
    _, memory = seen(stored={"h1": ()}, memory=memory, monotonic=800.0)
    assert memory.left_since == {}


def test_a_host_that_did_not_tell_of_its_storage_has_nothing_left():
    assert seen(stored={}, h1=Unanswered("h1", "read: timed out", NOW))[0] == ()


# --- whose it is ------------------------------------------------------------------------------------------------------


def test_a_name_proves_whose_it_is_or_it_is_nobody_s():
    digits = UUID[:8]
    for name in (f"el9-7-{digits}.disk", f"el9-7-{digits}.config", f"el9-7-{digits}"):
        assert ours(name, "test") == Stored("el9-7", UUID)
    for name in (f"el9-8-{digits}.disk", f"el9-7-{digits}.iso", f"x-el9-7-{digits}.disk", "el9-7-00000000.disk", f"{digits}.disk",
                 f"el9-7-{digits}.disk.bak", "lost+found", f"el9-7-{digits}.disk\n", ""):  # fmt: skip
        assert ours(name, "test") is None
    assert ours(f"el9-7-{digits}.disk", "elsewhere") is None


def test_a_worker_that_lives_is_never_swept():
    living = a_worker("el9-7")
    assert swept(workers=[living], **BOTH) == []
