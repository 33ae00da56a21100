"""`ambienti report bundle`, `verify`, `publish`: computed again to the same bytes, and changed only aloud."""

import io
import json
import tarfile
import time

import pytest
from bundles import unpacked

from scheduler.availability.history import Status
from scheduler.commands.cli import main
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare, push
from scheduler.model.instants import SECOND

HISTORY = """\
now: 2026-03-25T12:00Z
zone: Europe/Rome
objects: [ce, {name: se, kind: host}]
events:
  - {at: 2026-03-01T00:00Z, object: ce, status: OK, id: e1}
  - {at: 2026-03-01T00:00Z, object: se, status: OK, id: e2}
  - {at: 2026-03-17T10:00Z, object: ce, status: CRITICAL, id: e3, cause: boot}
  - {at: 2026-03-17T10:00:01.000001Z, object: ce, status: OK, id: e4}
groups:
  - {name: site, operator: and, members: [ce, se]}
downtimes:
  - {id: d1, objects: [se], start: 2026-03-18T08:00Z, end: 2026-03-18T10:00Z, declared: 2026-03-01T00:00Z, by: ann}
exclusions: []
objectives:
  - {name: ce-week, object: ce, target: 99.9%, window: past-week}
"""
LATE = "  - {at: 2026-03-18T00:00Z, object: se, status: CRITICAL, id: e9, received: 2026-03-26T00:00Z}\n"


@pytest.fixture
def ambienti(tmp_path, monkeypatch, capsys):
    (tmp_path / "farm.yaml").write_text(HISTORY)
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


def bundled(ambienti, name="week.tar", *options):
    code, out, err = ambienti("report", "bundle", name, "--history", "farm.yaml", *options)
    assert code == 0, err
    return out


def test_a_bundle_is_verified_offline_to_the_same_bytes(ambienti, tmp_path):
    bundled(ambienti, "week.tar", "--window", "past-week")
    code, out, _ = ambienti("report", "verify", "week.tar")
    assert code == 0, out
    assert "was computed again to the same bytes" in out
    bundled(ambienti, "again.tar", "--window", "past-week")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "week.tar").read_bytes()


def test_the_bundle_holds_the_report_of_all_profiles_with_exact_figures(ambienti, tmp_path):
    bundled(ambienti, "week.tar", "--window", "past-week")
    report = json.loads(unpacked((tmp_path / "week.tar").read_bytes())["report.json"])
    rows = {(row["object"], row["profile"]): row for row in report["rows"]}
    assert len(rows) == 15
    assert rows["ce", "excuse"]["bad"] == "1.000001"
    assert rows["ce", "excuse"]["figure"] == f"{604800000000 - 1000001}/604800000000"
    assert report["objectives"][0]["verdict"] == "PASS"


def test_the_history_of_a_bundle_is_a_history_file(ambienti, tmp_path):
    bundled(ambienti)
    (tmp_path / "history.json").write_bytes(unpacked((tmp_path / "week.tar").read_bytes())["history.json"])
    given, taken = (ambienti("report", "--history", name, "--json")[1] for name in ("farm.yaml", "history.json"))
    assert given == taken


def test_a_bundle_that_was_tampered_with_is_found_out(ambienti, tmp_path):
    bundled(ambienti, "week.tar", "--window", "past-week")
    path = tmp_path / "week.tar"
    path.write_bytes(path.read_bytes().replace(b'"bad":"1.000001"', b'"bad":"1.000000"', 1))
    code, out, _ = ambienti("report", "verify", "week.tar")
    assert code == 1
    assert 'bad: "1.000000" in the bundle, "1.000001" computed' in out
    assert "report.json is not what was bundled" in out
    code, out, _ = ambienti("report", "verify", "week.tar", "--json")
    assert (code, json.loads(out)["identical"]) == (1, False)


def test_what_is_no_bundle_is_refused(ambienti):
    code, _, err = ambienti("report", "verify", "farm.yaml")
    assert code == 2
    assert "farm.yaml is no bundle" in err
    assert "no such file" in ambienti("report", "verify", "weak.tar")[2]


def repacked(tmp_path, name, content):
    files = unpacked((tmp_path / "week.tar").read_bytes()) | {name: content}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for key, inner in files.items():
            entry = tarfile.TarInfo(key)
            entry.size = len(inner)
            archive.addfile(entry, io.BytesIO(inner))
    (tmp_path / "odd.tar").write_bytes(target.getvalue())


@pytest.mark.parametrize(
    ("name", "content", "code", "said"),
    [
        ("report.json", b"{", 1, "report.json is not JSON"),
        ("report.json", b"\xff", 1, "report.json is not JSON"),
        ("versions.json", b"", 1, "versions.json is not what was bundled"),
        ("history.json", b"[]", 2, "history.json:1:1: is a list"),
        ("manifest.json", b"{", 2, "its manifest.json is not JSON"),
        ("manifest.json", b"[]", 2, "its manifest.json does not say format, parameters, sha256"),
    ],
)
def test_whatever_stands_in_a_bundle_is_told_in_a_sentence(ambienti, tmp_path, name, content, code, said):
    bundled(ambienti, "week.tar", "--window", "past-week")
    repacked(tmp_path, name, content)
    ended, out, err = ambienti("report", "verify", "odd.tar")
    assert ended == code
    assert said in out + err


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"zone": "Mars"}, "name a time zone that there is not: 'Mars'"),
        ({"zone": 3}, "name a time zone that there is not: 3"),
        ({"profiles": ["kind"]}, "name profiles that there are not: ['kind']"),
        ({"windows": [{"name": "week"}]}, "hold windows without name, start and end"),
        (None, "do not say windows, profiles, zone, zone_data"),
    ],
)
def test_parameters_that_nothing_can_be_computed_by_are_refused(ambienti, tmp_path, changed, said):
    bundled(ambienti, "week.tar", "--window", "past-week")
    manifest = json.loads(unpacked((tmp_path / "week.tar").read_bytes())["manifest.json"])
    manifest["parameters"] = {} if changed is None else manifest["parameters"] | changed
    repacked(tmp_path, "manifest.json", json.dumps(manifest).encode())
    code, _, err = ambienti("report", "verify", "odd.tar")
    assert code == 2
    assert f"odd.tar cannot be computed here: the parameters in its manifest.json {said}" in err


