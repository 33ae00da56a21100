"""Truth tables of a site's own: told in YAML, named by groups, checked line by line, carried in bundles, seen in reports."""

import json

import pytest
from bundles import bundle, unpacked

from environments.problems import ConfigurationError
from environments.reader import parse
from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text, read_history
from scheduler.availability.history import Operator, Status
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.reports import report_data
from scheduler.availability.reports.bundle import canonical, verify
from scheduler.availability.timelines import algebra
from scheduler.availability.timelines.algebra import DOWNTIME, STATES
from scheduler.commands.report_bundle import compute
from scheduler.journal.journal import Journal
from scheduler.site import definitions, services

BOARD = """\
name: board
version: 1
source: agreed with the board on 2 March 2026
operations:
  AND: [CRITICAL, DOWNTIME, MISSING, UNKNOWN, WARNING, OK]
  OR: [OK, WARNING, CRITICAL, UNKNOWN, MISSING, DOWNTIME]
"""
FARM = """\
now: 2026-03-02T12:00Z
objects: [a, b]
events:
  - {at: 2026-03-02T00:00Z, object: a, status: CRITICAL}
  - {at: 2026-03-02T00:00Z, object: b, status: UNKNOWN}
groups:
  usual: {operator: or, members: [a, b]}
  theirs: {operator: or, members: [a, b], algebra: board}
algebras: [tables/board-1.yaml]
"""


@pytest.fixture
def farm(tmp_path):
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables/board-1.yaml").write_text(BOARD)
    (tmp_path / "farm.yaml").write_text(FARM)
    return tmp_path / "farm.yaml"


