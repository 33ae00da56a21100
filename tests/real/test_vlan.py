"""VLAN tags on a real Open vSwitch: each worker's port carries the tag of its environment, and traffic keeps to it."""

import os
import subprocess

import libvirt
import pytest

from connectors.libvirt import connect
from environments.environment import Environment
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, order
from tests.lab.libvirtd import Libvirtd
from tests.lab.switch import Switch
from tests.lab.tiny import tiny_ramdisk, tiny_tree
from tests.lab.worker_image import kernel

pytestmark = pytest.mark.real
NETWORKS = {
    "tagged": "<network><name>tagged</name><forward mode='bridge'/><bridge name='ovs0'/><virtualport type='openvswitch'/></network>",
    "plain": "<network><name>plain</name><forward mode='bridge'/><bridge name='br0'/></network>",
}


@pytest.fixture(scope="module")
def switch():
    switch = Switch(f"vlan-{os.getpid()}")
    yield switch
    switch.remove()


@pytest.fixture(scope="module")
def daemon(switch):
    daemon = Libvirtd(
        f"vlan-{os.getpid()}", dies_with_parent=True, network_namespace=switch.namespace, environment=switch.environment
    )
    daemon.start()
    switch.inside("ip", "link", "add", "br0", "type", "bridge")
    for bridge in ("br0", switch.BRIDGE):
        switch.inside("ip", "link", "set", bridge, "up")
    connection = libvirt.open(daemon.uri("qemu"))
    for xml in NETWORKS.values():
        connection.networkCreateXML(xml)
    connection.close()
    yield daemon
    daemon.remove()


@pytest.fixture
def hosts(daemon):
    hosts = {
        driver: connect(driver, daemon.uri(driver), daemon.options(), site=SITE, deadline_seconds=120.0)
        for driver in ("qemu", "lxc")
    }
    yield hosts
    for driver, host in hosts.items():
        connection = libvirt.open(daemon.uri(driver))
        for domain in connection.listAllDomains():
            domain.destroy()
        connection.close()
        host.close()


def machine(vlan, **network):
    image = {"kernel": str(kernel().image), "initrd": str(tiny_ramdisk())}
    network = {"kind": "bridge", "source": "ovs0", "vlan": vlan, **network}
    return Environment.model_validate(
        {"name": f"vm{vlan}", "vo": "atlas", "virtualization": "qemu", "memory_mib": 128, "job_memory_mib": 64, "image": image, "network": network}
    )  # fmt: skip


def container(name, vlan):
    network = {"kind": "bridge", "source": "ovs0", "vlan": vlan}
    image = {"path": str(tiny_tree())}
    return Environment.model_validate(
        {"name": name, "vo": "atlas", "virtualization": "lxc", "memory_mib": 64, "job_memory_mib": 32, "image": image, "network": network}
    )  # fmt: skip


def test_the_port_of_a_machine_carries_the_tag_and_goes_with_it(hosts, switch):
    by_bridge, by_network = order(machine(7)), order(machine(120, kind="libvirt", source="tagged"))
    for one in (by_bridge, by_network):
        assert hosts["qemu"].check(one.environment) == ()
        hosts["qemu"].boot(one)
    assert sorted(switch.tags().values()) == ["120", "7"]
    for one in (by_bridge, by_network):
        hosts["qemu"].power_off(one.worker, one.uuid)
        hosts["qemu"].clean_up(one.worker, one.uuid)
    assert switch.tags() == {}


def test_workers_of_one_vlan_reach_each_other_and_no_others(hosts, daemon, switch):
    guests = {}
    for number, (name, vlan) in enumerate((("one", 7), ("two", 7), ("other", 8)), 1):
        asked = order(container(name, vlan))
        hosts["lxc"].boot(asked)
        guests[name] = daemon.guest_pid(asked.worker, "lxc")
        within(guests[name], "ip", "link", "set", "eth0", "up")
        within(guests[name], "ip", "addr", "add", f"192.0.2.{number}/24", "dev", "eth0")
    assert sorted(switch.tags().values()) == ["7", "7", "8"]
    assert within(guests["one"], "busybox", "ping", "-c", "3", "-w", "3", "192.0.2.2") == 0
    assert within(guests["two"], "busybox", "ping", "-c", "1", "-w", "2", "192.0.2.1") == 0
    assert within(guests["one"], "busybox", "ping", "-c", "2", "-w", "1", "192.0.2.3") != 0
    assert within(guests["other"], "busybox", "ping", "-c", "2", "-w", "1", "192.0.2.1") != 0


def within(pid, *words):
    """Run a program in a guest's network."""
    return subprocess.run(["nsenter", "-t", str(pid), "-n", *words], capture_output=True, timeout=120, check=False).returncode


def test_a_plain_bridge_cannot_tag_and_that_is_told(hosts):
    of_bridge, of_network = machine(7, source="br0"), machine(7, kind="libvirt", source="plain")
    (told,) = hosts["qemu"].check(of_bridge)
    assert (
        told
        == "network.vlan: 'br0' is a Linux bridge; tags are tied to ports of Open vSwitch, or to a libvirt network that can"
    )
    with pytest.raises(SourceError, match=r"Unable to add port .* to OVS bridge br0"):
        hosts["qemu"].boot(order(of_bridge))
    told = hosts["qemu"].check(of_network)
    refused = "vlan tag not supported for this connection type"
    if told:
        assert told[0].startswith("network.vlan: libvirt ")
        assert "ties no tags in network 'plain'; one on a bridge of Open vSwitch is needed" in told[0]
        with pytest.raises(SourceError, match=refused):
            hosts["qemu"].boot(order(of_network))
    else:  # libvirt 11 and later
        hosts["qemu"].boot(order(of_network))
