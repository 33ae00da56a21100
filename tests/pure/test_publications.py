"""The daemon publishes the periods of its reports, and a published figure changes only by a new version that names the event."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from environments.identity import Signature
from environments.matching import Catalogue
from scheduler.availability.files.imported import Imported
from scheduler.availability.files.taking_over import Asked, taken_over
from scheduler.availability.history import Downtime, Exclusion, Revision, Status
from scheduler.availability.reports.publication import version_data
from scheduler.commands.downtime_import import write
from scheduler.daemon.reporter import Reporter
from scheduler.journal import agreements, outbox, publications
from scheduler.journal.agreements import accept_exclusion, add_exclusion
from scheduler.journal.journal import Journal, LeaseLostError
from scheduler.journal.records import Declared, Push
from scheduler.journal.statuses import declare, push
from scheduler.loop.engine import Engine
from scheduler.model.instants import SECOND
from scheduler.model.policy import Limits, Policy
from scheduler.site import definitions
from scheduler.site.publications import FILE, TAKEN
from simulations.clock import START, Agenda, SimulatedClock
from simulations.lanes import AgendaRunner

ROOT = Path(__file__).parents[2]
HOUR, DAY = 3600, 86400
MONDAY = START + 252_000
"""15 January 2027, 09:00 in Rome, and 2 d 22 h: Monday 07:00."""
SATURDAY = START + DAY
SITE = """\
site: hill
timezone: Europe/Rome
batch_systems: [{name: pool}]
hosts: [{name: kvm1, uri: "qemu:///system"}]
vos: {atlas: }
reports: [{name: weekly, to: [anna], every: mon, at: "07:00", formats: [html]}]
"""
FILES = {
    "site.yaml": SITE,
    "vos/atlas.yaml": "vo: atlas\nenvironments:\n  el9: {virtualization: lxc, image: {path: /srv/el9}}\n",
    "oncall.yaml": "people: {anna: {addresses: [{file: anna.url}]}}\nobjects: []\nescalation: {levels: [{notify: anna}]}\n",
    "services.yaml": """\