def bad_and_unknown(history):
    window = report_data.named(history, "this-week")
    return {
        name: (one.bad // 3_600_000_000, one.unknown // 3_600_000_000)
        for name, one in measure(history, window, "excuse").items()
    }


def test_an_order_of_statuses_is_a_table_in_which_the_earlier_wins():
    made = algebra.own(parse(BOARD, "board.yaml"))
    both, either = (algebra.table(made, operator) for operator in (Operator.AND, Operator.OR))
    assert made.name == "board-1"
    assert both[Status.OK, Status.CRITICAL] == both[Status.CRITICAL, Status.OK] == Status.CRITICAL
    assert either[Status.UNKNOWN, Status.CRITICAL] == Status.CRITICAL
    assert either[DOWNTIME, Status.MISSING] == Status.MISSING
    assert algebra.is_associative(both)
    assert algebra.is_associative(either)


def test_a_group_is_measured_by_the_table_that_it_names(farm):
    """kleene: OR(CRITICAL, UNKNOWN) = UNKNOWN; the board's table: CRITICAL."""
    found = bad_and_unknown(read_history(farm))
    assert (found["usual"], found["theirs"]) == ((0, 12), (12, 0))


def test_a_file_may_name_the_table_of_all_groups_that_name_none(farm):
    farm.write_text(
        FARM.replace("algebras:", "algebra: board-1\nalgebras:").replace(", algebra: board}", ", algebra: kleene-1}")
    )
    found = bad_and_unknown(read_history(farm))
    assert (found["usual"], found["theirs"]) == ((12, 0), (0, 12))


def test_a_new_version_stands_beside_the_old_one(farm):
    newer = BOARD.replace("version: 1", "version: 2").replace(
        "OR: [OK, WARNING, CRITICAL, UNKNOWN", "OR: [OK, WARNING, UNKNOWN, CRITICAL"
    )
    (farm.parent / "tables/board-2.yaml").write_text(newer)
    farm.write_text(FARM.replace("board-1.yaml]", "board-1.yaml, tables/board-2.yaml]"))
    assert bad_and_unknown(read_history(farm))["theirs"] == (0, 12), "without a number the newest"
    farm.write_text(farm.read_text().replace("algebra: board}", "algebra: board-1}"))
    assert bad_and_unknown(read_history(farm))["theirs"] == (12, 0)


def test_a_table_may_stand_in_the_history_itself_and_comes_through_json_as_it_was(farm):
    history = read_history(farm)
    written = canonical(plain.history(history))
    assert history_of_text(written, "history.json") == history
    assert [one.name for one in history.algebras] == ["board-1"]
    assert algebra.own(parse(json.dumps(algebra.plain(history.algebras[0])), "x")) == history.algebras[0]


def test_a_report_names_the_table_with_what_tells_it_from_another_of_its_name(farm):
    history = read_history(farm)
    made = report_data.make(history, [report_data.named(history, "this-week")], ["excuse"])
    digest = algebra.digest(history.algebras[0])
    assert made.algebras == (f"board-1 (own, SHA-256 {digest})", "kleene-1")
    (farm.parent / "tables/board-1.yaml").write_text(BOARD.replace("OR: [OK, WARNING", "OR: [WARNING, OK"))
    assert algebra.digest(read_history(farm).algebras[0]) != digest


def test_a_bundle_carries_the_table_and_the_version_that_was_meant(farm):
    history = read_history(farm)
    parameters = {
        "windows": [{"name": "w", "start": history.now - 10**10, "end": history.now}],
        "profiles": ["excuse"],
        "zone": "UTC",
        "zone_data": "2026b",
    }
    content = bundle(history, parameters, compute)
    farm.unlink()
    (farm.parent / "tables/board-1.yaml").unlink()
    assert verify(content, compute).identical
    written = json.loads(unpacked(content)["history.json"])
    assert [group["algebra"] for group in written["groups"]] == ["kleene-1", "board-1"]
    assert written["algebras"][0]["source"] == "agreed with the board on 2 March 2026"


SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: xen1, uri: "test:///nowhere"}]
vos: {atlas: }
daemon: {listen: ""}
"""


def test_a_site_names_its_table_for_its_groups_and_is_told_what_is_wrong_with_it(farm):
    place = farm.parent
    (place / "vos").mkdir()
    (place / "vos/atlas.yaml").write_text("vo: atlas\n")
    (place / "site.yaml").write_text(SITE)
    (place / "services.yaml").write_text(
        "objects: [voms]\nalgebra: board-1\nalgebras: [tables/board-1.yaml]\n"
        "groups: [{name: grid, operator: or, members: [voms, pool]}, {name: old, operator: or, members: [voms], algebra: argo-1}]\n"
    )
    found = definitions.load(place / "site.yaml")
    defined = services.load(found)
    assert [(group.algebra, group.own) for group in defined.groups] == [("board-1", defined.algebras[0]), ("argo-1", None)]
    journal = Journal("sqlite://", now=100.0)
    history = services.live_history(found, journal, 200.0)
    journal.close()
    assert history.algebras == defined.algebras
    (place / "tables/board-1.yaml").write_text(BOARD.replace("OK, WARNING, CRITICAL", "OK, WARNING, CRITICALL"))
    with pytest.raises(ConfigurationError, match=r"board-1.yaml:6:21 operations.OR\[2\]: CRITICALL is no status here"):
        services.load(found)


def refused(text):
    with pytest.raises(ConfigurationError) as caught:
        algebra.own(parse(text, "board.yaml"))
    return [(one.line, one.key, one.sentence) for one in caught.value.problems]


@pytest.mark.parametrize(
    ("old", "new", "line", "key", "said"),
    [
        ("name: board", "nam: board", 1, "name", "has no name"),
        ("name: board", "name: kleene", 1, "name", "kleene is the name of a table that we ship"),
        ("version: 1", "version: one", 2, "version", "has no version; expected a whole number"),
        ("MISSING, UNKNOWN, WARNING, OK]", "MISING, UNKNOWN, WARNING, OK]", 5, "operations.AND[2]", "did you mean MISSING?"),
        ("DOWNTIME, MISSING, UNKNOWN", "DOWNTIME, DOWNTIME, UNKNOWN", 5, "operations.AND[2]", "DOWNTIME stands here twice"),
        ("UNKNOWN, MISSING, DOWNTIME]", "UNKNOWN, MISSING]", 6, "operations.OR", "lacks DOWNTIME"),
        ("  OR: [OK, WARNING, CRITICAL, UNKNOWN, MISSING, DOWNTIME]\n", "", 5, "operations", "OR lacks"),
    ],
)
def test_what_is_wrong_with_a_table_is_told_with_its_line(old, new, line, key, said):
    assert old in BOARD
    found = refused(BOARD.replace(old, new, 1))
    assert any((at, which) == (line, key) and said in sentence for at, which, sentence in found), found


def test_a_table_that_nobody_wrote_and_one_that_stands_twice_are_told_where_they_are_named(farm):
    farm.write_text(FARM.replace("tables/board-1.yaml]", "tables/bord-1.yaml]"))
    with pytest.raises(
        ConfigurationError, match=r"farm.yaml:9:12 algebras\[0\]: there is no file .*did you mean .*board-1.yaml"
    ):
        read_history(farm)
    farm.write_text(FARM.replace("tables/board-1.yaml]", "tables/board-1.yaml, tables/board-1.yaml]"))
    with pytest.raises(ConfigurationError, match=r"board-1.yaml:2:10 version: board-1 is there already"):
        read_history(farm)
    farm.write_text(FARM.replace("algebra: board}", "algebra: bord}"))
    with pytest.raises(ConfigurationError, match=r"there is no truth table bord.*did you mean board"):
        read_history(farm)


def test_all_statuses_have_a_place_in_what_is_written_of_a_shipped_table():
    for name in algebra.shipped():
        shipped = algebra.load(name)
        again = algebra.of_node(parse(json.dumps(algebra.plain(shipped)), "again.json"))
        assert again == shipped
        assert len(again.both) == len(STATES)
