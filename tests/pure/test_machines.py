"""Hosts that are one machine: told by their URIs where these tell, else by the machine itself; nothing counts twice."""

import pytest

from environments.problems import ConfigurationError
from scheduler.model.readings import Unanswered
from scheduler.observe.machines import count_machines_once
from scheduler.site.definitions import load
from tests.pure.builders import NOW, a_cluster, a_domain, a_host, a_policy, boots, plan_for

SITE = """\
site: perugia
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts:
%s
vos: {atlas: {file: atlas.yaml}}
"""


def refused(tmp_path, *hosts):
    """What `check` holds against these hosts: (URI, further keys)."""
    lines = [f"  - {{name: h{n}, uri: '{uri}'{more}}}" for n, (uri, more) in enumerate(hosts, 1)]
    (tmp_path / "site.yaml").write_text(SITE % "\n".join(lines))
    (tmp_path / "atlas.yaml").write_text(
        "vo: atlas\nenvironments: {el9: {virtualization: qemu, image: {kernel: /k, initrd: /i}, memory_mib: 1024}}\n"
    )
    try:
        load(tmp_path / "site.yaml")
    except ConfigurationError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu:///system", "qemu+unix:///system"),
        ("qemu:///system", "qemu+ssh://root@localhost/system"),
        ("qemu+ssh://root@A.example.org/system", "qemu+tls://a.example.org./system/"),
        ("qemu+ssh://xen2/system", "qemu+ssh://root@XEN2:22/system?no_tty=1"),
        ("qemu+tcp://xen2/system", "qemu+tls://xen2:16514/system"),
        ("qemu+unix:///system?socket=/run/x", "qemu+unix:///system?mode=direct&socket=/run/x"),
        ("test:///default", "test:///default"),
    ],
)
def test_two_uris_of_one_hypervisor_are_refused_at_the_second(tmp_path, first, second):
    (problem,) = refused(tmp_path, (first, ""), (second, ", machine_percent: 50"))
    assert "hosts[1].uri: h2 is the same hypervisor as h1" in problem


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("qemu+ssh://a.example.org/system", "qemu+ssh://b.example.org/system"),
        ("qemu+tls://a.example.org:16514/system", "qemu+tls://a.example.org:16515/system"),
        ("qemu+unix:///system?socket=/run/x", "qemu+unix:///system?socket=/run/y"),
        ("test:///srv/host.xml", "test:///srv/host.xml"),
    ],
)
def test_what_may_be_two_is_not_refused(tmp_path, first, second):
    assert refused(tmp_path, (first, ""), (second, "")) == []


def test_two_drivers_of_one_machine_say_which_share_each_has(tmp_path):
    uris = "qemu:///system", "lxc:///system"
    (problem,) = refused(tmp_path, *((uri, "") for uri in uris))
    assert "h1 and h2 are one machine, and have 200 % of its cores and memory together" in problem
    assert "a machine_percent for each, at most 100 together" in problem
    assert len(refused(tmp_path, (uris[0], ", machine_percent: 60"), (uris[1], ", machine_percent: 50"))) == 1
    assert refused(tmp_path, (uris[0], ", machine_percent: 60"), (uris[1], ", machine_percent: 40")) == []


# --- at run time ------------------------------------------------------------------------------------------------------


def readings(*hosts):
    return {host.host: host for host in hosts}


def count(*hosts, **percents):
    counted = count_machines_once(readings(*hosts), lambda name: percents.get(name, 100))
    return {name: (one.same_as, one.cpus, one.memory_mib, len(one.domains)) for name, one in counted.items()}


def test_the_same_driver_of_one_machine_counts_once_with_its_domains():
    twins = [a_host(name, a_domain(), machine="m", driver="QEMU", cpus=8, memory_mib=1000) for name in ("h1", "h2")]
    assert count(*twins) == {"h1": ("", 8, 1000, 1), "h2": ("h1", 0, 0, 0)}
    assert count(*twins, h1=50, h2=50)["h2"] == ("h1", 0, 0, 0)


def test_another_driver_counts_within_its_share_or_not_at_all():
    qemu = a_host("h1", machine="m", driver="QEMU", cpus=8, memory_mib=1000)
    lxc = a_host("h2", a_domain(memory_mib=300), machine="m", driver="LXC", cpus=8, memory_mib=1000)
    assert count(qemu, lxc, h1=75, h2=25) == {"h1": ("", 6, 750, 0), "h2": ("", 2, 250, 1)}
    assert count(qemu, lxc, h1=99, h2=1)["h2"] == ("", 1, 10, 1)
    assert count(qemu, lxc) == {"h1": ("", 8, 700, 0), "h2": ("h1", 0, 0, 1)}


def test_hosts_whose_machine_is_not_known_and_silent_ones_are_left_as_they_are():
    assert count(a_host("h1", cpus=8, memory_mib=1000), a_host("h2", cpus=8, memory_mib=1000))["h2"] == ("", 8, 1000, 0)
    mute = Unanswered("h1", "connection refused", NOW)
    assert count_machines_once({"h1": mute}, lambda _: 100) == {"h1": mute}


def test_nothing_is_placed_on_a_machine_that_counts_already_and_why_is_said_once():
    hosts = [a_host("h1", cpus=4), a_host("h2", cpus=0, memory_mib=0, machine="m", same_as="h1")]
    plan = plan_for(a_cluster(idle=8), hosts=hosts, policy=a_policy(hosts=("h1", "h2")))
    assert {one.host for one in boots(plan)} == {"h1"}
    assert plan.hosts["h2"].reasons[0].code == "same-machine"
    assert "h2 is the same machine as h1" in plan.hosts["h2"].reasons[0].sentence