objects: [{name: voms, freshness: 30d}, {name: tape, freshness: 30d}]
groups: [{name: grid, operator: or, members: [voms, tape]}]
objectives: [{name: promised, object: voms, target: 99.9%, window: past-week}]
""",
    "anna.url": "json://localhost",
}


class Daemon:
    """As much of a daemon as publishes, on a journal in a file and a clock that is told how late it is."""

    def __init__(self, directory, now, on_commit=None, owner="a"):
        self.clock = SimulatedClock(now)
        self.journal = Journal(f"sqlite:///{directory}/journal.db", now=now, on_commit=on_commit, durable=False)
        policy = Policy("hill", Catalogue({}, {}), {}, Limits())
        self.engine = Engine(policy, {}, {}, self.journal, self.clock, AgendaRunner(Agenda(self.clock)), owner=owner)
        self.engine.cycle()
        self.definitions = definitions.load(directory / "site.yaml")
        self.reporter = Reporter(self.engine, lambda: self.definitions)

    def told(self, status, name="voms", at=None):
        """Let a watcher report a status, now or late."""
        return push(self.journal, self.engine.owner, self.clock.now(), self.clock.monotonic(), Push(name, status, at=at))

    def round_after(self, seconds):
        self.clock.sleep(seconds)
        return self.reporter.round()

    @property
    def versions(self):
        return [(one.number, one.note) for one in publications.listed(self.journal)]


def write_files(directory):
    (directory / "vos").mkdir(exist_ok=True)
    for name, text in FILES.items():
        (directory / name).write_text(text)


@pytest.fixture
def started(tmp_path):
    write_files(tmp_path)
    running = []

    def start(now=START, **options):
        running.append(Daemon(tmp_path, now, **options))
        return running[-1]

    yield start
    for one in running:
        one.journal.close()


def first_week(daemon):
    """Let voms be up from Friday on, and the week be published on Monday."""
    daemon.reporter.round()
    declare(
        daemon.journal,
        daemon.engine.owner,
        daemon.clock.now(),
        [Declared(name, freshness=30 * DAY * SECOND) for name in ("voms", "tape")],
    )
    daemon.clock.sleep(60)
    daemon.told(Status.OK)
    daemon.told(Status.OK, "tape")
    daemon.clock.sleep(MONDAY - daemon.clock.now())
    assert daemon.reporter.round() == 1
    daemon.round_after(100)


@pytest.fixture
def published(started):
    daemon = started()
    first_week(daemon)
    return daemon


def last_text(daemon):
    return outbox.letters(daemon.journal)[-1].body


def test_a_scheduled_report_publishes_its_period_in_the_same_commit_as_its_mail(published, tmp_path):
    [one] = publications.listed(published.journal)
    assert (one.number, one.note, one.period.name) == (1, "first publication", "past-week")
    assert "version 1 of this period" in last_text(published)
    [line] = [event.note for event in published.journal.events(kind="publication")]
    assert (line.cause, line.detail["version"], line.detail["by"]) == ("published", 1, "report weekly")
    page = (tmp_path / "state/reports/weekly-2027-01-18.html").read_text()
    assert "are version 1 of that period" in page
    for column in ("This week", "Past week", "Month", "Quarter", "Year"):
        assert f">{column}</th>" in page


def test_a_late_event_makes_a_new_version_that_names_it_and_the_next_mail_tells(published, capsys, tmp_path):
    published.clock.sleep(DAY)
    assert published.told(Status.CRITICAL, at=SATURDAY) == "kept"
    assert published.told(Status.OK, at=SATURDAY + HOUR) == "kept"
    published.reporter.round()
    assert len(published.versions) == 1, "what comes together is waited for"
    published.round_after(100)
    (_, (number, note)) = published.versions
    assert number == 2
    lines = [event.id for event in published.journal.events(kind="status", subject="voms")]
    assert f"late: event {lines[-2]} (voms CRITICAL at 2027-01-16T08:00:00Z, received 2027-01-19T06:01:40Z), " in note
    assert f"event {lines[-1]} (voms OK at 2027-01-16T09:00:00Z" in note
    assert note.endswith(" numbers changed")
    assert "a published figure has a new version" in capsys.readouterr().out
    assert published.journal.events(kind="publication")[-1].note.cause == "changed"
    for _ in range(3):
        published.round_after(100)
    assert len(published.versions) == 2, "once"
    published.clock.sleep(MONDAY + 7 * DAY - published.clock.now())
    assert published.reporter.round() == 1
    told = last_text(published)
    assert "Figures published earlier have changed since the last report:" in told
    assert "- past-week 2027-01-11 to 2027-01-18: version 2, published 2027-01-19T07:03:20+01:00: late: event" in told
    assert "have changed since the last report" in (tmp_path / "state/reports/weekly-2027-01-25.html").read_text()
    published.clock.sleep(7 * DAY)
    assert published.reporter.round() == 1
    assert "have changed since" not in last_text(published), "told once"


def test_a_downtime_that_its_source_has_cut_afterwards_makes_a_new_version_that_names_it(published):
    """Declared elsewhere for Saturday, 08:00 to 12:00; on Monday the source says that it ended at 10:00."""
    journal = published.journal
    declared, begin = (START - 2 * DAY) * SECOND, SATURDAY * SECOND

    def imported(hours):
        now = round(published.clock.now() * SECOND)
        said = Downtime("gocdb-1", ("voms",), (Revision(declared, begin, begin + hours * HOUR * SECOND, "GOCDB"),))
        read = Imported("gocdb", (said,), (), numbers={"gocdb-1": "gocdb-1"}, told=frozenset({"gocdb-1"}))
        asked = Asked(now, "gocdb.xml")
        return write(taken_over(read, agreements.taken_over(journal), asked).steps, journal, asked)

    assert [one["what"] for one in imported(4)] == ["declared"]
    published.round_after(100)
    (_, (number, note)) = published.versions
    assert (number, note.partition(":")[::2][0]) == (2, "added")
    assert "downtime d1" in note
    assert [one["what"] for one in imported(2)] == ["revised"]
    published.round_after(100)
    assert published.versions[-1][0] == 3
    assert "changed: downtime d1" in published.versions[-1][1]
    assert [one["what"] for one in imported(2)] == ["known already"]
    published.round_after(100)
    assert published.versions[-1][0] == 3


def test_the_figures_of_both_versions_stay_and_say_what_changed(published):
    [period] = [one.period for one in publications.listed(published.journal)]
    published.clock.sleep(DAY)
    published.told(Status.CRITICAL, at=SATURDAY)
    published.told(Status.OK, at=SATURDAY + HOUR)
    published.round_after(100)
    first, second = publications.versions(published.journal, [period])
    bad = [dict(found.lengths)["bad"] for version in (first, second) for found in version.figures if found.object == "voms"]
    assert bad[:5] == [0] * 5
    assert set(bad[5:]) == {HOUR * SECOND}
    assert all(dict(one.lengths)["bad"] == 0 for one in second.figures if one.object == "grid"), "tape was up"


def test_a_late_repetition_is_an_event_of_its_own_and_changes_nothing_in_silence(published):
    """Voms says again, late, that it was OK on Saturday: the line stands in the log, and no number moves."""
    assert published.told(Status.OK, at=SATURDAY) == "kept"
    published.round_after(100)
    assert [number for number, _ in published.versions] == [1, 2]
    assert published.versions[1][1].endswith(": no number changed")


def test_what_tells_of_the_time_after_a_period_leaves_it_alone(published):
    published.clock.sleep(DAY)
    published.told(Status.CRITICAL)
    published.told(Status.OK, at=published.clock.now() - HOUR)
    published.round_after(100)
    assert len(published.versions) == 1


def test_an_exclusion_that_is_accepted_afterwards_is_named(published):
    journal, now = published.journal, round(published.clock.now() * SECOND)
    published.told(Status.CRITICAL, at=SATURDAY)
    published.told(Status.OK, at=SATURDAY + HOUR)
    published.round_after(100)
    span = (round(SATURDAY * SECOND), round((SATURDAY + HOUR) * SECOND))
    name = add_exclusion(journal, Exclusion("", ("voms",), *span, "building", "ann", "power"), now + SECOND)
    published.round_after(100)
    assert len(published.versions) == 2, "proposed, it excuses nothing"
    accept_exclusion(journal, name, Signature("the board"), round(published.clock.now() * SECOND))
    published.round_after(100)
    assert published.versions[-1][0] == 3
    assert published.versions[-1][1].startswith(f"added: exclusion {name}: ")


def test_a_group_that_is_defined_otherwise_afterwards_is_named_when_a_figure_moves(published, tmp_path):
    published.told(Status.CRITICAL, at=SATURDAY)
    published.told(Status.OK, at=SATURDAY + HOUR)
    published.round_after(100)
    services = tmp_path / "services.yaml"
    services.write_text(FILES["services.yaml"].replace("operator: or", "operator: and"))
    published.definitions = definitions.load(tmp_path / "site.yaml")
    published.round_after(100)
    assert published.versions[-1][1].startswith("changed: group grid: ")
    published.definitions = definitions.load(tmp_path / "site.yaml")
    published.round_after(100)
    assert len(published.versions) == 3


def test_a_freshness_that_is_defined_otherwise_afterwards_changes_published_figures_aloud(published):
    """Heard once, on Friday: with a freshness of a day voms was MISSING from Saturday on."""
    declare(
        published.journal,
        "a",
        published.clock.now(),
        [Declared("voms", freshness=DAY * SECOND), Declared("tape", freshness=30 * DAY * SECOND)],
    )
    published.round_after(100)
    assert published.versions[-1][0] == 2
    assert published.versions[-1][1].startswith("changed: object voms: ")


def test_two_reports_of_one_period_publish_it_once_and_bear_the_same_version(started, tmp_path):
    (tmp_path / "site.yaml").write_text(
        SITE.replace(
            "formats: [html]}", 'formats: [html]}, {name: board, to: [anna], every: mon, at: "08:00", formats: [html]}'
        )
    )
    daemon = started()
    first_week(daemon)
    daemon.clock.sleep(HOUR)
    assert daemon.reporter.round() == 1
    assert daemon.versions == [(1, "first publication")]
    assert all("version 1 of this period" in letter.body for letter in outbox.letters(daemon.journal))
    assert len(outbox.letters(daemon.journal)) == 2


def test_only_the_daemon_that_acts_makes_versions(published, started):
    published.told(Status.CRITICAL, at=SATURDAY)
    published.engine.lease.leading = False
    published.round_after(100)
    assert len(published.versions) == 1
    published.engine.lease.leading = True
    published.journal.release_lease("a", published.clock.now())
    second = started(published.clock.now(), owner="b")
    with pytest.raises(LeaseLostError):
        published.round_after(100)
    assert len(published.versions) == 1
    second.round_after(200)
    assert [number for number, _ in second.versions] == [1, 2]


@pytest.mark.parametrize("at", ["report", "publication"])
def test_killed_after_any_commit_there_is_one_version_of_each_number(started, tmp_path, at):
    script = f"""
