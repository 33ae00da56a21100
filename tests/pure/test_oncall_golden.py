"""Golden cases of incidents and rotations: input, exact expectation and its derivation by hand stand in one file."""

from dataclasses import replace
from pathlib import Path

import pytest

from environments.nodes import YamlNode
from environments.reader import read
from scheduler.commands import oncall as oncall_command
from scheduler.model.instants import read_instant, write_instant
from scheduler.oncall import reading as oncall
from scheduler.oncall import simulation as oncall_simulation
from scheduler.oncall.rows import story_view

DIRECTORY = Path(__file__).parents[1] / "golden/oncall"
SILENT = {"opened", "reopened", "paged", "acknowledged", "resolved", "self-healed"}
"""Decisions that the incidents and pages tell already; all others stand under `besides`."""


def cases():
    for path in sorted(DIRECTORY.glob("*.yaml")):
        for node in read(path).items["cases"].elements:
            yield pytest.param(path, node, id=f"{path.stem}: {node.items['case'].value}")


def told(text, zone):
    return None if text is None else write_instant(read_instant(str(text), zone), zone)


def expected_incident(written, zone):
    calls = [
        {
            "at": told(call["at"], zone),
            "deadline": told(call["deadline"], zone),
            "ended": told(call.get("ended"), zone),
            "how": call.get("how"),
            "by": call.get("by", ""),
            "verdict": call["verdict"],
        }
        for call in written.get("calls", [])
    ]
    return {
        "cause": written["cause"],
        "objects": written.get("objects", [written["cause"].removeprefix("object:")]),
        "still_bad": written.get("still_bad", []),
        "state": written["state"],
        "verdict": written["verdict"],
        "response_class": written.get("class"),
        "bad_since": told(written.get("bad_since", calls[0]["at"] if calls else None), zone),
        "closed": told(written.get("closed"), zone),
        "calls": calls,
    }


def found_incident(view):
    found = view.model_dump(mode="json", exclude={"number", "opened", "opened_by", "pages"})
    for call in found["calls"]:
        del call["after_seconds"]
    return found


@pytest.mark.parametrize(("path", "node"), list(cases()))
def test_a_case_derived_by_hand_comes_out_exactly(path, node: YamlNode):
    case = node.plain()
    assert case["derivation"].strip(), "the derivation is part of the case"
    asked = [key for key in ("who", "expect", "periods") if key in case]
    assert asked, "nothing is expected"
    if "who" in case:
        check_who(case, node, path)
    if "story" in case:
        check_story(case, node, path)


def check_who(case, node, path):
    problems = []
    found = oncall.understood(node.items["oncall"], path, problems)
    assert not problems, problems
    for at, target, person, because in case["who"]:
        duty = found.rules.roster.on_call(target, read_instant(at, found.settings.zone))
        assert (duty.person, duty.because) == (person, because), at


def check_story(case, node, path):
    story_node = node.items["story"]
    if "oncall" not in story_node.items:
        story_node = replace(story_node, value={**story_node.items, "oncall": node.items["oncall"]})
    asked = oncall_simulation.understood(story_node, path)
    zone = asked.zone
    view = story_view(asked.story(), zone)
    expect = case["expect"]
    assert [found_incident(one) for one in view.incidents] == [expected_incident(one, zone) for one in expect["incidents"]]
    for one in view.incidents:
        assert one.opened == (one.calls[0].at if one.calls else None)
    pages = [[page.at, page.person, page.level, one.number] for one in view.incidents for page in one.pages]
    assert sorted(pages) == sorted([told(at, zone), *rest] for at, *rest in expect.get("pages", []))
    besides = [[line.at, line.kind, line.incident] for line in view.decisions if line.kind not in SILENT]
    assert besides == [[told(at, zone), *rest] for at, *rest in expect.get("besides", [])]
    if "periods" in expect:
        periods = {one.name: one.model_dump(mode="json") for one in view.response}
        for name, values in expect["periods"].items():
            assert {key: periods[name][key] for key in values} == values, name


def test_there_are_enough_cases():
    assert len(list(cases())) >= 40


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(3600.000001, "60 min 0 s"), (59.99, "1 min 0 s"), (2250.0, "37 min 30 s"), (10.5, "10.5 s"), (0, "0 s")],
)
def test_a_duration_of_the_response_report_is_written_out(seconds, shown):
    assert oncall_command.minutes(seconds) == shown
