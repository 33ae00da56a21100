"""What is under way is one table that the threads of all lanes write."""

import threading

from environments.reason import Reason
from scheduler.journal.records import Outcome
from scheduler.loop.under_way import ActionResult, UnderWay
from scheduler.model.actions import Drain

DRAINS = [Drain(f"el9-{number}", "idle", Reason("idle", "it is idle")) for number in range(400)]


def test_no_end_is_lost_or_told_twice_whichever_threads_tell_and_ask():
    table, told = UnderWay(), []
    over = threading.Event()

    def act(numbers):
        for number in numbers:
            table.begin(number, DRAINS[number])
            table.tell(number, ActionResult(DRAINS[number], Outcome.DONE))
            table.end(number)

    def ask():
        while not over.is_set():
            told.extend(table.take_ended())
            assert set(table.busy()) <= {drain.machine for drain in DRAINS}

    asker = threading.Thread(target=ask)
    actors = [threading.Thread(target=act, args=(range(first, 400, 4),)) for first in range(4)]
    for thread in (asker, *actors):
        thread.start()
    for thread in actors:
        thread.join(60)
    over.set()
    asker.join(60)
    told.extend(table.take_ended())
    assert sorted(told) == list(range(400))
    assert not table.intents()


def test_only_workers_that_are_still_known_stay_explained():
    table = UnderWay()
    for worker in ("el9-1", "el9-2"):
        table.explain(worker)
    assert table.explained(["el9-1", "el9-3"]) == {"el9-1"}
    assert table.forget_others(["el9-2", "el9-3"]) == {"el9-2"}
    assert not table.explained(["el9-1"])


def test_what_hosts_told_of_their_storage_is_taken_up_once():
    table = UnderWay()
    table.tell_stored("h1", [])
    assert table.take_stored() == {"h1": ()}
    assert table.take_stored() == {}
