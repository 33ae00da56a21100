"""Which past boots still tell something: what is judged of them is the same as of all."""

from hypothesis import example, given
from hypothesis import strategies as st

from scheduler.decide.health import judge
from scheduler.decide.waiting import Waiting
from scheduler.model.failures import FailureCause
from scheduler.model.policy import Limits
from scheduler.model.workers import BootOutcome, telling
from tests.pure.builders import NOW, an_observation

BOOTS = st.tuples(
    st.sampled_from(["el9", "el8"]),
    st.sampled_from(["h1", "h2", "h3"]),
    st.booleans(),
    st.sampled_from(list(FailureCause)),
    st.integers(0, 400),
)


def made(drawn):
    at, history = NOW - 5000.0, []
    for number, (environment, host, registered, failure, later) in enumerate(drawn):
        at += later
        history.append(BootOutcome(f"w-{number}", environment, "1", host, at, registered, "", failure))
    return tuple(boot for boot in history if boot.at <= NOW)


def judged(history, lonely):
    found = judge(an_observation(boots=history), Limits(history_seconds=3000), lambda _: lonely, Waiting(NOW))
    pairs = {image: hosts for image, hosts in found.pairs.items() if hosts}
    return found.images, found.hosts, pairs, found.failing, found.unheard


@given(st.lists(BOOTS, max_size=30), st.booleans())
@example([("el9", "h1", False, FailureCause.UNKNOWN, 0), ("el9", "h1", True, FailureCause.UNKNOWN, 1)], False)
def test_what_is_forgotten_changes_no_judgement(drawn, lonely):
    history = made(drawn)
    assert judged(telling(history), lonely) == judged(history, lonely)


@given(st.lists(BOOTS, max_size=30))
def test_what_told_nothing_before_tells_nothing_later(drawn):
    history = made(drawn)
    folded = ()
    for boot in history:
        folded = telling((*folded, boot))
    assert folded == telling(history)


def test_a_farm_that_is_well_is_remembered_by_one_boot_of_each_image_on_each_host():
    history = [BootOutcome(f"w-{n}", "el9", "1", f"h{n % 3}", NOW - 1000 + n, True) for n in range(900)]
    assert [boot.worker for boot in telling(history)] == ["w-897", "w-898", "w-899"]
