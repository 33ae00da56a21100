"""The on-call file and the file of `oncall simulate`: what is wrong is said with its line, and what was perhaps meant."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from environments.problems import ConfigurationError
from scheduler.commands.cli import main
from scheduler.oncall import reading as oncall
from scheduler.oncall import simulation as oncall_simulation
from scheduler.publish import addresses

HOW_TO = Path(__file__).parents[2] / "docs/howto/on-call.md"
GOOD = """\
zone: Europe/Rome
people: {anna: {name: Anna Rossi}, bruno: {}}
rotations:
  primary: {layers: [{people: [anna, bruno], start: 2026-03-02}]}
escalation: {levels: [{notify: primary}]}
"""
STORY = """\
now: 2026-03-02 12:00
oncall: oncall.yaml
events:
  - {at: 2026-03-02 10:00, event: bad, object: ce1}
  - {at: 2026-03-02 10:05, event: acknowledged, object: ce1, by: anna}
"""


@pytest.fixture
def ambienti(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    (tmp_path / "oncall.yaml").write_text(GOOD)
    (tmp_path / "story.yaml").write_text(STORY)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main(arguments)
        shown = capsys.readouterr()
        return left.value.code, shown.out, shown.err

    return call


WRONG = {
    "a zone that is none": (
        "zone: Europe/Rome",
        "zone: Europe/Rom",
        "1:7 zone: no time zone is called 'Europe/Rom'",
        "Europe/Rome?",
    ),
    "a mistyped key": ("escalation:", "escalatoin:", "5:1 escalatoin: is not a known key", "did you mean escalation?"),
    "a person nobody knows": (
        "[anna, bruno]",
        "[anna, brno]",
        "4:38 rotations.primary.layers[0].people[1]: there is no person",
        "bruno?",
    ),
    "a target nobody knows": (
        "notify: primary",
        "notify: primry",
        "5:32 escalation.levels[0].notify: there is no rotation",
        "primary?",
    ),
    "a lowest layer that ends": (
        "start: 2026-03-02",
        "start: 2026-03-02, end: 2026-04-01",
        "somebody is always on call",
        "a layer above",
    ),
    "an empty rotation": ("[anna, bruno]", "[]", "people: is a list of 0", "at least 1"),
    "a day of the week that is none": (
        "zone: Europe/Rome",
        "zone: Europe/Rome\nbusiness_hours: {days: [tue, moonday]}",
        "business_hours.days[1]: 'moonday' is no day of the week; expected one of: mon, tue",
        "did you mean monday?",
    ),
    "no such month": (
        "start: 2026-03-02",
        "start: 2026-13-02",
        "4:53 rotations.primary.layers[0].start: '2026-13-02' is no date of the calendar",
        "expected year, month and day, like 2026-03-02",
    ),
    "the end of the calendar": (
        "start: 2026-03-02",
        "start: 9999-12-31",
        "4:53 rotations.primary.layers[0].start: '9999-12-31' is not within the years 1970 to 2199",
        "like 2026-03-02",
    ),
    "no such date": (
        "start: 2026-03-02",
        "start: 2026-02-30",
        "4:53 rotations.primary.layers[0].start: '2026-02-30'",
        "expected",
    ),
    "a time of day that is none": (
        "start: 2026-03-02",
        'start: 2026-03-02, handover: "25:00"',
        "'25:00' is not a time of day",
        "24:00",
    ),
    "a bare number as time of day": (
        "start: 2026-03-02",
        "start: 2026-03-02, handover: 9",
        "9 is not a time of day",
        '"17:00"',
    ),
    "a shift of no days": (
        "start: 2026-03-02",
        "start: 2026-03-02, shift_days: 0",
        "shift_days: '0' is not accepted",
        "at least 1",
    ),
    "an address in two places": (
        "name: Anna Rossi",
        "addresses: [{file: a, environment: B}]",
        "2:29 people.anna.addresses[0]: an address stands in one place",
        "either `file` or `environment`",
    ),
    "an address itself": (
        "name: Anna Rossi",
        "addresses: [{environment: 'json://h/x'}]",
        "is not the name of an environment variable",
        "",
    ),
    "a rotation called like a person": ("primary: {", "anna: {", "'anna' is the name of a person too", "a name of its own"),
    "a calendar that is not there": ("zone:", "holiday_calendars: [oncal.ics]\nzone:", "there is no file", "an iCalendar file"),
    "business hours that end before they begin": (
        "zone:",
        'business_hours: {end: "07:00"}\nzone:',
        "business_hours.end: is not after the start",
        "",
    ),
    "a holiday that ends before it begins": (
        "zone:",
        "holidays: [{date: 2026-08-10, last: 2026-08-01}]\nzone:",
        "2026-08-01 does not end a holiday that begins on 2026-08-10",
        "",
    ),
    "overrides that overlap": (
        "escalation:",
        (
            "overrides:\n"
            "  - {rotation: primary, person: anna, start: 2026-03-10 09:00, end: 2026-03-11 09:00}\n"
            "  - {rotation: primary, person: bruno, start: 2026-03-11 08:00, end: 2026-03-12 09:00}\n"
            "escalation:"
        ),
        "7:5 overrides[1]: from 2026-03-11T08:00:00+01:00 on bruno and anna (line 6) would both be on call",
        "overrides of one rotation that do not overlap",
    ),
    "an override at a time that comes twice": (
        "escalation:",
        "overrides: [{rotation: primary, person: anna, start: 2026-10-25 02:30, end: 2026-10-26}]\nescalation:",
        "'2026-10-25 02:30' comes twice in Europe/Rome",
        "2026-10-25T02:30:00+02:00 for the first",
    ),
    "a swap with oneself": (
        "escalation:",
        "swaps: [{rotation: primary, people: [anna, anna], start: 2026-03-10, end: 2026-03-11}]\nescalation:",
        "anna swaps with nobody",
        "two people",
    ),
    "an override of no rotation that ends before it begins": (
        "escalation:",
        "overrides: [{rotation: primar, person: anna, start: 2026-03-10, end: 2026-03-09}]\nescalation:",
        "there is no rotation 'primar'; did you mean primary?",
        "overrides[0].end: is not after the start",
    ),
}


@pytest.mark.parametrize(("before", "after", "said", "hint"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_in_the_on_call_file_is_said_with_its_place(tmp_path, before, after, said, hint):
    file = tmp_path / "oncall.yaml"
    assert before in GOOD
    file.write_text(GOOD.replace(before, after, 1))
    with pytest.raises(ConfigurationError) as refused:
        oncall.load(file)
    text = "\n".join(map(str, refused.value.problems))
    assert said in text
    assert hint in text


WRONG_STORIES = {
    "an event that is none": ("event: bad", "event: bda", "4:35 events[0].event: 'bda' is not accepted", "did you mean bad?"),
    "an answer of a stranger": ("by: anna", "by: ana", "5:66 events[1].by: there is no person 'ana'", "did you mean anna?"),
    "an answer of nobody": (", by: anna", "", "nobody is said to have answered", "one of: anna, bruno"),
    "an event after now": ("10:05", "12:05", "events[1].at: lies after `now`", "an instant that has passed"),
    "bad without an object": ("bad, object: ce1", "bad, cause: san", "nothing is bad", "`object`"),
    "an answer to nothing": ("acknowledged, object: ce1", "acknowledged", "it is not said of what", "`incident`"),
    "no on-call rules": ("oncall: oncall.yaml\n", "", "oncall: is missing", "the path of an on-call file"),
    "an on-call file that is not there": (
        "oncall.yaml",
        "onkall.yaml",
        "there is no file onkall.yaml",
        "did you mean oncall.yaml?",
    ),
    "a downtime that ends before it begins": (
        "events:",
        "downtimes: [{objects: [ce1], start: 2026-03-02 10:00, end: 2026-03-02 09:00}]\nevents:",
        "downtimes[0].end: is not after the start",
        "a later instant",
    ),
}


@pytest.mark.parametrize(("before", "after", "said", "hint"), WRONG_STORIES.values(), ids=WRONG_STORIES)
def test_what_is_wrong_in_a_story_is_said_with_its_place(ambienti, tmp_path, before, after, said, hint):
    assert before in STORY
    (tmp_path / "story.yaml").write_text(STORY.replace(before, after, 1))
    code, _, err = ambienti("oncall", "simulate", "story.yaml")
    assert code == 2
    assert said in " ".join(err.split())
    assert hint in " ".join(err.split())


def test_a_story_is_told_as_text_and_as_json_of_the_published_schema(ambienti):
    code, out, _ = ambienti("oncall", "simulate", "story.yaml")
    assert code == 0
    assert "anna is paged: primary of level 1 (shift), it opened" in out
    assert "1 incident: 1 met as of 2026-03-02T12:00:00+01:00." in out
    code, out, _ = ambienti("oncall", "simulate", "story.yaml", "--json")
    told = json.loads(out)
    schema = json.loads(ambienti("schema", "oncall-story")[1])
    jsonschema.validate(told, schema)
    assert told["incidents"][0]["calls"][0]["after_seconds"] == 300
    assert told["incidents"][0]["pages"][0]["person"] == "anna"


def test_a_narrow_terminal_cuts_no_deadline_off(ambienti, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    _, out, _ = ambienti("oncall", "simulate", "story.yaml")
    assert sum("10:15:00+01:00" in line for line in out.splitlines()) == 2  # in the story, and in the table


def test_a_story_may_be_written_in_json(ambienti, tmp_path):
    rules = {"people": {"anna": {}}, "escalation": {"levels": [{"notify": "anna", "wait_seconds": "5 min"}]}}
    events = [{"at": "2026-03-02T10:00:00Z", "event": "bad", "object": "ce1"}]
    story = {"now": "2026-03-02T10:06:00Z", "oncall": rules, "events": events}
    (tmp_path / "story.json").write_text(json.dumps(story))
    code, out, _ = ambienti("oncall", "simulate", "story.json", "--json")
    assert code == 0
    assert [page["at"] for page in json.loads(out)["incidents"][0]["pages"]] == ["2026-03-02T10:00:00Z", "2026-03-02T10:05:00Z"]
    schema = json.loads(ambienti("schema", "oncall-simulation")[1])
    jsonschema.validate(story, schema)


def test_who_is_on_call_is_said_for_any_instant(ambienti):
    code, out, _ = ambienti("oncall", "who", "--at", "2026-03-02 09:00", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["at"] == "2026-03-02T09:00:00+01:00"
    assert [(row["what"], row["person"]) for row in told["on_call"]] == [("level 1", "anna"), ("rotation", "anna")]
    assert "anna (Anna Rossi)" in ambienti("oncall", "who", "--at", "2026-03-02 09:00")[1]
    assert ambienti("oncall", "who")[0] == 0
    for wrong in (("who", "--at", "6"), ("schedule", "--from", "6")):
        code, _, err = ambienti("oncall", *wrong)
        assert (code, err.startswith(f"{wrong[1]}: '6' is no instant")) == (2, True)
    code, _, err = ambienti("oncall", "who", "--at", "2026-03-29 02:30")
    assert (code, "does not exist in Europe/Rome" in err) == (2, True)
    assert err.startswith("--at: '2026-03-29 02:30' does not exist")
    assert "file" not in err


def test_a_schedule_lays_the_turns_out(ambienti):
    code, out, _ = ambienti("oncall", "schedule", "--from", "2026-03-25 12:00", "--days", "14", "--json")
    assert code == 0
    assert [(row["from"], row["until"], row["person"]) for row in json.loads(out)] == [
        ("2026-03-25T12:00:00+01:00", "2026-03-30T09:00:00+02:00", "bruno"),
        ("2026-03-30T09:00:00+02:00", "2026-04-06T09:00:00+02:00", "anna"),
        ("2026-04-06T09:00:00+02:00", "2026-04-08T12:00:00+02:00", "bruno"),  # fourteen days of the calendar
    ]
    assert "2026-04-06T09:00:00+02:00" in ambienti("oncall", "schedule", "primary", "--from", "2026-03-25 12:00")[1]
    code, _, err = ambienti("oncall", "schedule", "primry")
    assert (code, "did you mean primary?" in err) == (1, True)


def test_a_missing_on_call_file_is_wrong_use(ambienti, tmp_path):
    (tmp_path / "oncall.yaml").unlink()
    code, _, err = ambienti("oncall", "who")
    assert (code, "there is no on-call file" in err) == (2, True)


def test_help_of_every_command_has_an_example(ambienti):
    for words in (("oncall", "simulate"), ("oncall", "who"), ("oncall", "schedule"), ("oncall", "notify")):
        assert "Examples:" in ambienti(*words, "--help")[1]
    for word in ("list", "show", "open", "ack", "resolve", "report"):
        assert "Examples:" in ambienti("incident", word, "--help")[1]


@pytest.mark.parametrize("of", ["oncall", "oncall-simulation"])
def test_the_schema_describes_every_key(ambienti, of):
    schema = json.loads(ambienti("schema", of)[1])
    jsonschema.Draft202012Validator.check_schema(schema)
    for model in (schema, *schema["$defs"].values()):
        for key, field in model.get("properties", {}).items():
            assert field.get("description"), key


def test_the_examples_of_the_documentation_are_right(ambienti, tmp_path):
    story, example = re.findall(r"```yaml\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    file = tmp_path / "oncall.yaml"
    file.write_text(example.replace("holiday_calendars: [holidays.ics]", ""))
    found = oncall.load(file)
    assert addresses.places(found)["anna"] == ("file:secrets/anna-mail.url", "environment:ANNA_SMS")
    assert [level.target for level in found.rules.levels] == ["primary", "secondary"]
    (tmp_path / "story.yaml").write_text(story)
    code, out, _ = ambienti("oncall", "simulate", "story.yaml")
    assert (code, "1 incident: 1 met" in out) == (0, True)


def test_an_address_is_looked_up_when_it_is_needed_and_its_absence_told_without_it(tmp_path, monkeypatch):
    file = tmp_path / "oncall.yaml"
    file.write_text(GOOD.replace("bruno: {}", "bruno: {addresses: [{file: bruno.url}, {environment: BRUNO_URL}]}"))
    found = oncall.load(file)
    with pytest.raises(ValueError, match=r"the file .*bruno\.url: there is no such file"):
        addresses.address_at(found, "file:bruno.url")
    (tmp_path / "bruno.url").write_text("\n")
    with pytest.raises(ValueError, match=r"the first line of .* is empty"):
        addresses.address_at(found, "file:bruno.url")
    (tmp_path / "bruno.url").write_text("json://host/token\nrubbish")
    assert addresses.address_at(found, "file:bruno.url") == "json://host/token"
    monkeypatch.delenv("BRUNO_URL", raising=False)
    with pytest.raises(ValueError, match="the environment variable BRUNO_URL is not set"):
        addresses.address_at(found, "environment:BRUNO_URL")
    monkeypatch.setenv("BRUNO_URL", " mailto://x@y.z ")
    assert addresses.address_at(found, "environment:BRUNO_URL") == "mailto://x@y.z"
    with pytest.raises(ValueError, match=r"bruno has no address file:gone\.url any more"):
        addresses.opener(found)("bruno", "file:gone.url")


def test_times_of_day_may_be_written_without_quotes(tmp_path):
    file = tmp_path / "oncall.yaml"
    file.write_text(GOOD + "business_hours: {start: 7:30, end: 17:00, days: [Monday, tue]}\n")
    assert oncall.load(file).rules.promise.hours.end_seconds == 17 * 3600
    assert oncall.load(file).rules.promise.hours.start_seconds == 7 * 3600 + 1800
    assert oncall.load(file).rules.promise.hours.days == {0, 1}


def test_what_is_wrong_in_the_rules_within_a_story_bears_the_key_where_they_stand(tmp_path):
    file = tmp_path / "story.yaml"
    inner = "".join(f"  {line}\n" for line in GOOD.replace("notify: primary", "notify: primry").splitlines())
    file.write_text(f"now: 2026-03-02\noncall:\n{inner}")
    with pytest.raises(ConfigurationError) as refused:
        oncall_simulation.load(file)
    [problem] = refused.value.problems
    assert (problem.line, problem.key) == (7, "oncall.escalation.levels[0].notify")


HOLIDAYS = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//EN
BEGIN:VTIMEZONE
TZID:Customized Time Zone
BEGIN:STANDARD
DTSTART:16010101T000000
TZOFFSETFROM:{0}
TZOFFSETTO:{0}
END:STANDARD
END:VTIMEZONE
BEGIN:VEVENT
UID:{0}
DTSTAMP:20260101T000000Z
DTSTART;TZID=Customized Time Zone:20260715T100000
DTEND;TZID=Customized Time Zone:20260715T110000
END:VEVENT
END:VCALENDAR
"""


