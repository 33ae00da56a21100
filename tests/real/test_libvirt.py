"""The libvirt connector on a real libvirtd: what it delivers to guests, which disks it makes, and how it bears silence."""

import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import tarfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import libvirt
import pytest
from pydantic import ValidationError

from connectors.libvirt import connect
from connectors.libvirt.checking import guest_lives
from connectors.libvirt.line import HostConnection
from connectors.libvirt.places import directory_pool_xml
from environments.environment import Environment, Virtualization
from scheduler.model.hosts import Stored
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SECRET, SITE, Listener, order
from tests.lab.libvirtd import Libvirtd
from tests.lab.tiny import tiny_ramdisk, tiny_tree
from tests.lab.worker_image import kernel

pytestmark = pytest.mark.real
DOMAINS = sorted((Path(__file__).parents[1] / "pure/domains").glob("*.xml"))
GIB = 1024**3


@pytest.fixture(scope="module")
def daemon():
    daemon = Libvirtd(f"real-{os.getpid()}", dies_with_parent=True)
    daemon.start()
    yield daemon
    daemon.remove()


@pytest.fixture(scope="module")
def images(daemon):
    """Base images beside the pools, as on a shared file system that is no libvirt pool."""
    directory = daemon.directory / "images"
    directory.mkdir(exist_ok=True)
    for kind in ("qcow2", "raw"):
        subprocess.run(
            ["qemu-img", "create", "-q", "-f", kind, str(directory / f"base.{kind}"), "64M"], check=True, timeout=180
        )
    return directory


@pytest.fixture
def host(daemon):
    yield from opened(daemon, "qemu")


@pytest.fixture
def containers(daemon):
    yield from opened(daemon, "lxc")


def opened(daemon, driver, **options):
    host = connect(f"{driver}1", daemon.uri(driver), daemon.options(**options), site=SITE, deadline_seconds=120.0)
    yield host
    host.close()
    if not daemon.answers():
        daemon.recover()
    connection = libvirt.open(daemon.uri(driver))
    for domain in connection.listAllDomains():
        domain.destroy()
    for place in (daemon.volumes, daemon.directory / "enrolment"):
        for path in place.iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    connection.storagePoolLookupByName("workers").refresh()


def machine(name, **fields):
    given = {"image": {"kernel": str(kernel().image), "initrd": str(tiny_ramdisk()), **fields.pop("image", {})}}
    return Environment.model_validate(
        {"name": name, "vo": "atlas", "virtualization": "qemu", "memory_mib": 128, "job_memory_mib": 64, "network": {"kind": "user"}, **given, **fields}
    )  # fmt: skip


def container(name="box", **fields):
    return Environment.model_validate(
        {"name": name, "vo": "atlas", "virtualization": "lxc", "memory_mib": 64, "job_memory_mib": 32, "network": {"kind": "host"},
         "image": {"path": str(tiny_tree())}, **fields}
    )  # fmt: skip


def disk_info(path):
    text = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", str(path)], check=True, capture_output=True, timeout=180
    ).stdout
    return json.loads(text)


# --- the text ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DOMAINS, ids=lambda path: path.stem)
def test_the_domain_xml_of_every_dialect_is_valid_by_libvirts_own_schema(path):
    connection = libvirt.open("test:///default")
    try:
        connection.createXML(path.read_text(), libvirt.VIR_DOMAIN_START_VALIDATE).destroy()
        with pytest.raises(libvirt.libvirtError, match="schema"):
            connection.createXML(
                path.read_text().replace("<vcpu>", "<vcpus>1</vcpus><vcpu>"), libvirt.VIR_DOMAIN_START_VALIDATE
            )
    finally:
        connection.close()


# --- what reaches the guest ----------------------------------------------------------------------------------------------


def test_a_machine_gets_parameters_and_secrets_on_a_small_private_disk(host, daemon):
    asked = order(machine("disk"), address="10.0.2.17/24")
    host.boot(asked)
    (path,) = daemon.volumes.glob("*.config")
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    with tarfile.open(fileobj=io.BytesIO(path.read_bytes())) as tar:
        content = {member.name: tar.extractfile(member).read() for member in tar}
    assert content["token"] == SECRET
    lines = dict(line.split("=", 1) for line in content["parameters"].decode().splitlines())
    assert lines["worker"] == asked.worker
    assert lines["pool"] == "127.0.0.2:9618"
    assert lines["address"] == "10.0.2.17/24"
    command = Path(f"/proc/{daemon.guest_pid(asked.worker, 'qemu')}/cmdline").read_bytes()
    assert b"ambienti.pool=127.0.0.2:9618" in command
    assert SECRET not in command


