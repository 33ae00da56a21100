"""Hosts that join and leave by an inventory file: read with care, connected while running, kept when the file is silent."""

import os
import re
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from connectors.discovery import dns, inventory
from environments.problems import ConfigurationError
from scheduler.commands.cli import build
from scheduler.model.ports import FoundHost, SourceError
from scheduler.show import rows
from scheduler.site import compose, discovering
from scheduler.site.definitions import load
from scheduler.site.reload import Reload

HOST = """<node><cpu><mhz>2000</mhz><model>x</model><active>8</active><nodes>1</nodes><sockets>1</sockets><cores>8</cores>
<threads>1</threads></cpu><memory>16777216</memory></node>"""
SITE = """\
site: perugia
batch_systems: [{name: pool, kind: simulated, options: {jobs: [{vo: atlas, wants: el9}]}}]
discover:
  - name: racks
    kind: file
    options: {path: hosts.txt}
    every_seconds: 1
    leave_seconds: 1
    hosts: {uri: "test://DIRECTORY/{host}.xml", labels: {rack: none}, max_boots: 2}
vos: {atlas: }
limits: {poll_seconds: 1}
daemon: {listen: "", journal: "sqlite://"}
"""
ATLAS = "vo: atlas\nenvironments:\n  el9: {virtualization: lxc, image: {path: /srv/el9}}\n"


@pytest.fixture
def site(tmp_path):
    (tmp_path / "vos").mkdir()
    (tmp_path / "vos/atlas.yaml").write_text(ATLAS)
    (tmp_path / "site.yaml").write_text(SITE.replace("DIRECTORY", str(tmp_path)))
    for host in "abc":
        (tmp_path / f"{host}.xml").write_text(HOST)
    return tmp_path


def test_a_host_that_two_discoveries_name_in_different_capitals_is_one_host(site):
    text = (site / "site.yaml").read_text()
    entry = text[text.index("  - name: racks") : text.index("vos:")]
    (site / "site.yaml").write_text(
        text.replace("vos:", entry.replace("name: racks", "name: rows").replace("hosts.txt", "more.txt") + "vos:")
    )
    (site / "hosts.txt").write_text("a\n")
    (site / "more.txt").write_text("A\nb\n")
    with discovering.connected(load(site / "site.yaml")) as (found, farm, _):
        assert {name: entry.discovery for name, entry in found.file.hosts.items()} == {"a": "racks", "b": "rows"}
        assert "A: this name is taken elsewhere in the site file" in compose.readings(found, farm)["rows"].doubt


# --- inventory files --------------------------------------------------------------------------------------------------


def read(directory, name, text):
    (directory / name).write_bytes(text.encode() if isinstance(text, str) else text)
    return inventory.connect("racks", {"path": name}, base=directory, deadline_seconds=1).read()


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        (
            "hosts",
            "xen01\nb\nXEN01\n",
            "hosts:3:1: XEN01 is named twice: first in line 1, as xen01 (names of hosts have no case)",
        ),
        ("hosts", "xen[01-03]\n Xen02 rack=a\n", "hosts:2:2: Xen02 is named twice: first in line 1, as xen02"),
        (
            "hosts",
            "xen01 rack=a\nxen01 rack=b\n",
            "hosts:2:1: xen01 is named twice: first in line 1, with another label or port",
        ),
        ("hosts.yaml", "hosts:\n- xen01\n- name: XEN01\n", "hosts.yaml:3:3: XEN01 is named twice: first in line 2, as xen01"),
    ],
)
def test_a_host_that_an_inventory_names_twice_and_not_alike_is_told_with_both_lines(tmp_path, name, text, says):
    with pytest.raises(SourceError, match=re.escape(says)):
        read(tmp_path, name, text)


def test_a_host_that_stands_in_an_inventory_twice_alike_is_one_host(tmp_path):
    assert read(tmp_path, "hosts", "xen01 rack=a\nxen[01-02] rack=a\n") == (
        FoundHost("xen01", {"rack": "a"}),
        FoundHost("xen02", {"rack": "a"}),
    )


def test_an_inventory_may_be_one_host_a_line_with_labels(tmp_path):
    found = read(tmp_path, "hosts", "# made by the site's tools\nxen01 rack=a room=2\n\nxen[08-10] port=16509  # new\n")
    assert found[0] == FoundHost("xen01", {"rack": "a", "room": "2"})
    assert [(host.name, host.port) for host in found[1:]] == [("xen08", 16509), ("xen09", 16509), ("xen10", 16509)]