def test_the_order_of_holiday_calendars_moves_no_deadline(ambienti, tmp_path):
    """08:30 UTC is 10:30 two hours east of Greenwich, a closure there; five hours west the closure is at 15:00 UTC."""
    for name, offset in (("rome", "+0200"), ("chicago", "-0500")):
        (tmp_path / f"{name}.ics").write_text(HOLIDAYS.format(offset))
    deadlines = []
    for order in ("rome.ics, chicago.ics", "chicago.ics, rome.ics", "rome.ics, chicago.ics"):
        (tmp_path / "story.yaml").write_text(f"""\
now: 2026-07-15T20:00:00Z
oncall:
  zone: Europe/Rome
  people: {{anna: {{}}}}
  escalation: {{levels: [{{notify: anna, wait_seconds: 1h}}]}}
  holiday_calendars: [{order}]
events:
  - {{at: 2026-07-15T08:30:00Z, event: bad, object: ce1}}
  - {{at: 2026-07-15T12:30:00Z, event: bad, object: ce2}}
  - {{at: 2026-07-15T14:59:00Z, event: bad, object: ce3}}
""")
        code, out, _ = ambienti("oncall", "simulate", "story.yaml", "--json")
        assert code == 0
        deadlines.append([one["calls"][0]["deadline"] for one in json.loads(out)["incidents"]])
    assert deadlines[0] == ["2026-07-15T11:30:00+02:00", "2026-07-15T14:45:00+02:00", "2026-07-15T17:14:00+02:00"]
    assert deadlines[1:] == deadlines[:1] * 2


