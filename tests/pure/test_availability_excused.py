"""Who excused how much: the parts of all exclusions are X, and nothing is given to two."""

from hypothesis import HealthCheck, given, settings
from test_availability_oracle import histories

from scheduler.availability.history import Exclusion, History, Monitored, Result, Status, Window
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.measuring.explaining import excused_by
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories())
def test_the_parts_of_all_exclusions_are_what_is_excused(drawn):
    history, window, _ = drawn
    ready = prepare(history)
    for name, found in measure(ready, window, "excuse").items():
        assert sum(excused_by(ready, name, found.window).values()) == found.excused


def test_what_two_cover_belongs_to_the_one_accepted_first():
    def exclusion(name, start, end, **changed):
        return Exclusion(name, ("s",), start * SECOND, end * SECOND, "network", "me", "router", **changed)

    history = History(
        now=100 * SECOND,
        objects=(Monitored("s"),),
        results=(Result(0, "s", Status.CRITICAL), Result(50 * SECOND, "s", Status.OK)),
        exclusions=(
            exclusion("late", 0, 30, accepted_by="board", accepted_at=9),
            exclusion("early", 20, 80, accepted_by="board", accepted_at=5),
            exclusion("proposed", 0, 90),
            exclusion("inside", 25, 28, accepted_by="board"),
        ),
    )
    found = excused_by(prepare(history), "s", Window("", 0, 100 * SECOND))
    assert found == {"early": 30 * SECOND, "late": 20 * SECOND}