def test_a_container_gets_them_in_a_private_directory_and_can_write_only_to_memory(containers, daemon):
    asked = order(container())
    containers.boot(asked)
    (directory,) = (daemon.directory / "enrolment").iterdir()
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((directory / "token").stat().st_mode) == 0o600
    root = f"/proc/{init_of(daemon, asked.worker)}/root"
    assert Path(f"{root}/ambienti/token").read_bytes() == SECRET
    assert "worker=box-1\n" in Path(f"{root}/ambienti/parameters").read_text()
    for place, writable in (("/", False), ("/ambienti", False), ("/run", True), ("/tmp", True), ("/var", True)):
        try:
            Path(f"{root}{place}/probe").write_text("x")
            assert writable, f"{place} of a container can be written to"
        except OSError:
            assert not writable, f"{place} of a container cannot be written to"
    assert not (tiny_tree() / "run/probe").exists()


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def init_of(daemon, worker):
    """The first process of a container, once it listens to signals (it then sleeps in a child)."""
    init = daemon.guest_pid(worker, "lxc")
    until = time.monotonic() + 120
    while not children(init):
        assert time.monotonic() < until, "the container does not come up"
        time.sleep(0.02)
    return init


def test_a_secret_cannot_take_the_place_of_the_parameters_or_leave_its_directory(containers, daemon):
    for name in ("parameters", "../escape", ""):
        asked = order(container())
        asked.enrolment.files[name] = b"x"
        with pytest.raises(SourceError, match="cannot be the name of a file"):
            containers.boot(asked)
        assert not list((daemon.directory / "enrolment").iterdir())


# --- disks ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_an_overlay_is_made_over_an_image_outside_all_pools(host, daemon, images, kind):
    base = images / f"base.{kind}"
    asked = order(machine("over", image={"path": str(base), "format": kind}, disk={"mode": "overlay", "size_gib": 1}))
    assert host.check(asked.environment) == ()
    host.boot(asked)
    (path,) = daemon.volumes.glob("over-*.disk")
    info = disk_info(path)
    assert (info["format"], info["backing-filename"], info["virtual-size"]) == ("qcow2", str(base), GIB)
    host.power_off(asked.worker, asked.uuid)
    host.clean_up(asked.worker, asked.uuid)
    assert not list(daemon.volumes.iterdir())
    assert base.exists()


def test_an_overlay_is_never_smaller_than_its_image(host, daemon, images):
    big = images / "big.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(big), "3G"], check=True, timeout=180)
    host.boot(order(machine("big", image={"path": str(big)}, disk={"mode": "overlay", "size_gib": 1})))
    assert disk_info(next(daemon.volumes.glob("big-*.disk")))["virtual-size"] == 3 * GIB
    host.power_off("big-1", order(machine("big")).uuid)
    host.clean_up("big-1", order(machine("big")).uuid)


def test_an_overlay_is_made_over_a_volume_that_another_host_has_just_put_into_the_pool(host, daemon):
    host.read()
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", str(daemon.volumes / "late.qcow2"), "64M"], check=True, timeout=180
    )
    asked = order(machine("late", image={"pool": "workers", "volume": "late.qcow2"}, disk={"mode": "overlay", "size_gib": 1}))
    host.boot(asked)
    assert disk_info(next(daemon.volumes.glob("late-*.disk")))["backing-filename"] == str(daemon.volumes / "late.qcow2")
    host.power_off(asked.worker, asked.uuid)
    host.clean_up(asked.worker, asked.uuid)
    assert [path.name for path in daemon.volumes.iterdir()] == ["late.qcow2"]
    (daemon.volumes / "late.qcow2").unlink()