def told(ambienti, tmp_path, rules, *events):
    lines = "".join(f"  - {{at: 2026-03-03 {at}, event: {event}, object: {name}}}\n" for at, event, name in events)
    base = "{zone: Europe/Rome, people: {anna: {}}, escalation: {levels: [{notify: anna}]}, " + rules + "}"
    (tmp_path / "story.yaml").write_text(f"now: 2026-03-03 20:00\noncall: {base}\nevents:\n{lines}")
    code, out, err = ambienti("oncall", "simulate", "story.yaml", "--json")
    assert code == 0, err
    return [(one["cause"], one["objects"], one["opened"][11:19]) for one in json.loads(out)["incidents"]]


def test_a_story_obeys_which_objects_open_incidents(ambienti, tmp_path):
    events = (("10:00", "bad", "se-1"), ("11:00", "bad", "ce-1"))
    assert told(ambienti, tmp_path, "objects: [ce-*]", *events) == [("object:ce-1", ["ce-1"], "11:00:00")]


def test_a_story_obeys_how_long_something_is_bad_before_it_counts(ambienti, tmp_path):
    events = (("10:00", "bad", "a"), ("10:05", "recovered", "a"), ("11:00", "bad", "a"), ("11:06", "recovered", "a"))
    assert told(ambienti, tmp_path, "confirm_seconds: 5m", *events) == [("object:a", ["a"], "11:05:00")]