def test_an_inventory_may_be_yaml_with_names_or_mappings(tmp_path):
    found = read(tmp_path, "hosts.yaml", "hosts:\n  - xen[1-2]\n  - {name: xen9, labels: {rack: b}, port: 16509}\n")
    assert found == (FoundHost("xen1"), FoundHost("xen2"), FoundHost("xen9", {"rack": "b"}, 16509))


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("hosts", "xen01\nxen 02\n", "hosts:2:5: '02' is not accepted; expected a host or a range, then label=value"),
        ("hosts", "xen01 port=ssh\n", "hosts:1:7: 'port=ssh' is not accepted"),
        ("hosts", "xen01 port=99999\n", "hosts:1:1: 'xen01' is not accepted"),
        ("hosts", "xen[3-1]\n", "hosts:1:1: 'xen[3-1]' is not accepted"),
        ("hosts", b"xen01\n\xe9\n", "hosts:2:1: is not UTF-8"),
        ("h.yaml", "hosts:\n  - {nme: xen1}\n", "h.yaml:2:6 hosts[0].nme: is not a known key; did you mean name?"),
        ("h.yaml", "hosts:\n  - xen[1-\n", "h.yaml:2:5 hosts[0]: 'xen[1-' is not a host name; expected a host name or a range"),
        ("h.yaml", "hosts: [xen1, {name: xen2, labels: [a]}]\n", "hosts[1].labels: is a list of 1; expected a mapping"),
        ("h.yaml", "hosts: [xen1, xe", "is not YAML: this bracket is not closed"),
        ("h.yaml", "", "the file is empty"),
    ],
)
def test_an_inventory_with_anything_wrong_in_it_is_no_answer_and_says_where(tmp_path, name, text, says):
    with pytest.raises(SourceError) as caught:
        read(tmp_path, name, text)
    assert says in caught.value.answer


def test_an_inventory_that_is_missing_is_no_answer_and_the_nearest_file_is_named(tmp_path):
    (tmp_path / "hosts.txt").touch()
    with pytest.raises(SourceError, match=r"there is no such file; did you mean hosts\.txt\?"):
        inventory.connect("racks", {"path": "host.txt"}, base=tmp_path, deadline_seconds=1).read()


# --- the site file ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "place", "says"),
    [
        ("kind: file", "kind: fle", "site.yaml:5:11 discover[0].kind", "expected one of: dns, file; did you mean file?"),
        ("path: hosts", "pth: hosts", "site.yaml:6:15 discover[0].options.pth", "did you mean path?"),
        ("{host}.xml", "a.xml", "site.yaml:9:18 discover[0].hosts.uri", "all hosts found would share one connection"),
        ("{host}.xml", "{hst}.xml", "site.yaml:9:18 discover[0].hosts.uri", "did you mean {host}?"),
        ("leave_seconds: 1", "leave_percent: 0", "site.yaml:8:20 discover[0].leave_percent", "greater than 0"),
        ("max_boots: 2", "options: {disk_pol: a}", "discover[0].hosts.options.disk_pol", "did you mean disk_pool?"),
        ("discover:\n", "discover:\n  - {name: racks, kind: file, options: {path: a}, hosts: {uri: 'lxc://{host}/'}}\n", "discover[1].name", "named twice"),
        ("kind: file\n    options: {path: hosts.txt}", "kind: dns\n    options: {record: libvirt.org}", "discover[0].options.record", "expected _service._tcp.domain"),
        ("kind: file\n    options: {path: hosts.txt}", "kind: dns\n    options: {record: _a._tcp.b, servers: [ns1]}", "discover[0].options.servers[0]", "the address of a name server"),
    ],
)  # fmt: skip
def test_a_wrong_discovery_is_refused_at_its_line_before_it_has_found_any_host(site, old, new, place, says):
    text = (site / "site.yaml").read_text()
    assert old in text
    (site / "site.yaml").write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigurationError) as caught:
        compose.connect(load(site / "site.yaml"))
    told = [str(problem) for problem in caught.value.problems]
    assert any(place in one and says in one for one in told), told


