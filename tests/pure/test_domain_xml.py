"""Domain XML from environments: the texts in `domains/` are what libvirt is given, word for word."""

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments.domain import (
    DiskSource,
    DomainPieces,
    Driver,
    LUNSource,
    domain_xml,
    kernel_command_line,
    mac_address,
    parse_identity,
)
from environments.domain_identity import ServiceIdentity, WorkerIdentity
from environments.environment import Environment

GOLDEN = Path(__file__).parent / "domains"
UUID = "7c1b2b1e-3a54-5c2f-9d6e-0f1e2d3c4b5a"
KERNEL = {"kernel": "/images/vmlinuz", "initrd": "/images/worker.img"}
PARAMETERS = {"worker": "atlas-el9-17", "pool": "10.0.0.1:9618", "note": "two words", "empty": ""}
CONFIG = DiskSource("/pool/atlas-el9-17-7c1b2b1e.config")
OVERLAY = DiskSource("/pool/atlas-el9-17-7c1b2b1e.disk", "qcow2")
LVM = DiskSource("/dev/vg0/atlas-el9-17-7c1b2b1e.disk", "raw", block=True)


def identity(**changes):
    values = {
        "site": "pi",
        "machine": "atlas-el9-17",
        "environment": "atlas-el9",
        "version": "2024-11-05",
        "vo": "atlas",
        "batch_system": "pool",
        "serial": 17,
        "requested_at": 1732233600.25,
        "address": None,
    }
    return WorkerIdentity(**{**values, **changes})


def pieces(virtualization, *, disk=None, config=CONFIG, console_log=None, address=None, **fields):
    environment = Environment.model_validate(
        {"name": "atlas-el9", "vo": "atlas", "vcpus": 2, "memory_mib": 4096, "virtualization": virtualization, **fields}
    )
    return DomainPieces(UUID, environment, identity(address=address), PARAMETERS, disk, config, console_log)


LUN = LUNSource("iqn.2024-11.org.example:images", 3, "10.0.0.9", 3260, "raw", "iqn.2024-11.org.example:node7", "farm", {"usage": "farm"})  # fmt: skip
CASES = {
    "xen-pv-diskless-bridge": (
        Driver.XEN,
        pieces("xen-pv", image=KERNEL, network={"kind": "bridge", "source": "xenbr1"}, address="10.0.2.16/24"),
    ),
    "xen-pv-lvm-pygrub": (Driver.XEN, pieces("xen-pv", disk=LVM, network={"kind": "bridge", "source": "xenbr0"})),
    "xen-pvh-diskless": (Driver.XEN, pieces("xen-pvh", image=KERNEL)),
    "xen-hvm-overlay-vlan": (
        Driver.XEN,
        pieces("xen-hvm", disk=OVERLAY, network={"kind": "bridge", "source": "ovs0", "vlan": 120}),
    ),
    "qemu-diskless-user": (
        Driver.QEMU,
        pieces("qemu", image={**KERNEL, "cmdline": "quiet panic=1"}, network={"kind": "user"}, console_log="/var/log/atlas-el9-17.log"),
    ),
    "qemu-overlay-network-vlan": (
        Driver.QEMU,
        pieces("qemu", disk=OVERLAY, network={"kind": "libvirt", "source": "batch", "vlan": 7}),
    ),
    "kvm-iscsi-bridge": (
        Driver.QEMU,
        pieces("kvm", disk=DiskSource("/dev/disk/by-path/ip-10.0.0.9:3260-lun-1", "raw", block=True), network={"kind": "bridge", "source": "br0"}),
    ),
    "qemu-overlay-over-lun": (
        Driver.QEMU,
        pieces("qemu", disk=DiskSource("/pool/atlas-el9-17-7c1b2b1e.disk", "qcow2", over=LUN), network={"kind": "user"}),
    ),
    "lxc-host-network": (
        Driver.LXC,
        pieces("lxc", image={"path": "/images/el9"}, config="/run/ambienti/atlas-el9-17-7c1b2b1e", network={"kind": "host"}),
    ),
    "lxc-own-init-bridge": (
        Driver.LXC,
        pieces("lxc", image={"path": "/images/el9", "cmdline": "/init worker"}, config=None, network={"kind": "bridge", "source": "br0"}),
    ),
    "test-xen-pv": (Driver.TEST, pieces("xen-pv", image=KERNEL)),
    "test-lxc": (Driver.TEST, pieces("lxc", image={"path": "/images/el9"}, network={"kind": "host"})),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_domain_xml_is_as_written_down(name):
    driver, made_of = CASES[name]
    assert domain_xml(made_of, driver) == (GOLDEN / f"{name}.xml").read_text()


def test_every_text_written_down_is_tested():
    assert {path.stem for path in GOLDEN.glob("*.xml")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_the_identity_comes_back_from_the_domain_xml(name):
    driver, made_of = CASES[name]
    assert parse_identity(domain_xml(made_of, driver)) == made_of.identity


TEXT = st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1, max_size=30).filter(lambda text: "￾" not in text and "￿" not in text)  # fmt: skip


@given(
    site=TEXT, machine=TEXT, version=TEXT, vo=TEXT, serial=st.integers(0, 10**9),
    at=st.floats(0, 4e9), address=st.none() | st.just("10.0.2.16/24"),
)  # fmt: skip
def test_any_identity_survives_the_journey_through_xml(*, site, machine, version, vo, serial, at, address):
    carried = identity(site=site, machine=machine, version=version, vo=vo, serial=serial, requested_at=at, address=address)
    made_of = replace(CASES["qemu-diskless-user"][1], identity=carried)
    assert parse_identity(domain_xml(made_of, Driver.QEMU)) == carried


@pytest.mark.parametrize(
    "xml",
    [
        "",
        "not xml",
        "<domain><name>x</name></domain>",
        "<domain><metadata><other xmlns='urn:x'/></metadata></domain>",
        "<domain><metadata><worker xmlns='urn:x'><site>pi</site></worker></metadata></domain>",
        "<domain><metadata><a:worker xmlns:a='urn:ambienti:identity:1'><a:site>pi</a:site></a:worker></metadata></domain>",
        "<machine><role>database</role><site>pi</site><machine>ce-1</machine></machine>",
        "<machine><role>service</role><site>pi</site><machine>ce-1</machine></machine>",
    ],
)
def test_a_domain_without_our_whole_identity_is_a_stranger(xml):
    assert parse_identity(xml) is None


def test_an_identity_with_a_serial_that_is_no_number_is_a_strangers():
    driver, made_of = CASES["xen-pvh-diskless"]
    assert parse_identity(domain_xml(made_of, driver).replace(">17<", ">seventeen<")) is None


def test_an_identity_is_read_from_the_metadata_element_alone_as_libvirt_hands_it_out():
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in {
        "role": "worker", "site": "pi", "machine": "atlas-el9-17", "environment": "atlas-el9", "version": "2024-11-05", "vo": "atlas",
        "batch_system": "pool", "serial": 17, "requested_at": 1732233600.25,
    }.items())  # fmt: skip
    assert parse_identity(f"<machine>{fields}</machine>") == identity()


