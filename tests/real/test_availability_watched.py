"""A real farm while its schedd, the libvirtd of its host and workers with jobs in them are killed: a foreign watcher agrees with the report.

AMBIENTI_WATCH_SECONDS is how long each part stays away. The daemon and the watcher both look once a second, so the report and
the watcher must agree to within two seconds about the begin, the end and the length of every outage; on a busy machine to
within as much more as the one or the other looked later than that.
"""

import contextlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import pytest

from scheduler.commands.daemon import ask
from tests.lab.lanes import container
from tests.real.lane import GONE, lane

AWAY_SECONDS = float(os.environ.get("AMBIENTI_WATCH_SECONDS", "20"))
INTERVAL_SECONDS = 1.0
PROMISED_SECONDS = 12
"""A worker of cms is promised within so long."""
LEASE_SECONDS = 10
FATES = ("jobs_run_again", "jobs_held", "jobs_not_seen_since")
WATCHER = Path(__file__).parents[1] / "lab/watcher.py"
pytestmark = [pytest.mark.real, pytest.mark.lane, pytest.mark.slow, pytest.mark.timeout(900 + 4 * AWAY_SECONDS)]


@dataclass
class Story:
    """What happened, who saw it, and what is said of it."""

    lxc: object
    host: str
    start: float
    end: float
    watched: dict
    """Name -> stretches in which the watcher found it bad."""
    slowest: tuple[float, float]
    """The longest time between two looks: of the watcher at one thing, and of the daemon."""
    jobs: dict
    workers: dict
    """The workers in which jobs ran first."""

    @property
    def agreed(self):
        """So far apart two accounts may be: an interval of each, longer where it was slower than it should be."""
        return sum(max(INTERVAL_SECONDS, slowest) for slowest in self.slowest)

    @property
    def window(self):
        return "--from", instant(self.start), "--to", instant(self.end)

    @cached_property
    def report(self):
        """Everything that the report says of this window, under all profiles."""
        return json.loads(self.lxc.farm.ambienti("report", *self.window, "--profile", "all", "--json"), parse_float=Decimal)

    @cached_property
    def steps(self):
        """Object -> when it had which status, by the event log."""
        words = ("--kind", "status", "--since", instant(self.start), "--last", "10000", "--json")
        steps = {}
        for line in map(json.loads, self.lxc.farm.ambienti("events", *words).splitlines()):
            at = datetime.fromisoformat(line["at"]).timestamp()
            steps.setdefault(line["object"], []).append((at, line["detail"]["status"]))
        return steps

    def row(self, name, profile="excuse"):
        return next(one for one in self.report["rows"] if (one["object"], one["profile"]) == (name, profile))

    def times(self, name, *keys, profile="excuse"):
        return [Fraction(self.row(name, profile)[key]) for key in keys]

    def stretches(self, name, status):
        """Return when something had a status, whatever its cause."""
        steps = self.steps.get(name, [])
        return bad_stretches([(at, found != status) for at, found in steps])


def instant(at):
    return datetime.fromtimestamp(at, UTC).isoformat()


@pytest.fixture(scope="module")
def story(tmp_path_factory):
    environments = {
        "atlas": {"atlas-box": container("atlas")},
        "cms": {"cms-box": container("cms", boot_seconds=PROMISED_SECONDS)},
        "theory": {"theory-box": container("theory")},
    }
    with lane("lxc", tmp_path_factory.mktemp("watched"), environments) as lxc:
        (host,) = (one["name"] for one in json.loads(lxc.farm.site_file.read_text())["hosts"])
        group = {"operator": "and", "members": ["pool", host]}
        (lxc.farm.directory / "services.yaml").write_text(json.dumps({"groups": {"farm": group}}))
        yield played(lxc, host)


