"""What people do about incidents by command, and what they are told when they mistype."""

import json

import pytest

from scheduler.commands.journaled import login
from tests.pure.test_cli_agreements import ambienti, site  # noqa: F401 - fixtures

ON_CALL = """\
zone: Europe/Rome
people: {anna: {name: Anna Rossi, addresses: [{environment: NOBODY_SET_THIS}]}, bruno: {}}
rotations: {primary: {layers: [{people: [anna, bruno], start: 2026-03-02}]}}
escalation: {levels: [{notify: bruno, wait_seconds: 5 min}]}
"""


@pytest.fixture(autouse=True)
def on_call(site, monkeypatch):  # noqa: F811
    monkeypatch.delenv("AMBIENTI_ONCALL", raising=False)
    (site / "oncall.yaml").write_text(ON_CALL)


def test_an_incident_is_opened_answered_and_resolved_by_hand(ambienti):  # noqa: F811
    code, out, _ = ambienti("incident", "open", "pool", "--text", "no match", "--by", "anna")
    assert code == 0
    assert "incident 1: pool is bad" in out
    assert "bruno has no address in " in out
    assert "nobody is told." in out
    assert "0 notices sent." in out
    code, out, _ = ambienti("incident", "ack", "1", "--by", "anna")
    assert (code, f"incident 1: anna (login {login()}) acknowledges" in out) == (0, True)
    code, out, _ = ambienti("incident", "ack", "1", "--by", "bruno")
    assert (code, "incident 1: anna has acknowledged it already, at " in out) == (1, True)
    [listed] = json.loads(ambienti("incident", "list", "--json")[1])
    assert (listed["state"], listed["objects"], listed["verdict"]) == ("acknowledged", ["pool"], "met")
    assert ambienti("incident", "resolve", "1", "--by", "anna")[0] == 0
    assert ambienti("incident", "resolve", "1") == (1, "incident 1: it is resolved already\n", "")
    assert "0 incidents not over." in ambienti("incident", "list")[1]
    assert "met" in ambienti("incident", "show", "1")[1]
    assert "anna 1" in ambienti("incident", "report")[1]


def test_a_name_that_looks_like_a_slip_of_the_pen_wakes_nobody(ambienti):  # noqa: F811
    code, _, err = ambienti("incident", "open", "pol")
    assert (code, err) == (1, "no object and no group is called 'pol'; did you mean pool? (--unwatched if not)\n")
    assert ambienti("incident", "open", " ")[2] == "say what is bad: the name of an object or group\n"
    code, _, err = ambienti("incident", "open", "pool", "--by", "ana")
    assert (code, "there is no person 'ana' in " in err, "did you mean anna?" in err) == (1, True, True)
    assert json.loads(ambienti("incident", "list", "--all", "--json")[1]) == []
    assert ambienti("incident", "open", "pol", "--unwatched")[0] == 0


def test_what_nobody_watches_may_be_bad_too_and_ends_only_by_hand(ambienti):  # noqa: F811
    code, out, _ = ambienti("incident", "open", "coffee machine", "--by", "the-porter")
    assert code == 0
    assert "Nobody watches coffee machine: only `ambienti incident resolve` ends this." in out
    assert "Nobody watches" not in ambienti("incident", "open", "core")[1], "a group is watched"


def test_a_wrong_services_file_keeps_nobody_from_answering(ambienti, site):  # noqa: F811
    ambienti("incident", "open", "pool")
    (site / "services.yaml").write_text("groups:\n  core: {operator: andd, members: [pool]}\n")
    code, out, err = ambienti("incident", "ack", "1", "--by", "anna")
    assert (code, f"anna (login {login()}) acknowledges" in out) == (0, True)
    assert "did you mean and?" in err
    assert "Going on without the groups" in err


def test_check_reads_the_on_call_file_and_tells_who_cannot_be_reached(ambienti, site):  # noqa: F811
    code, out, _ = ambienti("check")
    assert (code, out.splitlines()) == (
        0,
        [
            "oncall.yaml: bruno may be paged and has no address: such a page reaches nobody",
            "site.yaml: 1 VO, 1 environment, 2 hosts: 1 finding.",
        ],
    )
    well = ON_CALL.replace("notify: bruno", "notify: anna")
    (site / "oncall.yaml").write_text(well + 'objects: [core, "xen*"]\n')
    assert "all is well" in ambienti("check")[1]
    (site / "oncall.yaml").write_text(well.replace("{environment: NOBODY_SET_THIS}", "{file: secrets/anna.url}"))
    out = " ".join(ambienti("check")[1].split())
    assert "anna may be paged, and the file" in out
    assert "anna.url: there is no such file" in out
    (site / "secrets").mkdir()
    (site / "secrets/anna.url").write_text("jsons://hooks.example.org:99999/secret\n")
    out = " ".join(ambienti("check")[1].split())
    assert "anna may be paged, and the address of anna (file:secrets/anna.url) has a port that is not from 1 to 65535" in out
    (site / "oncall.yaml").write_text(well + 'objects: [core, "zen*"]\n')
    assert "`objects`: 'zen*' fits no object and no group" in ambienti("check")[1]
    (site / "oncall.yaml").write_text(well + "objects: [pool, cor]\n")
    code, out, _ = ambienti("check")
    assert code == 2
    assert "oncall.yaml:5:17 objects[1]: no object and no group is called 'cor'; did you mean core?" in out
    (site / "oncall.yaml").write_text(well.replace("wait_seconds", "wait_second"))
    assert "did you mean wait_seconds?" in ambienti("check")[1]


def test_a_site_without_an_on_call_file_is_well_unless_it_names_one(ambienti, site):  # noqa: F811
    (site / "oncall.yaml").rename(site / "on-call.yaml")
    assert "all is well" in ambienti("check")[1]
    (site / "site.yaml").write_text((site / "site.yaml").read_text() + "oncall: oncal.yaml\n")
    code, out, _ = ambienti("check")
    assert code == 2
    assert "nobody is paged; expected an on-call file; did you mean on-call.yaml?" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("show", "12"), "there is no incident 12; see `ambienti incident list --all`"),
        (("ack", "12"), "there is no incident 12; see `ambienti incident list --all`"),
        (("ack", "1", "--file", "on-call.yml"), "on-call.yml: there is no such file; expected the on-call file: --file FILE"),
        (("ack", "1", "--file", "on-call.yml"), "did you mean oncall.yaml?"),
        (("report", "--cut", "year"), "'week'"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(ambienti, words, said):  # noqa: F811
    code, _, err = ambienti("incident", *words)
    assert code in {1, 2}
    assert said in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("who", "--at", "yesterday"), "--at: 'yesterday' is not an instant; expected ISO 8601"),
        (("who", "--at", "2026-03-29 02:30"), "does not exist in Europe/Rome (the clocks go forward)"),
        (("who", "--file", "oncal.yml"), "oncal.yml: there is no such file; did you mean oncall.yaml?"),
        (("schedule", "primry"), "there is no rotation 'primry'; did you mean primary?"),
        (("notify", "ana"), "there is no person 'ana'; did you mean anna?"),
        (("simulate", "stroy.yaml"), "stroy.yaml: there is no such file"),
    ],
)
def test_a_question_that_makes_no_sense_is_answered_with_one_that_does(ambienti, words, said):  # noqa: F811
    code, _, err = ambienti("oncall", *words)
    assert code in {1, 2}
    assert said in err