def test_a_worker_of_before_machines_is_known_by_the_metadata_that_it_carries():
    xml = (Path(__file__).parent / "old_domains" / "0.1-worker.xml").read_text()
    assert parse_identity(xml) == CASES["xen-hvm-overlay-vlan"][1].identity
    inner = xml.partition("<metadata>")[2].partition("</metadata>")[0].replace("ambienti:", "")
    assert parse_identity(inner) == CASES["xen-hvm-overlay-vlan"][1].identity, "as libvirt hands it out"


def test_a_machine_of_a_service_is_known_with_the_generation_of_its_placement():
    fields = "<site>pi</site><machine>ce-1</machine><generation>3</generation><requested_at>1732233600.25</requested_at>"
    found = parse_identity(f"<machine><role>service</role>{fields}</machine>")
    assert found == ServiceIdentity("pi", "ce-1", 3, 1732233600.25)


def test_markup_in_a_value_does_not_become_markup():
    made_of = pieces("qemu", image={"kernel": "/images/<evil>&'\".img", "cmdline": "a='<b/>'"}, network={"kind": "user"})
    root = ET.fromstring(domain_xml(made_of, Driver.QEMU))
    assert root.findtext("os/kernel") == "/images/<evil>&'\".img"
    assert "a='<b/>'" in root.findtext("os/cmdline")


def test_a_xen_pv_command_line_that_xen_would_cut_is_refused():
    fits = pieces("xen-pv", image={**KERNEL, "cmdline": "x" * 900})
    longer = pieces("xen-pv", image={**KERNEL, "cmdline": "x" * 1000})
    assert len(kernel_command_line(fits).encode()) <= 1023
    with pytest.raises(ValueError, match="Xen PV cuts it at 1023"):
        domain_xml(longer, Driver.XEN)


def test_longer_command_lines_are_left_to_those_who_take_them():
    longer = pieces("xen-pvh", image={**KERNEL, "cmdline": "x" * 1500})
    assert "x" * 1500 in domain_xml(longer, Driver.XEN)


def test_parameters_of_several_words_stay_off_the_command_line():
    line = kernel_command_line(CASES["qemu-diskless-user"][1])
    assert "ambienti.pool=10.0.0.1:9618" in line.split()
    assert "note" not in line
    assert "empty" not in line


def test_mac_addresses_are_the_workers_own_and_in_the_range_of_the_hypervisor():
    assert mac_address(UUID, xen=True) == mac_address(UUID, xen=True)
    assert mac_address(UUID, xen=True).startswith("00:16:3e:")
    assert mac_address(UUID, xen=False).startswith("52:54:00:")
    assert mac_address(UUID, xen=False) != mac_address(UUID.replace("7", "8"), xen=False)
