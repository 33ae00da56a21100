"""Pages and PDFs of reports: nothing is fetched, nothing is taken for markup, and rounding hides no miss."""

from dataclasses import replace
from fractions import Fraction
from html.parser import HTMLParser

import pytest

from scheduler.availability.history import Exclusion, Monitored, Result, Span, Status
from scheduler.availability.promises.burn_rate import Alert
from scheduler.availability.reports.report_data import COLUMNS, table_windows
from scheduler.availability.timelines import windows
from scheduler.availability.timelines.prepared import prepare
from scheduler.model.instants import SECOND
from scheduler.oncall.follow import follow
from scheduler.oncall.hours import ResponseTimes
from scheduler.oncall.incident import Book, IncidentEvent, Level, Rules, What
from scheduler.oncall.rotation import Roster
from scheduler.publish import apart, charts, sheet
from scheduler.publish import page as pages
from scheduler.publish import page as writing
from scheduler.publish.page import page, pdf
from scheduler.publish.sheet import PublicationStatus, VersionLine
from tests.pure.report_sample import EVIL, HOUR, NAMES, NOW, history, sample


class Parser(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.fetched, self.text, self.coloured = [], [], [], []

    def handle_starttag(self, tag, attributes):
        said = dict(attributes)
        self.tags.append(tag)
        self.fetched += [said[key] for key in ("src", "href") if key in said and not said[key].startswith(("data:", "#"))]
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


# --- what became of incidents -----------------------------------------------------------------------------------------

RULES = Rules(ResponseTimes("Europe/Rome"), Roster({}), (Level("anna", 600 * SECOND),), 1, 900 * SECOND)


def incidents(*openings):
    """Let incidents open at instants, each answered by anna after so many seconds (None: by nobody)."""
    changes = [IncidentEvent(at, What.BAD, EVIL if n == 1 else f"ce{n}") for n, (at, _) in enumerate(openings, 1)]
    changes += [
        IncidentEvent(at + after * SECOND, What.RESOLVED, incident=n, by="anna")
        for n, (at, after) in enumerate(openings, 1)
        if after is not None
    ]
    book, found = Book(), {}
    for change in sorted(changes, key=lambda one: one.at):
        outcome = follow(book, change, RULES)
        book = outcome.book
        found |= {one.number: one for one in outcome.changed}
    return list(found.values())


def test_a_page_has_the_table_of_five_windows_and_one_in_detail():
    month = windows.named("past-month", NOW, "Europe/Rome")
    found = history()
    made = sheet.make(prepare(found), table_windows(found), "excuse", site="farm", detail=month)
    assert [one.name for one in made.report.windows] == [*COLUMNS, "past-month"]
    assert made.report.windows[made.detail].name == "past-month"
    assert "in detail: <b>Past month</b>, 2026-10-01 00:00:00 +02:00 to 2026-11-01 00:00:00 +01:00" in page(made)
    week = windows.named("past-week", NOW, "Europe/Rome")
    among = sheet.make(prepare(found), table_windows(found), "excuse", site="farm", detail=week)
    assert [one.name for one in among.report.windows] == [*COLUMNS], "no window stands twice"
    assert among.report.windows[among.detail].name == "past-week"
    assert sample().report.windows[sample().detail].name == "year", "by default the longest"


def detail_of(name, written):
    """Return what a page says of one service."""
    [found] = [part for part in written.split("<details")[1:] if f"<summary>{name} " in part]
    return found.partition("</details>")[0]


def test_each_service_has_its_strip_its_causes_its_incidents_and_who_excused_it():
    month = windows.named("past-month", NOW, "Europe/Rome")
    excused = Exclusion("ex-9", ("cemon",), month.start, month.end, "network", "bob", "a switch", "the board", NOW)
    whole = replace(history(), exclusions=(excused,))
    found = [replace(one, objects=("cemon",)) for one in incidents((month.start + HOUR, 60), (month.end - HOUR, None))]
    gone = [replace(one, number=9, opened_at=month.start - HOUR, closed_at=month.start) for one in found[:1]]
    made = sheet.make(prepare(whole), [month], "excuse", site="farm", incidents=[*found, *gone])
    cemon, farm = (detail_of(name, page(made)) for name in ("cemon", "farm"))
    row = made.rows["cemon"][0]
    assert row.excused == sum(one.length for one in made.details["cemon"].excused) > 0
    assert "by exclusion ex-9 (network: a switch), proposed by bob, accepted by the board" in cemon
    assert "excused, and by whom" not in farm.lower(), "an exclusion of a member is none of its group"
    assert "<li>excluded: " in cemon
    assert cemon.count("<li>1: object:") == cemon.count("<li>2: object:") == farm.count("<li>2: object:") == 1
    assert "<li>9: " not in cemon + farm
    assert f"{writing.percent(row.availability)}</td><td>{writing.percent(row.reliability)}</td>" in cemon
    assert cemon.count("<rect") >= len({piece.state for piece in made.strips["cemon"]})


def test_a_strip_is_as_long_as_its_window_and_says_what_and_when():
    month = windows.named("past-month", NOW, "Europe/Rome")
    strip = sheet.make(prepare(history()), [month], "excuse", site="farm").details["cemon"].strip
    assert float(strip[0].left) == 0
    assert round(sum(float(one.width) for one in strip), 1) == 100
    assert strip[0].title.startswith(f"{strip[0].state}: 2026-10-01 00:00:00 to ")


def test_a_page_says_which_version_it_is_and_what_has_changed_since():
    first = VersionLine(
        "past-month", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00Z", 1, "2026-11-01T07:00:00Z", "first publication"
    )
    second, other = replace(first, number=2, note=f"late: event 4 ({EVIL})"), replace(first, period="past-week", number=3)
    found = history()
    made = sheet.make(
        prepare(found), table_windows(found), "excuse", site="f", published=PublicationStatus(second, (first,), (other,))
    )
    section = page(made).partition('<section id="publication">')[2].partition("</section>")[0]
    assert "are version 2 of that period" in section
    assert section.count("first publication") == 2
    assert EVIL not in section
    assert "have changed since the last report" in section
    told = page(sheet.make(prepare(found), table_windows(found), "excuse", site="f", published=PublicationStatus(None)))
    assert "are not published" in told
    pending = PublicationStatus(None, (first,), pending="late: event 7")
    told = page(sheet.make(prepare(found), table_windows(found), "excuse", site="f", published=pending))
    assert "are not those that were published last: late: event 7." in told
    assert 'id="publication"' not in page(sample()), "a history file knows no publications"


def test_objectives_tell_their_alerts_and_how_long_a_recovery_takes():
    found = history()
    alerts = {"sla-gratia": (Alert("fast", Fraction(14), HOUR, HOUR // 12, "page"),)}
    written = page(sheet.make(prepare(found), table_windows(found), "excuse", site="f", alerts=alerts))
    section = written.partition('<section id="objectives">')[2].partition("</section>")[0]
    assert section.count("<div>fast: ") == 1
    assert ">Alerts</th>" in section
    assert " each</span>" in section
    assert ">Alerts</th>" not in page(sample())


def test_gaps_of_the_monitor_and_who_accepted_stand_on_the_page():
    whole = replace(history(), gaps=(Span(NOW - 9 * HOUR, NOW - 8 * HOUR), Span(NOW - HOUR)))
    written = page(sample(whole))
    assert "was not there from 2026-11-18 03:06:40 +01:00 to 2026-11-18 04:06:40 +01:00" in written
    assert "to now</li>" in written
    assert "the board, 2026-11-18 12:06:40 +01:00" in written


def responses_in(found, *, window):
    prepared = prepare(history())
    return page(sheet.make(prepared, [window], "excuse", site="farm", incidents=found))


def test_incidents_of_the_window_are_counted_and_listed_and_their_names_are_no_markup():
    week = windows.named("past-week", NOW, "Europe/Rome")
    found = incidents(
        (week.start - HOUR, 60), (week.start, 120), (week.start + 40 * HOUR, 7200), (week.end - HOUR, None), (week.end, 60)
    )
    written = responses_in(found, window=week)
    section = written.partition('<section id="responses">')[2].partition("</section>")[0]
    for counted in ("3 incidents opened", "1 met", "2 breached", "0 self-healed", "0 pending", "anna 2"):
        assert counted in section
    assert [name for name in ("ce2", "ce3", "ce4") if f">object:{name}<" not in section] == []
    assert "ce5" not in section, "it opened when the window had ended"
    assert EVIL not in section


def test_without_incidents_in_the_window_there_is_no_section():
    week = windows.named("past-week", NOW, "Europe/Rome")
    assert '<section id="responses">' not in responses_in(incidents((week.end, 60)), window=week)
    assert '<section id="responses">' not in responses_in([], window=week)


# --- what native libraries cannot bear --------------------------------------------------------------------------------

HOSTILE = "x\x1b[2J\0 \u202e\U000e0041 \x9b"


def renamed(found, old, new):
    """The sample with a service of another name."""
    return replace(
        found,
        objects=tuple(replace(one, name=new if one.name == old else one.name) for one in found.objects),
        results=tuple(replace(one, object=new if one.object == old else one.object) for one in found.results),
        groups=(),
        objectives=tuple(replace(one, object=new) for one in found.objectives if one.object == old),
        downtimes=tuple(replace(one, objects=(new,), reason=new) for one in found.downtimes),
        exclusions=tuple(replace(one, reason=new, author=new) for one in found.exclusions),
    )


def test_a_name_that_a_native_library_cannot_bear_stands_on_the_page_and_in_the_pdf():
    made = sample(renamed(history(), "gratia", HOSTILE))
    shown = r"x\x1b[2J\x00 \u202e"
    assert shown in page(made)
    assert "\x1b" not in page(made)
    assert pdf(made).startswith(b"%PDF")


def test_a_library_that_crashes_takes_only_its_own_process_with_it():
    spec = {
        "$schema": charts.SCHEMA,
        "data": {"values": [{"a": HOSTILE, "b": 1}]},
        "mark": "bar",
        "encoding": {"y": {"field": "a", "type": "nominal"}, "x": {"field": "b", "type": "quantitative"}},
    }
    with pytest.raises(apart.UndrawnError, match=r"the chart could not be drawn: the library (died of SIG|failed)"):
        apart.made("svg", spec)


def test_what_takes_too_long_is_stopped_and_told():
    with pytest.raises(apart.UndrawnError, match=r"the PDF took longer than 0\.01 s"):
        apart.made("pdf", "<p>x</p>", 0.01)


def test_a_report_without_its_charts_is_a_report_all_the_same(monkeypatch):
    def failing(task, *_given):
        raise apart.UndrawnError(f"{task} could not be drawn")

    monkeypatch.setattr(apart, "made", failing)
    pages.chart_library.cache_clear()
    written = page(sample())
    assert "library could not be drawn" in written
    assert 'id="chart-' not in written
    pages.chart_library.cache_clear()
