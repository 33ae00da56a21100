"""Names as people mistype them: the nearest known one, with bounded work."""

import time

from environments.names import nearest
from environments.problems import MOST_SAID, Mark, Problem, problem_at


def test_the_nearest_of_thousands_of_names_is_found_as_among_a_few():
    known = [f"node{n:04d}.{site}.example.org" for n in range(1500) for site in ("alma", "nova")]
    assert nearest("node0777.nvoa.example.org", known) == "node0777.nova.example.org"
    assert nearest("OKAY", ["OK", "WARNING"]) == "OK"
    assert nearest("zzzz", known) == ""


def test_a_thousand_unknown_names_among_a_thousand_take_seconds_and_not_minutes():
    known = [f"environment-{n:04d}" for n in range(1000)]
    began = time.process_time()
    assert [nearest(f"{name}x", known) for name in known] == known
    assert time.process_time() - began < 30


def test_what_is_quoted_from_a_file_is_bounded_and_the_end_of_the_sentence_stays():
    problem = problem_at(Mark("h.yaml", 3, 5), "events[0].status", f"{'x' * 10_000!r} is not a status")
    assert len(problem.message) == MOST_SAID
    assert problem.message.startswith("'xxx")
    assert problem.message.endswith("xxx' is not a status")


def test_a_problem_of_a_file_as_a_whole_has_no_line():
    assert Problem("site.yaml", 0, 0, "", "x").place == "site.yaml"
    assert Problem("site.yaml", 3, 7, "", "x").place == "site.yaml:3:7"
