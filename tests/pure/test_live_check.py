"""check --live: what the files promise against what hosts and batch systems really have, at the line that is to be changed."""

import random

import pytest

from environments.environment import Virtualization
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


def test_memory_larger_than_some_hosts_only_hinders(check):
    (finding,) = check(environment=ENVIRONMENT.replace("2048", "12 GiB"))
    assert not finding.fatal
    assert "not on h1:" in str(finding)


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
