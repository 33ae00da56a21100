"""check --live: what the files promise against what hosts and batch systems really have, at the line that is to be changed."""

import random

import pytest

from environments.environment import Virtualization
from scheduler.model.hosts import PoolSpace
from scheduler.site import compose, live_check
from scheduler.site.compose import Farm
from scheduler.site.definitions import load
from simulations.clock import Agenda, SimulatedClock
from simulations.plant import Machine, Plant
from simulations.queue import SimulatedQueue

NODE = """<node><cpu><mhz>2000</mhz><model>x86_64</model><active>8</active><nodes>1</nodes><sockets>1</sockets><cores>8</cores>
<threads>1</threads></cpu><memory>{memory_kib}</memory><network><name>default</name><bridge name="virbr0"/>
<ip address="192.168.122.1" netmask="255.255.255.0"/></network>
<pool type="dir"><name>workers</name><target><path>/p</path></target></pool></node>"""
SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: "h[1-2]", uri: "test://%s/{host}.xml"}]
vos: {atlas: }
daemon: {listen: ""}
"""
ENVIRONMENT = "{virtualization: xen-pv, image: {kernel: /k, initrd: /i}, memory_mib: 2048%s}"


@pytest.fixture
def check(tmp_path):
    def write_and_check(further="", environment=ENVIRONMENT, hosts=(8, 16), silent=False):
        (tmp_path / "vos").mkdir(exist_ok=True)
        (tmp_path / "site.yaml").write_text(SITE % tmp_path)
        (tmp_path / "vos/atlas.yaml").write_text(f"vo: atlas\nenvironments:\n  el9: {environment % further}\n")
        for number, gib in enumerate(hosts, 1):
            (tmp_path / f"h{number}.xml").write_text(NODE.format(memory_kib=gib * 1024 * 1024))
        found = load(tmp_path / "site.yaml")
        connected = compose.connect(found)
        queue = SimulatedQueue("pool", Agenda(SimulatedClock()))
        queue.faults.silent = silent
        farm = Farm({"pool": queue}, connected.hypervisors)
        try:
            return live_check.check(found, farm)
        finally:
            connected.close()

    return write_and_check


def test_a_farm_that_can_do_what_its_files_say_has_no_findings(check):
    assert check() == ()


def test_an_unknown_network_is_named_with_its_line_and_the_nearest(check):
    (finding,) = check(", network: {source: defualt}")
    assert finding.fatal
    assert (finding.problem.line, finding.problem.key) == (3, "environments.el9.network.source")
    assert str(finding).endswith("not on h1, h2: no libvirt 'defualt'; expected one of: default; did you mean default?")


def test_an_unknown_storage_pool_is_named_with_the_nearest(check):
    environment = "{virtualization: xen-pv, image: {path: /el9.qcow2}, disk: {mode: overlay, pool: wokers}%s}"
    findings = check(environment=environment)
    assert [(f.problem.key, f.problem.nearest) for f in findings] == [("environments.el9.disk.pool", "workers")]


def test_memory_larger_than_any_host_is_fatal_and_tells_the_largest(check):
    (finding,) = check(environment=ENVIRONMENT.replace("2048", "64 GiB"))
    assert finding.fatal
    assert finding.problem.expected == "at most 16384 MiB, as the largest host has"
    assert finding.problem.column == ENVIRONMENT.index("2048") + len("  el9: ") + 1


def test_that_some_hosts_are_too_small_is_no_finding_where_another_is_large_enough(check):
    assert check(environment=ENVIRONMENT.replace("2048", "12 GiB")) == ()
    assert [finding.fatal for finding in check(", vcpus: 64")] == [True]


@pytest.mark.parametrize(
    ("share", "key", "says"),
    [
        ("guarantee_cpus: 17", "guarantee_cpus", "atlas: guarantees 17 cores, the farm has 16"),
        ("guarantee_cpus: 16", "", ""),
        ("ceiling_cpus: 500", "ceiling_cpus", "atlas: may have 500 cores, the farm has 16"),
    ],
)
def test_a_share_larger_than_the_farm_is_a_warning_at_its_line(check, monkeypatch, share, key, says):
    monkeypatch.setattr("test_live_check.SITE", SITE.replace("atlas: }", f"atlas: {{share: {{{share}}}}}}}"))
    found = check()
    expected = [(f"vos.atlas.share.{key}", 4, says, False)] if key else []
    assert [(one.problem.key, one.problem.line, one.problem.message, one.fatal) for one in found] == expected


def simulated(tmp_path, environment, hosts, entries):
    """Check environments against hosts of a plant; `entries`: their lines in the site file."""
    (tmp_path / "vos").mkdir()
    lines = "".join(f"  - {{name: {name}, uri: 'qemu+ssh://{{host}}/system'{more}}}\n" for name, more in entries.items())
    site = 'site: perugia\nbatch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]\nhosts:\n' + lines
    (tmp_path / "site.yaml").write_text(site + 'vos: {atlas: }\ndaemon: {listen: ""}\n')
    (tmp_path / "vos/atlas.yaml").write_text(f"vo: atlas\nenvironments:\n{environment}")
    agenda = Agenda(SimulatedClock())
    plant = Plant(agenda, random.Random(1), {})
    made = {machine.name: plant.add(machine) for machine in hosts}
    return load(tmp_path / "site.yaml"), Farm({"pool": SimulatedQueue("pool", agenda)}, made), plant


def machine(name, *kinds, **fields):
    return Machine(name, virtualizations=frozenset(kinds or (Virtualization.QEMU,)), networks=frozenset({"default"}), **fields)


BOX = "  box: {virtualization: lxc, image: {path: /tree}, network: {kind: host}}\n"
DISK = "  disk: {virtualization: qemu, image: {path: /el9.qcow2}, disk: {mode: overlay}}\n"


def test_a_host_of_another_kind_or_without_the_label_is_not_asked_for_what_others_are_there_for(tmp_path):
    environment = BOX + DISK.replace("disk: {v", "disk: {labels: {rack: a}, v")
    hosts = [machine("lxc1", Virtualization.LXC), machine("q1"), machine("xen1", Virtualization.XEN_PV)]
    found, farm, plant = simulated(tmp_path, environment, hosts, {"lxc1": "", "q1": ", labels: {rack: a}", "xen1": ""})
    assert [live_check.check(found, farm) for _ in range(10)] == [()] * 10
    plant.missing_images |= {"/tree", "/el9.qcow2"}
    told = live_check.check(found, farm)
    assert [(one.fatal, one.message) for one in told] == [
        (True, "not on lxc1: there is no /tree"),
        (True, "not on q1: there is no /el9.qcow2"),
    ]


def test_what_stops_an_environment_is_told_before_what_only_hinders_another(tmp_path):
    hosts = [machine("q1"), machine("q2", pools=(PoolSpace("fast", 1.0),))]
    slow = DISK.replace("overlay}", "overlay, pool: fast}").replace("disk:", "adisk:", 1)
    found, farm, plant = simulated(tmp_path, slow + DISK.replace("el9", "gone"), hosts, {"q1": "", "q2": ""})
    plant.missing_images.add("/gone.qcow2")
    assert [(one.fatal, one.subject) for one in live_check.check(found, farm)] == [
        (True, "environment disk"),
        (False, "environment adisk"),
    ]


def test_two_ways_to_one_machine_are_told_in_one_sentence_at_the_second_one(tmp_path):
    twins = [machine(name, machine="4c4c4544", driver="QEMU") for name in ("q1", "alias")]
    found, farm, _ = simulated(tmp_path, DISK, twins, {"q1": "", "alias": ""})
    (told,) = live_check.check(found, farm)
    assert told.fatal
    assert (told.problem.line, told.problem.key) == (5, "hosts[1].uri")
    assert "alias is the same machine as q1" in str(told)


def test_an_environment_larger_than_a_host_s_share_of_its_machine_is_told(tmp_path):
    half = ", machine_percent: 50"
    hosts = [machine("q1", memory_mib=8192)]
    found, farm, _ = simulated(tmp_path, DISK.replace("disk: {v", "disk: {memory_mib: 6000, v"), hosts, {"q1": half})
    (told,) = live_check.check(found, farm)
    assert "6000 MiB are more than the host has for domains (4096 MiB)" in told.message


def test_a_silent_host_hides_no_mistake_of_the_files(tmp_path):
    found, farm, plant = simulated(tmp_path, DISK, [machine("q1"), machine("q2")], {"q1": "", "q2": ""})
    plant.hosts["q1"].fall_silent()
    plant.missing_images.add("/el9.qcow2")
    assert [one.subject for one in live_check.check(found, farm)] == ["environment disk", "host q1"]


def test_a_host_that_cannot_be_reached_is_named_at_its_uri(check, tmp_path):
    (finding,) = [f for f in check(hosts=(8,)) if f.subject == "host h2"]
    assert finding.unanswered
    assert (finding.problem.line, finding.problem.key) == (3, "hosts[0].uri")


def test_a_silent_batch_system_is_named(check):
    (finding,) = check(silent=True)
    assert (finding.subject, finding.unanswered) == ("batch system pool", True)


@pytest.mark.parametrize(("on_the_host", "problems"), [("a" * 64, []), ("b" * 64, ["environments.el9.image.sha256"])])
def test_another_image_than_the_one_whose_checksum_is_written_is_found_by_the_first_host(tmp_path, on_the_host, problems):
    (tmp_path / "vos").mkdir()
    (tmp_path / "site.yaml").write_text(SITE % tmp_path)
    image = f"{{path: /el9.qcow2, sha256: {'a' * 64}}}"
    environment = f"{{virtualization: xen-pv, image: {image}, disk: {{mode: overlay}}}}"
    (tmp_path / "vos/atlas.yaml").write_text(f"vo: atlas\nenvironments:\n  el9: {environment}\n")
    agenda = Agenda(SimulatedClock())
    plant = Plant(agenda, random.Random(1), {})
    hosts = {name: plant.add(Machine(name, virtualizations=frozenset({Virtualization.XEN_PV}))) for name in ("h1", "h2")}
    plant.checksums["/el9.qcow2"] = on_the_host
    found = live_check.check(load(tmp_path / "site.yaml"), Farm({"pool": SimulatedQueue("pool", agenda)}, hosts))
    assert [finding.problem.key for finding in found] == problems
    assert all(finding.fatal and on_the_host in finding.message and "h2" not in finding.message for finding in found)