def played(lxc, host):
    """Let everything happen: schedd away, a worker killed, libvirtd away and another worker killed meanwhile."""
    looks = lxc.farm.directory / "looks"
    spared, out = lxc.submit("theory-box", 2 * AWAY_SECONDS + 30, vo="theory", lease_seconds=AWAY_SECONDS + 60)
    workers = {"spared": lxc.wait_until_it_runs(spared)}
    with watching(lxc, looks), noting_looks(lxc) as looked:
        lxc.farm.until(lambda: len(seen(looks)) == 3, 240, "the watcher has looked at everything")
        time.sleep(2)
        start = time.time()
        time.sleep(2)
        with lxc.pool.without_schedd():
            time.sleep(AWAY_SECONDS)
        lxc.farm.until(lambda: answers(lxc, "condor_q"), 240, "the schedd is back")
        killed, hidden = (lxc.submit("atlas-box", 25, lease_seconds=LEASE_SECONDS)[0] for _ in range(2))
        workers |= {"killed": lxc.wait_until_it_runs(killed), "hidden": lxc.wait_until_it_runs(hidden)}
        lxc.farm.until(lambda: looked_into(lxc, killed, hidden), 240, "the daemon has seen these jobs")
        lxc.daemon.kill_guest(workers["killed"], "lxc")
        lxc.farm.until(lambda: state_of(lxc, workers["killed"]) == "gone", 240, "the daemon has seen it end")
        lxc.daemon.crash()
        promised, _ = lxc.submit("cms-box", 2, vo="cms")
        time.sleep(2)
        lxc.daemon.kill_guest(workers["hidden"], "lxc")
        time.sleep(AWAY_SECONDS - 2)
        lxc.daemon.recover()
        jobs = {"spared": spared, "killed": killed, "hidden": hidden, "promised": promised}
        for name, cluster in jobs.items():
            lxc.farm.until(lambda cluster=cluster: lxc.status(cluster) == GONE, 240, f"the job {name} ends")
        time.sleep(3)
        end = time.time()
    assert out.read_text().split()[-1] == "done"
    lxc.wait_until_nothing_is_left()
    stretches, slowest = {}, 0.0
    for name, found in seen(looks).items():
        found = [look for look in found if start <= look[0] < end]
        stretches[name] = bad_stretches(found)
        slowest = max(slowest, longest_between(look[0] for look in found))
    return Story(lxc, host, start, end, stretches, (slowest, longest_between(looked)), jobs, workers)


def longest_between(instants):
    return max(later - earlier for earlier, later in itertools.pairwise(instants))


@contextlib.contextmanager
def noting_looks(lxc):
    """Note when the daemon looked, as its metrics tell."""
    looked, over = [], threading.Event()

    def note():
        while not over.wait(0.3):
            told = ask(lxc.farm.directory / "state/daemon.sock", "/metrics", seconds=120).content.decode()
            looked.append(float(re.search(r"^ambienti_cycle_timestamp_seconds (\S+)$", told, re.MULTILINE)[1]))

    noting = threading.Thread(target=note)
    noting.start()
    try:
        yield looked
    finally:
        over.set()
        noting.join()


@contextlib.contextmanager
def watching(lxc, looks):
    """Let the watcher, a process of its own, ask batch system and host as their users do."""
    tools = f"CONDOR_CONFIG={shlex.quote(str(lxc.pool.client('alice')))} {lxc.pool.release}/bin/"
    waits = f'JobStatus == 1 && WantEnvironment == "cms-box" && time() - QDate > {PROMISED_SECONDS}'
    nobody_waits = f'test -z "$({tools}condor_q -allusers -constraint {shlex.quote(waits)} -af ClusterId)"'
    slot = shlex.quote('AmbientiEnvironment == "cms-box"')
    things = {
        "pool": f"{tools}condor_q -allusers -af ClusterId",
        "host": f"virsh -q -c {shlex.quote(lxc.daemon.uri('lxc'))} list --name",
        "share": f"{nobody_waits} || {tools}condor_status -constraint {slot} -af Name | grep -q .",
    }
    words = [f"{name}={command}" for name, command in things.items()]
    command = ["setpriv", "--pdeathsig=TERM", sys.executable, str(WATCHER), str(looks), str(INTERVAL_SECONDS), *words]
    process = subprocess.Popen(command, cwd="/", env={"PATH": os.environ["PATH"], "HOME": "/"}, start_new_session=True)
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(120) == 0