def published(ambienti, *options):
    return ambienti("report", "publish", "--history", "farm.yaml", "--versions", "published.json", *options)


def test_a_late_event_makes_a_new_version_with_a_note_and_the_numbers_that_changed(ambienti, tmp_path):
    assert "past-week is published, version 1: first publication." in published(ambienti)[1]
    assert "stands as published: version 1" in published(ambienti)[1]
    text = HISTORY.replace("groups:", LATE + "groups:").replace("now: 2026-03-25T12:00Z", "now: 2026-03-26T12:00Z")
    (tmp_path / "farm.yaml").write_text(text)
    out = published(ambienti)[1]
    assert "version 2: late: event e9 (se CRITICAL at 2026-03-18T00:00:00Z, received 2026-03-26T00:00:00Z)" in out
    assert "  se (argo) up: " in out
    versions = json.loads((tmp_path / "published.json").read_text())
    assert [one["number"] for one in versions] == [1, 2]
    bundled(ambienti, "week.tar", "--window", "past-week", "--versions", "published.json")
    assert json.loads(unpacked((tmp_path / "week.tar").read_bytes())["versions.json"]) == versions


def test_a_period_that_is_going_on_is_not_published(ambienti):
    code, _, err = published(ambienti, "--window", "this-week")
    assert code == 1
    assert "still going on" in err
    assert published(ambienti, "--from", "2026-03-01", "--to", "2026-04-01")[0] == 1
    assert published(ambienti, "--from", "2026-03-01", "--to", "2026-03-08")[0] == 0


def test_a_file_that_holds_no_versions_is_refused(ambienti, tmp_path):
    (tmp_path / "published.json").write_text('[{"number": 1}]')
    code, _, err = published(ambienti)
    assert code == 2
    assert "published.json: holds no published versions: a version without 'figures'" in err
    (tmp_path / "published.json").write_text("[\n{nope")
    assert "published.json:2:2: is not JSON" in published(ambienti)[2]
    assert ambienti("report", "publish", "--history", "farm.yaml")[0] == 2
    asked = ("report", "publish", "--history", "farm.yaml", "--window", "past-week", "--versions")
    for place in ("farm.yaml/versions.json", "farm.yaml/below/versions.json"):
        code, _, err = ambienti(*asked, place)
        assert (code, err.startswith(f"cannot write {place}: ")) == (2, True)


SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: xen1, uri: "test:///nowhere"}]
vos: {atlas: }
daemon: {listen: ""}
"""


def watched(file, name, since):
    """Let a daemon of then have been told that something is up."""
    journal = Journal(f"sqlite:///{file}", now=since)
    try:
        assert journal.hold_lease("daemon", since, 60)
        declare(journal, "daemon", since, [Declared(name, freshness=30 * 86400 * SECOND)])
        push(journal, "daemon", since + 1, 1.0, Push(name, Status.OK))
        journal.release_lease("daemon", since + 2)
    finally:
        journal.close()


def test_of_the_running_farm_the_journal_is_bundled_and_published(ambienti, tmp_path):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")
    (tmp_path / "services.yaml").write_text("objects: [voms]\ngroups: [{name: grid, operator: and, members: [voms, pool]}]\n")
    assert ambienti("downtime", "add", "voms", "--duration", "2h", "--start", "+48h", "--why", "disks", "--by", "ann")[0] == 0
    code, _, err = ambienti("report", "publish")
    assert (code, "nothing was observed from" in err) == (1, True), "nobody has looked yet"
    watched(tmp_path / "ambienti.db", "voms", time.time() - 20 * 86400)
    code, out, err = ambienti("report", "publish")
    assert code == 0, err
    assert "past-week is published, version 1" in out
    assert not (tmp_path / "state/published.json").exists(), "the journal keeps it"
    (listed,) = json.loads(ambienti("report", "versions", "--json")[1])
    assert (listed["version"], listed["window"], listed["note"]) == (1, "past-week", "first publication")
    assert "first publication" in ambienti("report", "versions")[1]
    assert "stands as published: version 1" in ambienti("report", "publish")[1]
    code, out, err = ambienti("report", "bundle", "week.tar", "--window", "past-week")
    assert code == 0, err
    files = unpacked((tmp_path / "week.tar").read_bytes())
    assert json.loads(files["history.json"])["downtimes"][0]["objects"] == ["voms"]
    assert len(json.loads(files["versions.json"])) == 1
    assert ambienti("report", "verify", "week.tar")[0] == 0
    code, out, _ = ambienti("report", "argo", "--window", "past-week")
    assert (code, json.loads(out)["results"][0]["name"]) == (0, "grid")