def test_the_addresses_of_name_servers_may_carry_a_port():
    assert dns.name_server("192.0.2.1") == ("192.0.2.1", 53)
    assert dns.name_server("192.0.2.1:5353") == ("192.0.2.1", 5353)
    assert dns.name_server("2001:db8::1") == ("2001:db8::1", 53)
    assert dns.name_server("[2001:db8::1]:5353") == ("2001:db8::1", 5353)


# --- while running ----------------------------------------------------------------------------------------------------


class Moving:
    """A clock that moves on a little with each look at it."""

    def __init__(self):
        self.at = 1_700_000_000.0

    def now(self):
        self.at += 0.001
        return self.at

    def monotonic(self):
        return self.at

    def sleep(self, seconds):
        self.at += seconds


@contextmanager
def running(site):
    found = load(site / "site.yaml")
    clock = Moving()
    asked = discovering.Discovering(found.discovered, found.file.directory, clock=clock)
    farm = compose.connect(found)
    told = []
    with compose.engine(found, farm) as engine:
        reload = Reload(found, farm, engine, told.append, asked)

        def go_round():
            clock.sleep(2)
            policy = reload(False)
            if policy is not None:
                engine.policy = policy
            engine.clock = clock
            return engine.cycle()

        yield go_round, reload, told
        reload.close()


def test_hosts_join_and_leave_while_running_and_the_others_keep_their_connection(site):
    (site / "hosts.txt").write_text("a rack=1\n")
    with running(site) as (go_round, reload, _):
        assert set(go_round().observation.hosts) == {"a"}
        connection = reload.farm.hypervisors["a"]
        assert reload.definitions.policy.hosts["a"].labels == {"rack": "1"}
        (site / "hosts.txt").write_text("a rack=1\nb\n")
        cycle = go_round()
        assert set(cycle.observation.hosts) == {"a", "b"}
        assert reload.definitions.policy.hosts["b"].labels == {"rack": "none"}
        assert reload.farm.hypervisors["a"] is connection
        (site / "hosts.txt").write_text("b\n")
        assert "a" in go_round().observation.hosts
        cycle = go_round()
        assert reload.definitions.policy.hosts["a"].left == "racks"
        (row,) = (row for row in rows.source_rows(cycle.observation) if row.kind == "discovery")
        assert (row.state, row.says) == ("ok", f"file {site}/hosts.txt: 2 hosts; emptied, because it no longer names them: a")
        assert set(go_round().observation.hosts) == {"b"}
        assert set(reload.farm.hypervisors) == {"b"}


def test_a_file_that_is_lost_broken_or_empty_changes_nothing(site):
    (site / "hosts.txt").write_text("a\nb\n")
    with running(site) as (go_round, _, told):
        go_round()
        for breaks in (os.remove, lambda path: path.write_text("a\nb b\n"), lambda path: path.write_text("")):
            breaks(site / "hosts.txt")
            for _ in range(3):
                cycle = go_round()
            assert set(cycle.observation.hosts) == {"a", "b"}
            assert not cycle.plan.actions
            (row,) = (row for row in rows.source_rows(cycle.observation) if row.kind == "discovery")
            assert (row.state, row.answered_seconds_ago > 0) == ("silent", True)
            assert "its last known hosts stay (2)" in row.says
        assert not told


def test_a_restart_with_a_silent_source_still_knows_its_farm(site):
    (site / "hosts.txt").write_text("a\nb\n")
    with running(site) as (go_round, _, _):
        go_round()
    (site / "hosts.txt").unlink()
    with running(site) as (go_round, _, _):
        assert set(go_round().observation.hosts) == {"a", "b"}


def test_nothing_boots_at_a_new_site_before_its_hosts_are_told(site):
    with running(site) as (go_round, _, _):
        cycle = go_round()
        assert cycle.observation.hosts == {}
        assert cycle.observation.adopting_until is not None
        facts = [reason.sentence for verdict in cycle.plan.clusters.values() for reason in verdict.reasons]
        assert any("nothing has been heard of discovery racks since the journal began or was restored" in one for one in facts)
        (site / "hosts.txt").write_text("a\n")
        assert go_round().observation.adopting_until is None


