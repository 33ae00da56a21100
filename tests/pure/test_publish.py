"""Pages and PDFs of reports: nothing is fetched, nothing is taken for markup, and rounding hides no miss."""

from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from scheduler.availability.history import Monitored, Result, Status
from scheduler.publish import charts, writing
from scheduler.publish.page import page
from tests.pure.report_sample import EVIL, HOUR, NAMES, NOW, history, sample


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.text, self.coloured = [], [], [], []

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.tags.append(tag)
        self.fetched += [said[key] for key in ("src", "href") if key in said and not said[key].startswith("data:")]
        if tag == "td" and "title" in said:
            self.coloured.append((said["class"], said["title"]))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def parsed():
    parser = Parser()
    parser.feed(page(sample()))
    return parser


def test_a_page_fetches_nothing(parsed):
    assert parsed.fetched == []
    assert not {"img", "iframe", "object"} & set(parsed.tags)


def test_every_service_stands_on_the_page_and_no_name_is_taken_for_markup(parsed):
    assert set(NAMES) <= {text.strip() for text in parsed.text}
    assert parsed.tags.count("script") == 2


def test_a_name_cannot_end_the_script_that_holds_the_charts():
    written = page(sample())
    assert EVIL not in written
    assert written.count("</script>") == 2


def test_cells_have_the_colour_of_their_verdict_and_the_exact_figure(parsed):
    found = sample()
    cells = [row for rows in found.rows.values() for row in rows]
    expected = [row.verdict or "" for row in cells]
    assert [colour for colour, _ in parsed.coloured] == expected
    assert {"PASS", "FAIL"} & set(expected)
    assert all(said.startswith(row.figure or "no time") for (_, said), row in zip(parsed.coloured, cells, strict=True))


def test_a_page_without_any_service_says_so_and_draws_no_chart():
    nothing = replace(history(), objects=(), groups=(), results=(), downtimes=(), exclusions=(), objectives=())
    written = page(sample(nothing))
    assert 'id="chart-' not in written
    assert "None was promised." in written
    assert "None was declared." in written


@pytest.mark.parametrize(
    ("figure", "against", "written"),
    [
        (None, (), "-"),
        (Fraction(1), (Fraction(999, 1000),), "100.00 %"),
        (Fraction(999, 1000), (Fraction(999, 1000),), "99.90 %"),
        (Fraction(99899967, 100_000_000), (Fraction(999, 1000),), "99.89997 %"),
        (Fraction(99899967, 100_000_000), (), "99.90 %"),
        (Fraction(999_999, 1_000_000), (), "99.9999 %"),
        (Fraction(0), (), "0.00 %"),
        ("1/3", (), "33.33 %"),
    ],
)
def test_a_figure_has_as_many_digits_as_tell_it_from_its_target(figure, against, written):
    assert writing.percent(figure, against) == written


def test_an_overdrawn_budget_says_so():
    assert writing.budget(Fraction(HOUR)) == "1 h"
    assert writing.budget(Fraction(-HOUR)) == "overdrawn by 1 h"


def test_only_the_timelines_that_lost_most_are_drawn():
    objects = tuple(Monitored(f"s{n}") for n in range(90))
    results = [(0, f"s{n}", Status.CRITICAL) for n in range(90)] + [(n + 1, f"s{n}", Status.OK) for n in range(90)]
    made = tuple(Result(NOW - 100 * HOUR + hours * HOUR // 10, name, status) for hours, name, status in results)
    few = replace(history(), objects=objects, groups=(), results=made, downtimes=(), exclusions=(), objectives=())
    drawn = {value["object"] for value in charts.strips(sample(few))["layer"][0]["data"]["values"]}
    assert drawn == {f"s{n}" for n in range(90 - charts.MOST_STRIPS, 90)}


def test_the_time_axis_shows_the_zone_of_the_report():
    last = max(charts.strips(sample())["layer"][0]["data"]["values"], key=lambda value: value["end"])
    assert last["to"] == "2026-11-18 12:06:40 CET"
    assert last["end"] == "2026-11-18T12:06:40Z"