def answers(lxc, tool):
    with contextlib.suppress(RuntimeError):
        lxc.pool.tool(tool)
        return True
    return False


def looked_into(lxc, *clusters):
    with lxc.farm.journal() as journal:
        return all(journal.sightings(job=f"{cluster}.0") for cluster in clusters)


def state_of(lxc, worker):
    with lxc.farm.journal() as journal:
        return journal.entry(worker).state.value


def seen(looks):
    """Return the watcher's looks: name -> when they began, and whether it was well."""
    found = {}
    for line in looks.read_text().splitlines() if looks.exists() else []:
        name, begun, _, what = line.split("\t")
        found.setdefault(name, []).append((float(begun), what == "well"))
    return found


def bad_stretches(found):
    """Return the stretches from each first bad look to the next good one."""
    stretches, since = [], None
    for at, well in found:
        if not well and since is None:
            since = at
        elif well and since is not None:
            stretches.append((since, at))
            since = None
    assert since is None, "everything was well again in the end"
    return stretches


def length(stretches):
    return sum(end - start for start, end in stretches)


def joined(stretches):
    """Return the stretches without the interruptions that are too short for the watcher."""
    found = []
    for start, end in stretches:
        if found and start - found[-1][1] < 1:
            start = found.pop()[0]
        found.append((start, end))
    return found


def agree(ours, theirs, within):
    """Whether two accounts tell of the same outages. A schedd that starts may answer once in between, unseen by the watcher."""
    ours = joined(ours)
    assert len(ours) == len(theirs), (ours, theirs)
    for (start, end), (first, last) in zip(ours, theirs, strict=True):
        assert abs(start - first) <= within, (start - first, ours, theirs)
        assert abs(end - last) <= within, (end - last, ours, theirs)


def test_begin_end_and_length_of_every_outage_are_what_the_watcher_saw(story, record_property):
    objects = {"pool": "pool", story.host: "host", "cms/cms-box": "share"}
    for name, watched in objects.items():
        theirs, ours, row = story.watched[watched], story.stretches(name, "CRITICAL"), story.row(name)
        differences = [f"{a[0] - b[0]:+.2f} and {a[1] - b[1]:+.2f} s" for a, b in zip(ours, theirs, strict=False)]
        told = f"bad {row['bad']:.2f} s, watched {length(theirs):.2f} s, begins and ends {', '.join(differences)}"
        record_property(watched, told)
        print(f"{watched}: {told}; slowest looks {story.slowest}")
    for name, watched in objects.items():
        theirs = story.watched[watched]
        agree(story.stretches(name, "CRITICAL"), theirs, story.agreed)
        row = story.row(name)
        assert len(theirs) == 1
        assert abs(float(row["bad"]) - length(theirs)) <= story.agreed, (name, row["bad"], theirs)
        assert length(story.watched["pool" if watched == "share" else watched]) >= AWAY_SECONDS - story.agreed


def test_what_nobody_could_know_is_unknown_for_as_long_as_its_source_was_silent(story):
    pool, host = story.watched["pool"], story.watched["host"]
    for name, theirs in {
        "workers/theory-box": [*pool, *host],
        "workers/atlas-box": host,
        "atlas/atlas-box": pool,
        "cms/cms-box": pool,
        "theory/theory-box": pool,
        "pool": [],
        story.host: [],
        "ambienti": [],
    }.items():
        agree(story.stretches(name, "UNKNOWN"), theirs, story.agreed)
        row = story.row(name)
        assert abs(float(row["unknown"]) - length(theirs)) <= story.agreed * len(theirs), (name, row["unknown"], theirs)
        assert row["missing"] == 0, "the daemon looked all the time"
    for name in ("workers/theory-box", "workers/atlas-box", "atlas/atlas-box", "theory/theory-box", "ambienti"):
        assert story.row(name)["bad"] == 0, name