@pytest.mark.parametrize("image", [{}, {"format": "qcow2"}], ids=["blank", "filled"])
def test_a_disk_of_a_pool_that_knows_no_formats_is_raw(host, daemon, images, image):
    """A volume group has none of its own here: a directory pool stands for it."""
    given = {"path": str(images / "base.qcow2"), **image} if image else {}
    asked = order(machine("group", image=given, disk={"mode": "lvm", "pool": "workers", "size_gib": 1}))
    host.boot(asked)
    info = disk_info(next(daemon.volumes.glob("group-*.disk")))
    assert (info["format"], info["virtual-size"]) == ("raw", GIB)
    host.power_off(asked.worker, asked.uuid)
    host.clean_up(asked.worker, asked.uuid)
    assert not list(daemon.volumes.iterdir())


@pytest.mark.parametrize("kind", ["qcow2", "raw"])
def test_a_copy_stands_on_its_own(host, daemon, images, kind):
    base = images / f"base.{kind}"
    asked = order(machine("copy", image={"path": str(base), "format": kind}, disk={"mode": "copy", "size_gib": 1}))
    host.boot(asked)
    info = disk_info(next(daemon.volumes.glob("copy-*.disk")))
    assert (info["format"], info["virtual-size"]) == (kind, GIB)
    assert "backing-filename" not in info
    host.power_off(asked.worker, asked.uuid)
    host.clean_up(asked.worker, asked.uuid)
    assert not list(daemon.volumes.iterdir())


def test_an_image_with_another_checksum_than_its_definition_s_is_told(host, images):
    image = images / "base.qcow2"
    right = hashlib.sha256(image.read_bytes()).hexdigest()
    for path in (image, images / "base.raw"):
        content = {"path": str(path), "sha256": right}
        found = list(host.check(machine("sealed", image=content, disk={"mode": "overlay", "size_gib": 1})))
        other = hashlib.sha256(path.read_bytes()).hexdigest()
        assert found == ([] if other == right else [f"image.sha256: the image on the host has {other}"])


def test_volumes_left_by_an_attempt_that_was_cut_are_made_anew(host, daemon, images):
    asked = order(machine("cut", image={"path": str(images / "base.qcow2")}, disk={"mode": "overlay", "size_gib": 1}))
    left = daemon.volumes / f"{asked.worker}-{asked.uuid[:8]}.disk"
    left.write_bytes(b"half a disk")
    host.boot(asked)
    assert disk_info(left)["format"] == "qcow2"
    host.power_off(asked.worker, asked.uuid)
    host.clean_up(asked.worker, asked.uuid)
    assert not list(daemon.volumes.iterdir())


def test_a_pool_that_is_not_there_is_named_with_those_that_are(host, daemon, images):
    lost = machine("lost", image={"path": str(images / "base.qcow2")}, disk={"mode": "overlay", "pool": "scratch"})
    with pytest.raises(SourceError, match=r"storage pool scratch: there is none; there are: .*workers"):
        host.boot(order(lost))
    assert any("scratch" in line and "workers" in line for line in host.check(lost))
    assert not list(daemon.volumes.iterdir())


# --- what is offered -----------------------------------------------------------------------------------------------------


def test_kvm_is_offered_only_after_a_guest_has_lived(daemon):
    line = HostConnection("qemu1", daemon.uri("qemu"), deadline_seconds=120, keepalive_seconds=5)
    assert line.run("try emulation", lambda talk: guest_lives(talk, "qemu"))
    assert not line.run("try KVM", lambda talk: guest_lives(talk, "kvm"))
    assert line.run("count", lambda talk: talk.connection.numOfDomains()) == 0
    line.close()


def test_hosts_that_share_a_libvirtd_look_into_one_directory_at_once_and_find_what_is_there(daemon, images):
    box, disk = container(), machine("disk", image={"path": str(images / "base.qcow2")}, disk={"mode": "overlay"})
    lost = machine("lost", image={"initrd": f"{images}/gone"})
    hosts = [connect(f"h{n}", daemon.uri(driver), daemon.options(), site=SITE, deadline_seconds=60.0)
             for n, driver in enumerate(("lxc", "qemu") * 3)]  # fmt: skip
    asked = [(host, one) for host in hosts for one in (box, disk, lost) for _ in range(10)]
    with ThreadPoolExecutor(18) as pool:
        told = list(pool.map(lambda pair: [line for line in pair[0].check(pair[1]) if "offers" not in line], asked))
    for host in hosts:
        host.close()
    assert {line for (_, one), lines in zip(asked, told, strict=True) if one is not lost for line in lines} == set()
    assert all("gone" in lines[0] for (_, one), lines in zip(asked, told, strict=True) if one is lost)
    names = [pool.name() for pool in libvirt.open(daemon.uri("qemu")).listAllStoragePools()]
    assert not [name for name in names if name.startswith("ambienti-")]