import os, pathlib, signal
from tests.pure.test_publications import SATURDAY, Daemon, Status, first_week
kills = {{"report": 2}}.get({at!r}, 1)
def committed(what):
    global kills
    kills -= what == {at!r}
    if not kills:
        os.kill(os.getpid(), signal.SIGKILL)
daemon = Daemon(pathlib.Path({str(tmp_path)!r}), {START}, on_commit=committed)
first_week(daemon)
daemon.told(Status.CRITICAL, at=SATURDAY)
daemon.told(Status.OK, at=SATURDAY + 3600)
daemon.round_after(100)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    died = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert died.returncode == -signal.SIGKILL, died.stderr
    daemon = started(MONDAY + DAY)
    if at == "report":
        daemon.told(Status.CRITICAL, at=SATURDAY)
        daemon.told(Status.OK, at=SATURDAY + HOUR)
    for _ in range(3):
        daemon.round_after(100)
    assert [number for number, _ in daemon.versions] == [1, 2]
    assert len(outbox.letters(daemon.journal)) == 1


# --- what older versions of Ambienti kept in a file -------------------------------------------------------------------


def test_versions_in_a_file_are_taken_over_once_and_what_contradicts_is_told(started, tmp_path, capsys):
    daemon = started()
    first_week(daemon)
    [version] = publications.versions(daemon.journal)
    other = replace(version, period=replace(version.period, start=version.period.start - 7 * DAY * SECOND), note="by hand")
    (tmp_path / "state").mkdir(exist_ok=True)
    file = tmp_path / "state" / FILE
    text = json.dumps([version_data(one) for one in (other, replace(version, note="another"))])
    file.write_text(text)
    daemon.round_after(100)
    told = capsys.readouterr().out
    assert f"1 of 2 versions of {file} were taken over into the journal" in told
    assert (
        "version 1 of past-week 2027-01-10T23:00:00Z/2027-01-17T23:00:00Z in published.json is not that of the journal" in told
    )
    assert (file.exists(), (tmp_path / "state" / TAKEN).read_text()) == (False, text)
    assert [note for _, note in daemon.versions][:2] == ["first publication", "by hand"]
    file.write_text(text)  # killed before the file got its new name
    daemon.round_after(100)
    assert [note for _, note in daemon.versions][:2] == ["first publication", "by hand"]
    assert "0 of 2 versions" in capsys.readouterr().out


def test_a_file_that_cannot_be_read_is_told_once_and_reports_go_out_all_the_same(started, tmp_path, capsys):
    daemon = started()
    daemon.reporter.round()
    (tmp_path / "state").mkdir(exist_ok=True)
    (tmp_path / "state" / FILE).write_text("[1]")
    daemon.round_after(100)
    daemon.clock.sleep(MONDAY - daemon.clock.now())
    assert daemon.reporter.round() == 1
    assert capsys.readouterr().out.count("holds no published versions") == 1