def test_the_figures_are_those_of_the_rows_and_a_group_adds_up_its_members(story):
    (whole,) = story.times("pool", "total")
    assert abs(whole - Fraction(story.end - story.start)) < Fraction(1, 1000)
    for name in ("pool", story.host, "cms/cms-box", "workers/theory-box", "farm"):
        up, ok, bad, unknown, missing = story.times(name, "up", "ok", "bad", "unknown", "missing")
        assert up + bad + unknown == whole
        figures = {profile: Fraction(story.row(name, profile)["figure"]) for profile in story.report["profiles"]}
        problems = bad if story.row(name)["kind"] == "host" else bad + unknown
        assert figures == {
            "excuse": up / (whole - unknown),
            "argo": up / (whole - unknown),
            "icinga": (whole - problems) / whole,
            "nagios": ok / (whole - missing),
            "skip": up / (up + bad),
        }, name
    pool, host, farm = (story.times(name, "bad")[0] for name in ("pool", story.host, "farm"))
    assert farm == pool + host, "they were never away together"


def test_no_job_is_lost_and_nothing_is_booted_twice(story):
    records = {name: story.lxc.record(cluster) for name, cluster in story.jobs.items()}
    assert {record["ExitCode"] for record in records.values()} == {0}
    assert {name: record["NumJobStarts"] for name, record in records.items()} == {
        "spared": 1,
        "killed": 2,
        "hidden": 2,
        "promised": 1,
    }
    assert records["spared"]["NumJobReconnects"] == 1
    assert story.workers["spared"] in records["spared"]["LastRemoteHost"]
    started = story.lxc.starts()
    assert len(set(started)) == len(started), "a worker was started twice"
    assert sorted(name.rpartition("-")[0] for name in started) == ["atlas-box"] * 4 + ["cms-box", "theory-box"]


def test_the_usage_names_the_jobs_that_the_killed_workers_cost(story):
    told = json.loads(
        story.lxc.farm.ambienti("usage", "--since", instant(story.start), "--until", instant(story.end), "--json")
    )
    (outage,) = told["outages"]
    assert outage["host"] == story.host
    lost, *late = told["lost_workers"]
    assert (lost["worker"], lost["host"]) == (story.workers["killed"], story.host)
    assert [lost[key] for key in FATES] == [[f"{story.jobs['killed']}.0"], [], []]
    # A libvirtd that has just started may show for a moment what died while it was away: then it died after the outage.
    with_it = late[0] if late else outage
    assert [one["worker"] for one in late] in ([], [story.workers["hidden"]])
    assert [with_it[key] for key in FATES] == [[f"{story.jobs['hidden']}.0"], [], []]
    ((start, end),) = story.watched["host"]
    assert abs(outage["seconds"] - (end - start)) <= story.agreed
    hours = {row["environment"]: row for row in told["workers"]}
    assert abs(hours["theory-box"]["unknown_seconds"] - (end - start)) <= story.agreed
    assert hours["theory-box"]["lost_seconds"] == 0
    text = story.lxc.farm.ambienti("usage", "--since", instant(story.start), "--until", instant(story.end))
    assert f"{story.workers['killed']} ended on {story.host} with work in it: 1 job runs again, 0 not seen since" in text


def test_table_and_page_are_written_from_it(story, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "240")
    table = story.lxc.farm.ambienti("report", *story.window)
    page = tmp_path / "report.html"
    story.lxc.farm.ambienti("report", *story.window, "--html", str(page))
    html = page.read_text()
    for name in ("pool", story.host, "farm", "cms/cms-box", "workers/theory-box"):
        assert name in html
        assert story.row(name)["figure_shown"] in html
        (line,) = (line for line in table.splitlines() if f" {name} " in line)
        assert story.row(name)["figure_shown"] in line