def test_disks_are_copied_while_others_look_at_the_same_image(host, daemon, images):
    disk = machine("copied", image={"path": str(images / "base.raw"), "format": "raw"}, disk={"mode": "copy", "size_gib": 1})
    other = connect("other", daemon.uri("qemu"), daemon.options(), site=SITE, deadline_seconds=60.0)
    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(other.check, disk) for _ in range(60)]
        boots = [pool.submit(host.boot, order(disk, n)) for n in range(1, 4)]
        assert [list(look.result()) for look in looks] == [[]] * 60
        assert [boot.result() for boot in boots] == [None] * 3
    other.close()
    assert len(list(daemon.volumes.glob("copied-*.disk"))) == 3


def test_a_directory_that_was_being_filled_when_the_daemon_died_is_found_and_removed(containers, daemon):
    cut = order(container())
    hand, name = libvirt.open(daemon.uri("lxc")), f"{cut.worker}-{cut.uuid[:8]}"
    pool = hand.storagePoolDefineXML(directory_pool_xml(f"ambienti-enrol-{name}", str(daemon.directory / "enrolment" / name)))
    assert containers.stored() == (Stored(cut.worker, cut.uuid),)
    pool.build()
    pool.create()
    assert containers.stored() == (Stored(cut.worker, cut.uuid),)
    containers.clean_up(cut.worker, cut.uuid)
    assert containers.stored() == ()
    assert not list((daemon.directory / "enrolment").iterdir())


def test_a_volume_that_another_host_has_removed_meanwhile_is_gone_all_the_same(host, daemon, images):
    asked = order(machine("shared", image={"path": str(images / "base.qcow2")}, disk={"mode": "overlay", "size_gib": 1}))
    host.boot(asked)
    host.power_off(asked.worker, asked.uuid)
    for path in daemon.volumes.glob("shared-*"):
        path.unlink()
    host.clean_up(asked.worker, asked.uuid)
    assert host.stored() == ()


def test_an_image_in_a_storage_pool_that_is_switched_off_is_not_called_missing(host, daemon, images):
    hand = libvirt.open(daemon.uri("qemu"))
    pool = hand.storagePoolDefineXML(directory_pool_xml("asleep", str(images)))
    try:
        with pytest.raises(SourceError, match="'asleep', which is not active"):
            host.check(machine("asleep", image={"path": str(images / "base.qcow2")}, disk={"mode": "overlay"}))
    finally:
        pool.undefine()


def test_a_host_is_used_only_for_what_it_is_allowed_to(daemon):
    (host,) = [connect("h", daemon.uri("qemu"), daemon.options(virtualizations=["kvm"]), site=SITE, deadline_seconds=120)]
    assert host.read().virtualizations == frozenset()
    with pytest.raises(SourceError, match="offers nothing, not qemu"):
        host.boot(order(machine("x")))
    host.close()


def test_a_boot_of_another_kind_is_refused_with_what_is_offered(containers):
    with pytest.raises(SourceError, match="offers lxc, not qemu"):
        containers.boot(order(machine("x")))
    assert containers.read().virtualizations == {Virtualization.LXC}


def test_options_that_are_misspelt_are_refused_at_once():
    with pytest.raises(ValidationError, match="config_pol"):
        connect("h", "qemu:///system", {"config_pol": "x"}, site=SITE, deadline_seconds=120)


def test_memory_kept_for_the_host_itself_is_not_offered(daemon):
    plain, modest = (
        connect("h", daemon.uri("lxc"), daemon.options(reserve_mib=reserve), site=SITE, deadline_seconds=120)
        for reserve in (0, 1000)
    )
    assert plain.read().memory_mib - modest.read().memory_mib == 1000
    for host in (plain, modest):
        host.close()


