"""`check --live` on real hosts: a healthy farm has no findings, however often and by however many it is asked."""

import json
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.lab.farm import PROGRAM
from tests.lab.lanes import host_entry
from tests.lab.libvirtd import Libvirtd
from tests.lab.tiny import tiny_ramdisk, tiny_tree
from tests.lab.worker_image import kernel

pytestmark = pytest.mark.real
TIMES = 10


@pytest.fixture(scope="module")
def daemons():
    made = [Libvirtd(f"check-{number}-{os.getpid()}", dies_with_parent=True) for number in (1, 2)]
    for daemon in made:
        daemon.start()
    yield made
    for daemon in made:
        daemon.remove()


@pytest.fixture
def site(tmp_path, daemons):
    """Two machines, each with its LXC and its QEMU driver, and environments of both; images lie beside all pools."""
    images = daemons[0].directory / "images"
    images.mkdir(exist_ok=True)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(images / "base.qcow2"), "64M"], check=True, timeout=180)
    small = {"virtualization": "qemu", "memory_mib": 128, "job_memory_mib": 64, "network": {"kind": "user"}}
    boots = {"kernel": str(kernel().image), "initrd": str(tiny_ramdisk())}
    environments = {
        "box": {"virtualization": "lxc", "memory_mib": 64, "job_memory_mib": 32, "network": {"kind": "host"}, "image": {"path": str(tiny_tree())}},
        "diskless": {**small, "image": boots},
        "overlay": {**small, "image": {**boots, "path": str(images / "base.qcow2")}, "disk": {"mode": "overlay"}},
        "copied": {**small, "image": {**boots, "path": str(images / "base.qcow2")}, "disk": {"mode": "copy", "size_gib": 1}},
    }  # fmt: skip
    hosts = [
        host_entry(daemon, driver, name=f"{driver}{number}")
        for number, daemon in enumerate(daemons, 1)
        for driver in ("lxc", "qemu")
    ]
    queue = {"name": "pool", "kind": "simulated"}
    content = {
        "site": "check", "batch_systems": [queue], "hosts": hosts, "vos": {"atlas": {}}, "image_roots": ["/"], "daemon": {"listen": ""},
    }  # fmt: skip
    (tmp_path / "vos").mkdir()
    (tmp_path / "vos/atlas.yaml").write_text(json.dumps({"vo": "atlas", "environments": environments}))
    (tmp_path / "site.yaml").write_text(json.dumps(content))
    return tmp_path / "site.yaml"


def check(site):
    done = subprocess.run(
        [str(PROGRAM), "check", "--live", "--site", str(site)], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=240, check=False
    )  # fmt: skip
    return done.returncode, done.stdout


def changed(site, name, change):
    path = site.parent / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_a_healthy_farm_has_no_findings_ten_times_in_a_row(site):
    for _ in range(TIMES):
        code, said = check(site)
        assert (code, said.splitlines()[1:]) == (0, []), said
        assert said.rstrip().endswith("1 VO, 4 environments, 4 hosts: all is well."), said


def test_nor_has_it_when_several_ask_at_once(site, daemons):
    with ThreadPoolExecutor(3) as pool:
        told = list(pool.map(check, [site] * 3))
    assert [code for code, _ in told] == [0, 0, 0], told
    listed = subprocess.run(["virsh", "-q", "-c", daemons[0].uri("qemu"), "pool-list", "--all", "--name"], capture_output=True, text=True, timeout=180, check=True)  # fmt: skip
    assert listed.stdout.split() == ["workers"]


def test_a_mistake_is_told_first_and_once_and_nothing_of_other_kinds_of_hosts(site):
    def gone(content):
        content["environments"]["box"]["image"]["path"] += "-gone"

    changed(site, "vos/atlas.yaml", gone)
    code, said = check(site)
    assert code == 1
    first = said.splitlines()[0]
    assert "environments.box.image.path: not on lxc1, lxc2: there is no" in first
    assert "offers" not in said


def test_two_ways_to_one_hypervisor_are_told_by_the_machine_itself(site, daemons, tmp_path):
    other = tmp_path / "another-way"
    other.symlink_to(daemons[0].socket)

    def twice(content):
        again = dict(content["hosts"][1])
        content["hosts"].append(again | {"name": "qemu9", "uri": f"qemu+unix:///system?socket={other}"})

    changed(site, "site.yaml", twice)
    code, said = check(site)
    assert code == 1
    assert said.count("qemu9 is the same machine as qemu1") == 1
    assert "1 finding" in said


def test_a_console_directory_that_is_not_there_is_told_once_for_its_host(site):
    def elsewhere(content):
        content["hosts"][1]["options"]["console_directory"] = "/nowhere/consoles"

    changed(site, "site.yaml", elsewhere)
    code, said = check(site)
    assert code == 1
    assert said.count("there is no /nowhere/consoles on the host") == 1
    assert "hosts[1].options.console_directory: qemu1: there is no" in said


@pytest.mark.parametrize("path", ["/etc/shadow", "/srv/../etc/shadow"])
def test_what_belongs_to_the_host_is_no_image_of_anybody_unless_the_site_says_so(site, path):
    changed(site, "site.yaml", lambda content: content.pop("image_roots"))
    changed(site, "vos/atlas.yaml", lambda content: content["environments"]["overlay"]["image"].update(path=path))
    code, said = check(site)
    assert code == 2
    assert "environments.overlay.image.path: '/etc/shadow' belongs to the host itself" in " ".join(said.split())
    assert Path("/etc/shadow").exists()
