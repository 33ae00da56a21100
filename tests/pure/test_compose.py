"""From checked files to connections: connectors refuse their options in the words of the site file; changes are taken up."""

import os
import threading
import time
from contextlib import contextmanager

import pytest

from environments.problems import ConfigurationError
from scheduler.site import compose, in_force
from scheduler.site import reload as reloading
from scheduler.site.definitions import load
from scheduler.site.reload import Reload

SITE = """\
site: perugia
batch_systems:
  - name: pool
    kind: htcondor
    options: {collector: "127.0.0.1:1"}
hosts:
  - {name: "t[1-2]", uri: "test:///nowhere/{host}.xml"}
  - {name: t9, uri: "test:///nowhere/t9.xml", reserve_mib: 512, options: {disk_pool: fast}}
vos: {atlas: }
daemon: {listen: "", journal: "sqlite://"}
"""
ATLAS = "vo: atlas\nenvironments:\n  el9: {virtualization: lxc, image: {path: /srv/el9}}\n"


class Files:
    def __init__(self, directory):
        self.directory, self.tick = directory, 1_700_000_000
        (directory / "vos").mkdir()
        self.write("site.yaml", SITE)
        self.write("vos/atlas.yaml", ATLAS)

    def write(self, name, text):
        self.tick += 10
        (self.directory / name).write_text(text)
        os.utime(self.directory / name, (self.tick, self.tick))

    def load(self):
        return load(self.directory / "site.yaml")


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def refused(definitions):
    with pytest.raises(ConfigurationError) as caught:
        compose.connect(definitions)
    return caught.value.problems


def test_connectors_are_made_without_touching_what_they_connect_to(files):
    farm = compose.connect(files.load())
    assert set(farm.batch_systems) == {"pool"}
    assert set(farm.hypervisors) == {"t1", "t2", "t9"}
    farm.close()


@pytest.mark.parametrize(
    ("old", "new", "place", "key", "says"),
    [
        ("collector:", "colector:", (5, 15), "batch_systems[0].options.colector", "did you mean collector?"),
        (
            'collector: "127.0.0.1:1"',
            "",
            (5, 5),
            "batch_systems[0].options.collector",
            "is missing; expected Address of the collector",
        ),
        (
            '"127.0.0.1:1"}',
            '"127.0.0.1:1", callback: aways}',
            (5, 51),
            "batch_systems[0].options.callback",
            "did you mean always?",
        ),
        ("disk_pool", "disk_pol", (8, 75), "hosts[1].options.disk_pol", "did you mean disk_pool?"),
        ("disk_pool: fast", "kvm: maybe", (8, 80), "hosts[1].options.kvm", "expected one of: try, off, trust"),
    ],
)
def test_wrong_options_are_refused_by_their_connector_at_their_line(files, old, new, place, key, says):
    files.write("site.yaml", SITE.replace(old, new))
    (problem,) = refused(files.load())
    assert ((problem.line, problem.column), problem.key) == (place, key)
    assert says in problem.sentence


@pytest.mark.parametrize(
    ("options", "key", "says"),
    [
        ("jobs: [{vo: atlas, count: [5, 3]}]", "jobs[0].count", "[5, 3] goes down; expected the smaller number first: [3, 5]"),
        ("jobs: [{vo: atlas, runs: [9, 8]}]", "jobs[0].runs", "[9, 8] goes down; expected the smaller number first: [8, 9]"),
        ("jobs: [{vo: atlsa}]", "jobs[0].vo", "no VO is called 'atlsa'; did you mean atlas?"),
        ("jobs: [{vo: atlas, wants: el8}]", "jobs[0].wants", "no environment is called 'el8'; did you mean el9?"),
        ("jobs: [{vo: atlas, wants: x}]", "jobs[0].wants", "no environment is called 'x'; expected one of: el9"),
        (
            "faults: [{at: 0, lasts: 1, do: hangs}]",
            "faults[0].environment",
            "no environment is called ''; expected one of: el9",
        ),
    ],
)
def test_a_simulated_batch_system_names_what_there_is_and_ranges_that_go_up(files, options, key, says):
    files.write("site.yaml", SITE.replace("kind: htcondor", "kind: simulated").replace('collector: "127.0.0.1:1"', options))
    (problem,) = refused(files.load())
    assert (problem.line, problem.key, problem.sentence) == (5, f"batch_systems[0].options.{key}", says)