# --- what it survives ----------------------------------------------------------------------------------------------------


def test_a_daemon_restarted_between_two_calls_is_not_noticed_by_the_second(daemon, containers):
    asked = order(container())
    containers.boot(asked)
    daemon.crash()
    daemon.recover()
    assert [domain.name for domain in containers.read().domains] == [asked.worker]
    containers.boot(asked)
    containers.power_off(asked.worker, asked.uuid)
    assert containers.read().domains == ()


def test_a_container_that_died_while_its_libvirtd_was_down_is_gone_and_the_host_can_be_read(daemon, containers):
    dead, alive = order(container()), order(container("other"))
    containers.boot(dead)
    containers.boot(alive)
    daemon.crash()
    daemon.kill_guest(dead.worker, "lxc")
    daemon.recover()
    assert [domain.name for domain in containers.read().domains] == [alive.worker]
    assert containers.domain(dead.worker) is None
    containers.power_off(dead.worker, dead.uuid)
    containers.clean_up(dead.worker, dead.uuid)
    daemon.crash()  # libvirt itself forgets it only now
    daemon.recover()


def test_a_guest_that_ends_by_itself_is_told_and_leaves_a_clean_host(daemon, containers):
    listener = Listener()
    containers.watch(listener.tell)
    asked = order(container())
    containers.boot(asked)
    listener.wait_for({"started"}, asked.worker)
    init = init_of(daemon, asked.worker)
    began = time.monotonic()
    os.kill(init, 15)
    assert listener.wait_for({"stopped"}, asked.worker) - began < 5
    containers.clean_up(asked.worker, asked.uuid)
    assert containers.read().domains == ()


def test_a_guest_is_asked_to_end_before_it_is_destroyed_where_the_site_wants_it(daemon):
    for host in opened(daemon, "lxc", graceful_seconds=60):
        asked = order(container())
        host.boot(asked)
        init_of(daemon, asked.worker)
        began = time.monotonic()
        host.power_off(asked.worker, asked.uuid)
        assert time.monotonic() - began < 60, "it ended by itself"
        assert host.domain(asked.worker) is None


# --- libvirt's test driver, as the demonstration uses it -----------------------------------------------------------------


def test_several_hosts_of_the_test_driver_live_in_one_process_and_know_nothing_of_each_other(tmp_path):
    path = tmp_path / "host.xml"
    path.write_text(
        "<node><cpu><mhz>2400</mhz><model>x86_64</model><active>16</active><nodes>1</nodes><sockets>1</sockets><cores>16</cores>"
        "<threads>1</threads></cpu><memory>33554432</memory><pool type='dir'><name>default</name><target><path>/pool</path></target></pool>"
        "<network><name>default</name><bridge name='virbr0'/></network></node>"
    )
    hosts = [connect(f"node{i}", f"test://{path}", {}, site=SITE, deadline_seconds=120) for i in range(3)]
    environment = Environment(
        name="demo", vo="atlas", virtualization="xen-pv", memory_mib=2048, image={"kernel": "/k", "initrd": "/i"}
    )
    hosts[0].boot(order(environment, 1))
    hosts[1].boot(order(environment, 2))
    hosts[1].boot(order(environment, 3))
    readings = [host.read() for host in hosts]
    assert [len(reading.domains) for reading in readings] == [1, 2, 0]
    assert {(reading.cpus, reading.memory_mib) for reading in readings} == {(16, 32768)}
    assert set(Virtualization) == readings[0].virtualizations
    for host in hosts:
        host.close()


def test_a_thousand_domains_are_read_quickly(tmp_path):
    path = tmp_path / "host.xml"
    path.write_text(
        "<node><memory>1073741824</memory><pool type='dir'><name>default</name><target><path>/p</path></target></pool></node>"
    )
    host = connect("big", f"test://{path}", {}, site=SITE, deadline_seconds=120)
    environment = Environment(
        name="demo", vo="atlas", virtualization="lxc", memory_mib=128, image={"path": "/i"}, network={"kind": "host"}
    )
    for serial in range(1000):
        host.boot(order(environment, serial))
    host.read()
    reading = host.read()
    assert len(reading.domains) == 1000
    assert all(domain.identity for domain in reading.domains)
    host.close()
