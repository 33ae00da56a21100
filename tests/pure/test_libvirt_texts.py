"""What the libvirt connector reads from and writes as text: capabilities, volumes, the enrolment's tar."""

import io
import tarfile
from pathlib import Path

import pytest

from connectors.libvirt.enrolment import config_tar
from connectors.libvirt.iscsi import hindrance, overlay_capacity
from connectors.libvirt.options import LibvirtOptions
from connectors.libvirt.reading import offered_virtualizations
from connectors.libvirt.storage import volume_names, volume_xml
from environments.domain import Driver
from environments.environment import Environment, Virtualization


def guest(system, arch, *kinds):
    domains = "".join(f"<domain type='{kind}'/>" for kind in kinds)
    return f"<guest><os_type>{system}</os_type><arch name='{arch}'>{domains}</arch></guest>"


def capabilities(*guests):
    return f"<capabilities><host><cpu><arch>x86_64</arch></cpu></host>{''.join(guests)}</capabilities>"


@pytest.mark.parametrize(
    ("driver", "text", "offered"),
    [
        (Driver.XEN, capabilities(guest("xen", "x86_64", "xen"), guest("xenpvh", "x86_64", "xen")), {"xen-pv", "xen-pvh"}),
        (Driver.XEN, capabilities(guest("xen", "x86_64", "xen"), guest("hvm", "x86_64", "xen")), {"xen-pv", "xen-hvm"}),
        (Driver.QEMU, capabilities(guest("hvm", "x86_64", "qemu")), {"qemu"}),
        (
            Driver.QEMU,
            capabilities(guest("hvm", "i686", "qemu", "kvm"), guest("hvm", "x86_64", "qemu", "kvm")),
            {"qemu", "kvm"},
        ),
        (Driver.QEMU, capabilities(guest("hvm", "aarch64", "qemu")), set()),
        (Driver.LXC, capabilities(guest("exe", "x86_64", "lxc")), {"lxc"}),
        (Driver.TEST, capabilities(guest("hvm", "i686", "test")), set(Virtualization)),
        (Driver.QEMU, capabilities(), set()),
    ],
)
def test_a_host_offers_what_its_capabilities_hold(driver, text, offered):
    assert offered_virtualizations(text, driver) == offered


def test_the_tar_of_an_enrolment_is_whole_blocks_and_always_the_same():
    files = {"parameters": b"worker=w\n", "token": b"x" * 70000}
    content = config_tar(files)
    assert len(content) % 65536 == 0
    assert content == config_tar(files)
    assert content[257:262] == b"ustar"
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        assert {member.name: tar.extractfile(member).read() for member in tar} == files
        assert {member.mode for member in tar} == {0o600}


def test_volumes_of_two_sites_with_workers_of_one_name_differ():
    first, second = (volume_names("atlas-el9-1", uuid) for uuid in ("11111111-0000", "22222222-0000"))
    assert not set(first) & set(second)
    assert all(name.startswith("atlas-el9-1-") for name in (*first, *second))


def test_markup_in_the_name_of_an_image_does_not_become_markup():
    text = volume_xml("v", 1, "qcow2", ("/images/<a>&b.qcow2", "qcow2"))
    assert "/images/&lt;a&gt;&amp;b.qcow2" in text


def on_a_lun(virtualization, mode="overlay"):
    image = {"pool": "luns", "volume": "unit:0:0:1"}
    return Environment.model_validate(
        {"name": "el9", "vo": "atlas", "virtualization": virtualization, "image": image, "disk": {"mode": mode}}
    )


@pytest.mark.parametrize(
    ("virtualization", "mode", "kind", "driver", "says"),
    [
        ("qemu", "overlay", "iscsi-direct", Driver.QEMU, ""),
        ("kvm", "overlay", "iscsi-direct", Driver.QEMU, ""),
        ("xen-hvm", "copy", "iscsi", Driver.XEN, ""),
        ("xen-hvm", "overlay", "iscsi-direct", Driver.XEN, "image.pool: 'luns' is an iscsi-direct pool, which only QEMU reads by itself: xen-hvm needs a pool that the host's kernel serves (iscsi, logical, dir)"),
        ("qemu", "copy", "iscsi-direct", Driver.QEMU, "disk.mode: copy of a volume in the iscsi-direct pool 'luns': libvirt cannot copy from it, only overlay it"),
        ("qemu", "lvm", "iscsi-direct", Driver.QEMU, "disk.mode: lvm of a volume in the iscsi-direct pool 'luns': libvirt cannot copy from it, only overlay it"),
    ],
)  # fmt: skip
def test_what_cannot_be_done_with_a_pool_of_luns_is_told_before_it_is_tried(virtualization, mode, kind, driver, says):
    assert hindrance(on_a_lun(virtualization, mode), kind, driver) == says


def test_an_overlay_is_never_smaller_than_a_lun_that_libvirt_tells_one_block_too_small():
    assert overlay_capacity(4 * 2**20 - 512, 0) == 4 * 2**20
    assert overlay_capacity(4 * 2**20, 0) == 5 * 2**20
    assert overlay_capacity(4 * 2**20, 2**30) == 2**30


def test_every_option_of_a_host_is_explained():
    page = (Path(__file__).parents[2] / "docs/howto/connect-a-host.md").read_text()
    for name, field in LibvirtOptions.model_fields.items():
        assert f"`{name}`" in page, name
        assert field.description