def test_a_simulated_job_may_name_on_purpose_what_is_not_there(files):
    options = "jobs: [{vo: atlas, wants: el8, misspelt: true}]"
    files.write("site.yaml", SITE.replace("kind: htcondor", "kind: simulated").replace('collector: "127.0.0.1:1"', options))
    compose.connect(files.load()).close()


def test_off_is_a_word_whatever_yaml_makes_of_it(files):
    files.write("site.yaml", SITE.replace("disk_pool: fast", "kvm: off"))
    compose.connect(files.load()).close()
    files.write("site.yaml", SITE.replace("disk_pool: fast", "kvm: of"))
    (problem,) = refused(files.load())
    assert (problem.nearest, problem.expected) == ("off", "one of: try, off, trust")


def test_wrong_options_of_many_hosts_in_one_line_are_one_problem(files):
    files.write("site.yaml", SITE.replace('{host}.xml"}', '{host}.xml", options: {consle_directory: /x}}'))
    (problem,) = refused(files.load())
    assert problem.nearest == "console_directory"


def test_the_journal_of_the_site_file_is_beside_it(files):
    files.write("site.yaml", SITE.replace("sqlite://", "sqlite:///state/a.db"))
    assert compose.journal_url(files.load()) == f"sqlite:///{files.directory}/state/a.db"
    files.write("site.yaml", SITE.replace("sqlite://", "sqlite:////var/a.db"))
    assert compose.journal_url(files.load()) == "sqlite:////var/a.db"
    files.write("site.yaml", SITE.replace("sqlite://", "postgresql://h/db"))
    assert compose.journal_url(files.load()) == "postgresql://h/db"


COUNTING = """
opened, closed = [], []

def connect(name, uri, options, *, site, deadline_seconds):
    host = Host(name)
    opened.append(host)
    return host

class Host:
    def __init__(self, name):
        self.name = name
    def watch(self, tell):
        pass
    def close(self):
        closed.append(self)
"""


def test_what_a_refused_site_file_had_connected_is_given_back(files, tmp_path, monkeypatch):
    information = tmp_path / "counting-0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: counting\nVersion: 0\n")
    (information / "entry_points.txt").write_text("[ambienti.hypervisors]\ncounting = counting:connect\n")
    (tmp_path / "counting.py").write_text(COUNTING)
    monkeypatch.syspath_prepend(tmp_path)
    counted = SITE.replace("hosts:\n", "hosts:\n  - {name: 'c[1-2]', uri: 'c://{host}', kind: counting}\n")
    files.write("site.yaml", counted)
    with running(files) as (reload, told):
        import counting

        kept = list(counting.opened)
        assert len(kept) == 2
        wrong = counted.replace("disk_pool", "disk_pol").replace("c[1-2]", "c[2-5]")
        files.write("site.yaml", wrong)
        reload(False)
        assert [problem.nearest for problem in told[0]] == ["disk_pool"]
        assert {host.name for host in counting.opened[2:]} == {"c3", "c4", "c5"}
        assert counting.closed == counting.opened[2:], "the new ones, and none of those in force"
    assert set(counting.closed) == set(counting.opened)


# --- reload -----------------------------------------------------------------------------------------------------------


@contextmanager
def running(files):
    found = files.load()
    farm = compose.connect(found)
    told = []
    with compose.engine(found, farm) as engine:
        reload = Reload(found, farm, engine, told.append)
        yield reload, told
        reload.close()


def test_nothing_changed_gives_no_new_policy(files):
    with running(files) as (reload, told):
        assert reload(False) is None
        assert reload(True) is None
        assert told == []


def test_a_changed_environment_is_in_the_new_policy_and_no_connection_is_touched(files):
    with running(files) as (reload, told):
        farm = reload.farm
        files.write("vos/atlas.yaml", ATLAS.replace("el9:", "el10:"))
        assert set(reload(False).catalogue.environments) == {"el10"}
        assert reload.farm is farm
        assert told == []


