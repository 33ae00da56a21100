"""Where images may lie: below the site's roots, by default anywhere but in what belongs to the host itself."""

import pytest

from environments.environment import Environment, Image
from environments.roots import outside
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import order


def told(roots=None, resolve=None, **image):
    environment = Environment(name="el9", vo="atlas", virtualization="qemu", memory_mib=1024, image=image)
    return {key: message for key, message, _ in outside(environment, roots, *([resolve] if resolve else []))}


@pytest.mark.parametrize("path", ["/etc/shadow", "/", "/var", "//etc/shadow", "/srv/../etc/shadow", "/dev/sda", "/home/anna/.ssh/id", "/run/x",
                                  "/var/lib", "/./etc/shadow", "/etc", "/root/x"])  # fmt: skip
def test_by_default_what_belongs_to_the_host_is_no_image(path):
    assert "belongs to the host itself" in told(path=path)["path"]
    assert told(kernel=path, initrd=path).keys() == {"kernel", "initrd"}


@pytest.mark.parametrize(
    "path",
    ["/srv/images/el9.qcow2", "/var/lib/libvirt/images/el9", "/boot/vmlinuz", "/etcetera/x", "/nfs/el9", "/srv/x/../el9"],
)
def test_by_default_anything_else_may_be_one(path):
    assert told(path=path, kernel=path) == {}


def test_with_roots_only_what_lies_below_one_of_them_may_be():
    roots = ("/srv/images/", "/boot")
    assert told(roots, path="/srv/images/a/el9.qcow2", kernel="/boot/vmlinuz") == {}
    assert told(roots, path="/srv/images/a/../el9.qcow2") == {}
    for path in ("/srv/images-of-others/x", "/srv/images/../../etc/shadow", "/srv", "/bootx", "/nfs/el9"):
        assert told(roots, path=path).keys() == {"path"}
    assert told(("/",), path="/etc/shadow", kernel="/root/k") == {}


def test_volumes_of_pools_are_not_concerned():
    assert told(("/srv",), pool="luns", volume="unit:0:0:1") == {}


def test_a_path_is_written_as_it_was_checked():
    assert Image(path="/srv//images/./a/../el9.qcow2").path == "/srv/images/el9.qcow2"


def test_where_a_link_leads_counts_on_the_machine_that_can_follow_it(tmp_path):
    from connectors.libvirt import connect

    (tmp_path / "images").mkdir()
    (tmp_path / "secret").write_text("x")
    (tmp_path / "images/link").symlink_to(tmp_path / "secret")
    image = {"kernel": str(tmp_path / "images/link"), "initrd": str(tmp_path / "images/link")}
    environment = Environment(name="el9", vo="atlas", virtualization="qemu", memory_mib=512, image=image)
    host = connect("h1", "test:///default", {"image_roots": [str(tmp_path / "images")]}, site="x", deadline_seconds=5.0)
    assert all(f"leads to {tmp_path}/secret" in line for line in host.check(environment))
    with pytest.raises(SourceError, match="outside the site's image_roots"):
        host.boot(order(environment))
    host.close()