def test_a_story_obeys_how_many_objects_have_one_cause(ambienti, tmp_path):
    events = (("10:00:00", "bad", "a"), ("10:00:00", "bad", "b"), ("10:00:30", "bad", "c"), ("10:02:00", "bad", "d"))
    assert told(ambienti, tmp_path, "common_cause_objects: 2", *events) == [
        ("common:2026-03-03T09:00:00Z", ["a", "b", "c"], "10:00:00"),
        ("object:d", ["d"], "10:02:00"),
    ]
    assert len(told(ambienti, tmp_path, "common_cause_objects: 0", *events)) == 4
    assert len(told(ambienti, tmp_path, "common_cause_objects: 3", *events)) == 4


def test_two_common_causes_within_a_second_are_two(ambienti, tmp_path):
    events = [("10:00:00.1", "bad", name) for name in "abc"] + [("10:00:00.6", "bad", name) for name in "def"]
    assert [objects for _, objects, _ in told(ambienti, tmp_path, "common_cause_seconds: 0", *events)] == [
        ["a", "b", "c"],
        ["d", "e", "f"],
    ]


def test_who_never_gets_a_turn_is_a_finding(tmp_path):
    """Fourteen people by the day are two weeks: the same four always have the weekends, which the layer below covers."""
    people = [f"p{number:02}" for number in range(1, 15)]
    (tmp_path / "oncall.yaml").write_text(f"""\
zone: Europe/Rome
people: {{boss: {{}}, {", ".join(f"{one}: {{}}" for one in people)}}}
rotations:
  daily:
    layers:
      - {{people: [boss], start: 2026-01-05}}
      - people: [{", ".join(people)}]
        start: 2026-01-05
        handover: "00:00"
        shift_days: 1
        during: {{days: [mon, tue, wed, thu, fri], start: "00:00", end: "24:00"}}
  fair: {{layers: [{{people: [{", ".join(people)}], start: 2026-01-05, shift_days: 30}}]}}
escalation: {{levels: [{{notify: daily}}]}}
""")
    (finding,) = addresses.without_turn(oncall.load(tmp_path / "oncall.yaml"))
    assert "rotation 'daily': p06, p07, p13, p14 never get a turn" in finding.message