def test_a_new_host_is_connected_and_the_others_keep_their_connection(files):
    with running(files) as (reload, _):
        before = reload.farm
        files.write("site.yaml", SITE.replace("t[1-2]", "t[2-3]"))
        assert set(reload(False).hosts) == {"t2", "t3", "t9"}
        assert reload.farm.hypervisors["t2"] is before.hypervisors["t2"]
        assert reload.farm.batch_systems["pool"] is before.batch_systems["pool"]
        assert "t1" not in reload.farm.hypervisors


def test_a_host_with_changed_options_is_connected_anew(files):
    with running(files) as (reload, _):
        before = reload.farm
        files.write("site.yaml", SITE.replace("fast", "slow"))
        reload(False)
        assert reload.farm.hypervisors["t9"] is not before.hypervisors["t9"]
        assert reload.farm.hypervisors["t1"] is before.hypervisors["t1"]


def test_options_that_the_connector_refuses_leave_the_site_as_it_was(files):
    with running(files) as (reload, told):
        farm = reload.farm
        files.write("site.yaml", SITE.replace("disk_pool", "disk_pol"))
        files.write("vos/atlas.yaml", ATLAS.replace("el9:", "el10:"))
        assert set(reload(False).catalogue.environments) == {"el10"}
        assert reload.farm is farm
        assert [p.nearest for p in told[0]] == ["disk_pool"]
        assert reload(False) is None
        assert len(told) == 1
        files.write("site.yaml", SITE.replace("disk_pool: fast", "disk_pool: slow"))
        reload(False)
        assert reload.farm is not farm


def test_a_farm_cannot_be_renamed_while_it_runs(files):
    with running(files) as (reload, told):
        files.write("site.yaml", SITE.replace("perugia", "pisa"))
        assert reload(False) is None
        assert "its workers would be strangers" in told[0][0].message


def test_settings_that_need_a_restart_are_told_as_such(files):
    with running(files) as (reload, told):
        files.write("site.yaml", SITE.replace('listen: ""', "listen: 127.0.0.1:9999"))
        assert reload(False) is None
        assert (told[0][0].key, "restart" in told[0][0].message) == ("daemon.listen", True)


def test_what_is_wrong_is_told_again_when_asked_for(files):
    with running(files) as (reload, told):
        files.write("vos/atlas.yaml", "vo: [")
        assert reload(False) is None
        assert reload(False) is None
        assert len(told) == 1
        reload(True)
        assert len(told) == 2


# --- what is in force, for commands ----------------------------------------------------------------------------------


def test_what_is_refused_is_known_until_it_is_right_again(files):
    with running(files) as (reload, _):
        files.write("site.yaml", SITE.replace("hosts:", "hots:"))
        files.write("services.yaml", "objcts: []\n")
        reload(False)
        assert [(problem.file.rpartition("/")[2], problem.nearest) for problem in reload.refused] == [
            ("services.yaml", ""),
            ("site.yaml", "hosts"),
        ]
        files.write("site.yaml", SITE)
        files.write("services.yaml", "objects: []\n")
        reload(False)
        assert reload.refused == ()


def test_the_files_beside_the_site_file_are_kept_with_every_look_beside_the_cycle(files):
    found, looked = files.load(), []
    farm = compose.connect(found)
    with compose.engine(found, farm) as engine:
        reload = Reload(found, farm, engine, lambda _: None, keep_files=looked.append)
        for text in ("vo: [", ATLAS.replace("el9:", "el10:")):
            files.write("vos/atlas.yaml", text)
            reload(False)
        reload.close()
    assert [set(one.policy.catalogue.environments) for one in looked] == [{"el9"}, {"el10"}]


def test_what_is_in_force_is_kept_for_commands_and_what_is_refused_is_not(files):
    path = files.directory / "site.yaml"
    with running(files) as (reload, _):
        keeper = in_force.Keeper(reload.definitions, in_force.Running(os.getpid(), 5.0), pytest.fail)
        known = in_force.recall(path)
        assert (known.policy, known.site, known.file.hosts) == (
            reload.definitions.policy,
            reload.definitions.site,
            reload.definitions.file.hosts,
        )
        files.write("vos/atlas.yaml", ATLAS.replace("el9:", "el10:"))
        reload(False)
        keeper(reload.definitions)
        files.write("site.yaml", "{")
        reload(False)
        keeper(reload.definitions)
        assert set(in_force.recall(path).policy.catalogue.environments) == {"el10"}
        keeper.close()
        assert in_force.recall(path) is None


