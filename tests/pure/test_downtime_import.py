"""`ambienti downtime import`: what others declared is taken over once, revised when it changed, and signed by its source."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from scheduler.cli import main

HERE = Path(__file__).parent / "downtimes"
SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: xen1, uri: "test:///nowhere"}]
vos: {atlas: }
daemon: {listen: ""}
"""


@pytest.fixture
def ambienti(tmp_path, monkeypatch, capsys):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")
    (tmp_path / "services.yaml").write_text("objects: [ce1.example.org, se.example.org]\n")
    monkeypatch.chdir(tmp_path)
    for name in ("AMBIENTI_SITE", "COLUMNS", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)

    def call(*arguments):
        with pytest.raises(SystemExit) as left:
            main([str(one) for one in arguments])
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return left.value.code or 0, printed.out, printed.err

    return call


def listed(ambienti):
    return json.loads(ambienti("downtime", "list", "--json")[1])


def test_a_gocdb_file_is_taken_over_with_the_notice_its_declaration_gave(ambienti):
    code, out, _ = ambienti("downtime", "import", HERE / "gocdb.xml")
    assert code == 0, out
    assert out.splitlines()[0] == "d1 (gocdb-100784G0) is declared. Scheduled as a whole."
    assert out.splitlines()[-1] == "1 downtime: 1 declared; 1 skipped."
    (one,) = listed(ambienti)
    assert one["objects"] == ["ce1.example.org", "se.example.org"]
    assert one["revisions"][0]["by"] == "gocdb-100784G0"
    assert one["revisions"][0]["declared"].startswith("2026-11-18T11:06:40")


def test_importing_again_adds_nothing_and_a_change_becomes_a_revision_declared_now(ambienti, tmp_path):
    ambienti("downtime", "import", HERE / "gocdb.xml")
    assert "1 known already" in ambienti("downtime", "import", HERE / "gocdb.xml")[1]
    assert len(listed(ambienti)) == 1
    later = tmp_path / "later.xml"
    later.write_text((HERE / "gocdb.xml").read_text().replace("1795243200", "1795250400"))
    assert "d1 (gocdb-100784G0) is revised." in ambienti("downtime", "import", later)[1]
    (one,) = listed(ambienti)
    assert len(one["revisions"]) == 2
    assert one["revisions"][1]["declared"] > one["revisions"][0]["declared"]
    assert one["revisions"][1]["end"] > one["revisions"][0]["end"]


def test_an_alias_says_what_is_called_otherwise_here(ambienti):
    arguments = ("--alias", "EXAMPLE-CE1=ce1.example.org", "--alias", "EXAMPLE-SE=se.example.org", "--json")
    code, out, _ = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", *arguments)
    assert code == 0
    answer = json.loads(out)
    assert [one["what"] for one in answer["downtimes"]] == ["declared", "declared"]
    assert answer["skipped"] == ["OSG downtime 1759230102: severity Intermittent Outage is no outage"]
    assert ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", "--alias", "nonsense")[0] == 2


def test_a_name_that_is_not_ours_is_an_error_or_skipped(ambienti):
    code, _, err = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml")
    assert code == 2
    assert "EXAMPLE_downtime.yaml:8:" in err
    assert listed(ambienti) == []
    code, out, _ = ambienti("downtime", "import", HERE / "EXAMPLE_downtime.yaml", "--others")
    assert (code, out.splitlines()[-1]) == (0, "0 downtimes; 3 skipped.")


def test_what_is_added_to_a_downtime_later_was_declared_then(ambienti, tmp_path):
    whole = (HERE / "gocdb.xml").read_text()
    second = whole.index("<DOWNTIME ID", whole.index("<DOWNTIME ID") + 1)
    alone = tmp_path / "alone.xml"
    alone.write_text(whole[:second] + whole[whole.index("<DOWNTIME ID", second + 1) :])
    ambienti("downtime", "import", alone)
    out = ambienti("downtime", "import", HERE / "gocdb.xml")[1].splitlines()
    assert out[-1] == "2 downtimes: 1 declared, 1 known already; 1 skipped."
    assert "2 known already" in ambienti("downtime", "import", HERE / "gocdb.xml")[1]
    first, added = listed(ambienti)
    assert (first["objects"], added["objects"]) == (["ce1.example.org"], ["se.example.org"])
    assert added["revisions"][0]["declared"] > first["revisions"][0]["declared"]
    later = tmp_path / "later.xml"
    later.write_text(whole.replace("1795243200", "1795250400"))
    assert "2 revised" in ambienti("downtime", "import", later)[1]
    assert len({one["revisions"][-1]["end"] for one in listed(ambienti)}) == 1


CALENDAR = """\
BEGIN:VCALENDAR
VERSION:2.0
PRODID:-//x//y//EN
BEGIN:VEVENT
UID:fans-1
DTSTAMP:20260301T000000Z
DTSTART:{0}T060000Z
DTEND:{0}T080000Z
SUMMARY:new fans
CATEGORIES:se.example.org
{1}END:VEVENT
END:VCALENDAR
"""


def test_an_event_that_was_moved_or_cancelled_is_called_off_where_it_stood(ambienti, tmp_path):
    calendar = tmp_path / "plan.ics"
    calendar.write_text(CALENDAR.format("20990310", ""))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "0 downtimes; 0 skipped."
    day, later = (f"{datetime.now(UTC) + timedelta(days=days):%Y%m%d}" for days in (40, 41))
    calendar.write_text(CALENDAR.format(day, ""))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 declared; 0 skipped."
    calendar.write_text(CALENDAR.format(later, ""))
    out = ambienti("downtime", "import", calendar)[1].splitlines()
    assert out[-1] == "2 downtimes: 1 declared, 1 called off; 0 skipped."
    assert out[1].endswith("is called off. It was taken back before it began.")
    first, second = listed(ambienti)
    assert (first["scheduled"], len(second["scheduled"])) == ([], 1)
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 known already; 0 skipped."
    calendar.write_text(CALENDAR.format(later, "STATUS:CANCELLED\n"))
    assert ambienti("downtime", "import", calendar)[1].splitlines()[-1] == "1 downtime: 1 called off; 0 skipped."
    calendar.write_text(CALENDAR.format(day, "").replace("fans-1", "fans"))
    assert "1 declared; 0 skipped." in ambienti("downtime", "import", calendar)[1]