def test_the_site_file_comes_first_where_names_meet(site):
    text = (site / "site.yaml").read_text()
    (site / "site.yaml").write_text(f"hosts: [{{name: a, uri: 'test://{site}/c.xml', labels: {{rack: mine}}}}]\n{text}")
    (site / "hosts.txt").write_text("a\nb\npool\n")
    with running(site) as (go_round, reload, _):
        cycle = go_round()
        assert set(cycle.observation.hosts) == {"a", "b"}
        assert reload.definitions.policy.hosts["a"].labels == {"rack": "mine"}
        assert "a, pool: this name is taken elsewhere" in cycle.observation.discoveries["racks"].doubt


def test_a_change_of_the_site_file_and_a_new_host_come_together(site):
    (site / "hosts.txt").write_text("a\n")
    with running(site) as (go_round, reload, told):
        go_round()
        (site / "hosts.txt").write_text("a\nb\n")
        text = (site / "site.yaml").read_text().replace("max_boots: 2", "max_boots: 3")
        (site / "site.yaml").write_text(text)
        assert set(go_round().observation.hosts) == {"a", "b"}
        assert {host.max_boots for host in reload.definitions.policy.hosts.values()} == {3}
        (site / "site.yaml").write_text(text.replace("max_boots", "max_bots"))
        (site / "hosts.txt").write_text("a\nb\nc\n")
        assert set(go_round().observation.hosts) == {"a", "b", "c"}
        assert [problem.nearest for problem in told[0]] == ["max_boots"]
        assert {host.max_boots for host in reload.definitions.policy.hosts.values()} == {3}


def test_a_host_that_moves_from_one_source_to_another_is_not_emptied(site):
    text = (site / "site.yaml").read_text()
    first = text[text.index("  - name: racks") : text.index("vos:")]
    second = first.replace("racks", "cellar").replace("hosts.txt", "more.txt").replace("rack: none", "rack: below")
    (site / "site.yaml").write_text(text.replace("vos:", f"{second}vos:"))
    (site / "hosts.txt").write_text("a\nb\n")
    (site / "more.txt").write_text("c\n")
    with running(site) as (go_round, reload, _):
        go_round()
        (site / "hosts.txt").write_text("a\n")
        (site / "more.txt").write_text("b\nc\n")
        for _ in range(4):
            assert set(go_round().observation.hosts) == {"a", "b", "c"}
            assert not reload.definitions.policy.hosts["b"].left
        assert reload.definitions.policy.hosts["b"].labels == {"rack": "below"}


def test_a_source_that_is_renamed_keeps_its_hosts(site):
    (site / "hosts.txt").write_text("a\nb\n")
    with running(site) as (go_round, _, _):
        go_round()
        (site / "site.yaml").write_text((site / "site.yaml").read_text().replace("name: racks", "name: cellar"))
        assert set(go_round().observation.hosts) == {"a", "b"}
        assert set(go_round().observation.discoveries) == {"cellar"}


# --- commands ---------------------------------------------------------------------------------------------------------


def invoke(site, *words):
    return CliRunner(env={"COLUMNS": "400"}).invoke(build(), [*words, "--site", str(site / "site.yaml")])


def test_commands_that_look_by_themselves_ask_the_discovery_first(site):
    (site / "hosts.txt").write_text("a\nb\n")
    shown = invoke(site, "status").output
    assert "racks" in shown
    assert "discovery" in shown
    assert "file" in shown
    assert not (site / "state/discovered").exists(), "a look changes nothing"
    assert "nothing to do" in invoke(site, "once").output
    assert re.search(rf"\nb +test://{site}/b.xml +rack=none +racks", invoke(site, "host", "list").output)
    assert "b is drained" in invoke(site, "host", "drain", "b").output


def test_check_live_tries_the_discovery_and_the_labels_it_brings(site):
    answer = invoke(site, "check", "--live")
    assert answer.exit_code == 3
    assert "racks: file" in answer.output
    assert "there is no such file" in answer.output
    (site / "hosts.txt").write_text("a rack=7\n")
    (site / "vos/atlas.yaml").write_text(ATLAS.replace("lxc,", "lxc, labels: {rack: '8'},"))
    assert invoke(site, "check").exit_code == 0
    answer = invoke(site, "check", "--live")
    assert answer.exit_code == 1
    assert "no host of the site carries the label rack: 8; expected one of: 7" in answer.output
