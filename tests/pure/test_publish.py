"""Pages and PDFs of reports: nothing is fetched, nothing is taken for markup, and rounding hides no miss."""

import re
from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from scheduler.availability.history import Verdict
from scheduler.publish import charts, writing
from scheduler.publish.page import page
from tests.pure.report_sample import EVIL, NAMES, NOW, sample


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.text = [], [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.fetched += [value for name, value in attributes if name in {"src", "href"} and not value.startswith("data:")]

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def parsed():
    parser = Parser()
    parser.feed(page(sample()))
    return parser


def test_a_page_fetches_nothing(parsed):
    assert parsed.fetched == []
    assert "link" in parsed.tags
    assert "img" not in parsed.tags


def test_every_service_stands_on_the_page_and_no_name_is_taken_for_markup(parsed):
    said = "".join(parsed.text)
    assert all(name in said for name in NAMES)
    assert "b" not in [tag for tag, text in zip(parsed.tags, parsed.text, strict=False) if text == "&evil"]
    assert parsed.tags.count("script") == 2


def test_a_name_cannot_end_the_script_that_holds_the_charts():
    written = page(sample())
    assert EVIL not in written
    assert written.count("</script>") == 2


def test_a_page_without_rows_says_so_and_draws_no_chart():
    empty = replace(sample(), rows=(), strips={}, downtimes=(), exclusions=(), notes=())
    assert 'id="chart-' not in page(empty)


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
        (Fraction(1, 3), (), "33.33 %"),
    ],
)
def test_a_figure_has_as_many_digits_as_tell_it_from_its_target(figure, against, written):
    assert writing.percent(figure, against) == written


def test_the_worst_verdict_colours_a_cell():
    cell = sample().rows[0].cells[0]
    verdicts = [replace(cell.judged[0], verdict=verdict) for verdict in (Verdict.PASS, Verdict.FAIL, Verdict.UNDECIDED)]
    assert writing.verdict(replace(cell, judged=tuple(verdicts))) is Verdict.FAIL
    assert writing.verdict(replace(cell, judged=())) is None


def test_only_the_timelines_that_lost_most_are_drawn():
    report = sample()
    many = replace(
        report,
        rows=tuple(replace(report.rows[n % 8], name=f"s{n}") for n in range(200)),
        strips={f"s{n}": report.strips[NAMES[n % 8]] for n in range(200)},
    )
    drawn = {value["object"] for value in charts.strips(many)["layer"][0]["data"]["values"]}
    assert drawn == set(charts.most_lost(many)[: charts.MOST_STRIPS])


def test_the_time_axis_shows_the_zone_of_the_report():
    value = charts.strips(sample())["layer"][0]["data"]["values"][-1]
    assert value["to"].endswith("CET")
    assert re.match(r"2026-11-18T12:06:40Z", charts._local(NOW, "Europe/Rome"))