def test_a_second_daemon_of_one_site_file_on_one_machine_knows_who_was_first_and_takes_over_when_that_one_ends(files):
    found = files.load()
    first = in_force.Keeper(found, in_force.Running(os.getpid(), 5.0), pytest.fail)
    second = in_force.Keeper(found, in_force.Running(os.getpid(), 9.0), pytest.fail)
    assert (first.other, second.other) == (None, in_force.Running(os.getpid(), 5.0))
    first.close()
    second(found)
    assert in_force.running(found.file.directory) == in_force.Running(os.getpid(), 9.0)
    second.close()


def test_what_is_in_force_is_for_nobody_else_to_read(files):
    keeper = in_force.Keeper(files.load(), in_force.Running(os.getpid(), 5.0), pytest.fail)
    directory = files.load().file.directory
    modes = {one.name: one.stat().st_mode & 0o777 for one in directory.iterdir()}
    assert (directory.stat().st_mode & 0o777, modes) == (0o700, {"daemon.lock": 0o600, "in-force.json": 0o600})
    keeper.close()


def test_a_state_directory_that_cannot_be_written_is_told_once_and_stops_nothing(files):
    told = []
    (files.directory / "state").write_text("no directory")
    keeper = in_force.Keeper(files.load(), in_force.Running(os.getpid(), 5.0), told.append)
    keeper(files.load())
    assert len(told) == 1
    assert "cannot be kept" in told[0]


@pytest.mark.parametrize(
    ("text", "directory"),
    [
        ("daemon: {directory: here}\nhots: []\n", "here"),
        ("hosts: [\ndaemon:\n  # where\n\n  directory: here\nvos: {}\n", "here"),
        ("daemon:\n  directory: here\n: :", "here"),
        ("daemon:\n  directory: [1\n", "state"),
        ("daemon: {directory: [1]}\n", "state"),
        ("", "state"),
        ("- a\n", "state"),
    ],
)
def test_where_the_daemon_keeps_its_things_is_read_also_of_a_wrong_site_file(tmp_path, text, directory):
    (tmp_path / "site.yaml").write_text(text)
    assert in_force.directory_of(tmp_path / "site.yaml") == tmp_path / directory


# --- files that hang or are none -----


@pytest.mark.parametrize("name", ["vos/atlas.yaml", "site.yaml", "services.yaml"])
def test_a_file_that_becomes_a_pipe_hangs_nothing_and_what_is_in_force_stays(files, name):
    with running(files) as (reload, told):
        path = files.directory / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)
        begun = time.monotonic()
        assert reload(False) is None
        assert time.monotonic() - begun < 20
        assert told
        path.unlink()
        files.write("vos/atlas.yaml", ATLAS.replace("el9:", "el10:"))
        files.write("site.yaml", SITE)
        assert set(reload(False).catalogue.environments) == {"el10"}


def test_while_the_files_cannot_be_read_to_their_end_the_loop_goes_on_and_takes_them_up_later(files, monkeypatch):
    hangs = threading.Event()
    real = reloading.refresh
    monkeypatch.setattr(reloading, "FILES_SECONDS", 0.1)
    with running(files) as (reload, told):
        monkeypatch.setattr(reloading, "refresh", lambda *given: hangs.wait(10) and real(*given))
        files.write("vos/atlas.yaml", ATLAS.replace("el9:", "el10:"))
        assert reload(False) is None
        assert reload(False) is None
        assert ["does their file system hang?" in problem.message for (problem,) in told] == [True], "told once"
        hangs.set()
        time.sleep(1)
        assert set(reload(False).catalogue.environments) == {"el10"}


def test_a_fault_in_reading_the_files_is_told_and_the_loop_goes_on(files, monkeypatch):
    def broken(*_given):
        raise ValueError("embedded null byte")

    with running(files) as (reload, told):
        monkeypatch.setattr(reloading, "refresh", broken)
        assert reload(False) is None
        assert "ValueError: embedded null byte" in told[0][0].message
