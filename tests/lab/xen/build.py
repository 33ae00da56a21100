"""Build what a Xen host needs from Debian's packages: hypervisor, kernel, ramdisk and the disk of dom0.

The result is kept in the lab's directory under the hash of everything it is made from; a second call finds it there.
Needs root (a chroot is filled), no loop mounts and no KVM.
"""

from __future__ import annotations

import gzip
import hashlib
import itertools
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from tests.lab.packages import host_mirror
from tests.lab.paths import lab_path, locked
from tests.lab.xen.boot_files import write_kernel, write_ramdisk

HERE = Path(__file__).parent
SUITE = "bookworm"
XEN_VERSION = "4.17"
DISK_SIZE = "1500M"
PACKAGES = (
    "linux-image-amd64",  # the cloud kernel cannot be dom0
    f"xen-utils-{XEN_VERSION}",
    f"xen-hypervisor-{XEN_VERSION}-amd64",
    "xenstore-utils",
    "libvirt-daemon",
    "libvirt-daemon-driver-xen",
    "busybox-static",
    "bridge-utils",
    "iproute2",
    "kmod",
    "lvm2",
    "mount",
    "openssh-server",
    "procps",
)
# Two thirds of the kernel's modules drive hardware that an emulated machine does not have.
UNNEEDED = (
    "/usr/share/man",
    "/usr/share/doc",
    "/usr/share/locale",
    "/usr/share/info",
    *(f"/lib/modules/*/kernel/drivers/{name}" for name in (
        "accessibility", "ata", "bluetooth", "comedi", "crypto", "edac", "firewire", "gpu", "hid", "hwmon", "i2c", "iio", "infiniband",
        "input", "isdn", "leds", "media", "message", "mfd", "mmc", "mtd", "net/can", "net/ethernet", "net/usb", "net/wireless", "nfc",
        "pinctrl", "platform", "power", "rtc", "scsi", "soundwire", "spi", "staging", "target", "thunderbolt", "usb", "video",
    )),
    *(f"/lib/modules/*/kernel/fs/{name}" for name in (
        "btrfs", "ceph", "cifs", "dlm", "f2fs", "gfs2", "jfs", "nfs", "nfsd", "nilfs2", "ocfs2", "reiserfs", "smb", "smbfs_common", "ubifs", "xfs",
    )),
    *(f"/lib/modules/*/kernel/net/{name}" for name in ("bluetooth", "can", "ceph", "mac80211", "nfc", "sctp", "sunrpc", "tipc", "wireless")),
    "/lib/modules/*/kernel/sound",
)  # fmt: skip
DOM0_MODULES = ["virtio_pci", "virtio_blk", "ext4", "crc32c_generic"]
PROBE_MODULES = ["xen-blkfront", "xen-netfront"]
QUICKER = (
    "basename cat cut dirname expr grep head logger ls mkdir mktemp readlink rm sed seq sleep stat tail touch which".split()
)
"""Xen's scripts call them dozens of times for each device of a guest: in emulation busybox starts in a third of the time."""
LIBVIRTD = """\
listen_tls = 0
listen_tcp = 1
listen_addr = "0.0.0.0"
auth_tcp = "none"
auth_unix_rw = "none"
auth_unix_ro = "none"
unix_sock_rw_perms = "0700"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
"""
# Nothing runs udev: LVM makes its device nodes itself and waits for nobody.
LVM = """\
devices { obtain_device_list_from_udev = 0 }
activation { udev_sync = 0 udev_rules = 0 monitoring = 0 }
global { event_activation = 0 }
"""
POOL = "<pool type='dir'><name>workers</name><target><path>/srv/workers</path></target></pool>\n"


@dataclass(frozen=True, slots=True)
class XenImages:
    """Files that a Xen host is started from; never written to after the build."""

    directory: Path
    kernel_version: str

    @property
    def hypervisor(self) -> Path:
        """Xen itself."""
        return self.directory / "xen"

    @property
    def kernel(self) -> Path:
        """The Linux of dom0 and of its guests, plain ELF."""
        return self.directory / "vmlinux"

    @property
    def ramdisk(self) -> Path:
        """The first moments of dom0."""
        return self.directory / "dom0-initrd.img"

    @property
    def probe_ramdisk(self) -> Path:
        """The smallest guest."""
        return self.directory / "probe-initrd.img"

    @property
    def disk(self) -> Path:
        """The root disk of dom0, raw and sparse: the base of each start's overlay."""
        return self.directory / "dom0.img"

    @property
    def modules_root(self) -> Path:
        """A directory that holds `lib/modules/KERNEL_VERSION`, for the ramdisks of guests."""
        return self.directory / "modules"

    @property
    def ssh_key(self) -> Path:
        """The key that dom0 lets in as root."""
        return self.directory / "id_ed25519"

    @property
    def host_key(self) -> str:
        """The public key of dom0's ssh server."""
        return (self.directory / "host_key.pub").read_text().strip()


def build(out: Path | None = None) -> XenImages:
    """Return the images, building them below `out` (the lab's `xen` directory) when none of these inputs is there."""
    out = out or lab_path("xen")
    directory = out / f"images-{_key()}"
    with locked("xen-images"):
        if not (directory / "build.json").exists():
            for old in out.glob("images-*"):
                shutil.rmtree(old)
            partial = out / "partial"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _build(partial)
            partial.rename(directory)
    return XenImages(directory, json.loads((directory / "build.json").read_text())["kernel_version"])


def _key() -> str:
    """Hash everything that the images are made from."""
    digest = hashlib.sha256()
    for path in sorted([*HERE.glob("files/*"), HERE / "build.py", HERE / "boot_files.py"]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:12]


def _build(out: Path) -> None:
    times = {"start": time.monotonic()}
    root = out / "root"
    _install_packages(root, out / "mmdebstrap.log")
    times["packages"] = time.monotonic()
    kernel_version = _boot_files(root, out)
    _configure(root, out)
    times["configuration"] = time.monotonic()
    _run(["cp", "-al", root / "lib/modules", out / "modules-kept"])
    _write_disk(root, out / "dom0.img")
    times["disk"] = time.monotonic()
    (out / "modules/lib").mkdir(parents=True)
    (out / "modules-kept").rename(out / "modules/lib/modules")
    shutil.rmtree(root)
    steps = list(times)
    seconds = {step: round(times[step] - times[before], 1) for before, step in itertools.pairwise(steps)}
    (out / "build.json").write_text(json.dumps({"kernel_version": kernel_version, "seconds": seconds}) + "\n")


def _install_packages(root: Path, log: Path) -> None:
    leave_out = [f"--dpkgopt=path-exclude={path}/*" for path in UNNEEDED]
    # In a mount space of its own: what it mounts is gone with it, however it ends.
    command = ["setpriv", "--pdeathsig=TERM", "unshare", "--mount", "--propagation", "private"]
    command += ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(PACKAGES)}"]
    command += ['--aptopt=APT::Install-Recommends "false"', *leave_out, SUITE, str(root), host_mirror()]
    with log.open("w") as output:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env={**os.environ, "INITRD": "No"},
            check=False,
            timeout=600,
        )
    if done.returncode:
        raise RuntimeError(f"mmdebstrap ended with {done.returncode}:\n" + "\n".join(log.read_text().splitlines()[-20:]))


def _boot_files(root: Path, out: Path) -> str:
    kernel_version = max(path.name for path in (root / "lib/modules").iterdir())
    write_kernel(root / f"boot/vmlinuz-{kernel_version}", out / "vmlinux")
    (out / "xen").write_bytes(gzip.decompress((root / f"boot/xen-{XEN_VERSION}-amd64.gz").read_bytes()))
    write_ramdisk(root, kernel_version, DOM0_MODULES, HERE / "files/initramfs-init", out / "dom0-initrd.img")
    write_ramdisk(root, kernel_version, PROBE_MODULES, HERE / "files/probe-init", out / "probe-initrd.img")
    return kernel_version


def _configure(root: Path, out: Path) -> None:
    shutil.copy(HERE / "files/dom0-init", root / "dom0-init")
    (root / "dom0-init").chmod(0o755)
    _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ambienti-lab", "-f", out / "id_ed25519"])
    (root / "root/.ssh").mkdir(mode=0o700, exist_ok=True)
    shutil.copy(out / "id_ed25519.pub", root / "root/.ssh/authorized_keys")
    (root / "root/.ssh/authorized_keys").chmod(0o600)
    (root / "etc/ssh/sshd_config").write_text("UsePAM no\nUseDNS no\nPermitRootLogin prohibit-password\n")
    shutil.copy(root / "etc/ssh/ssh_host_ed25519_key.pub", out / "host_key.pub")
    (root / "etc/default/xen").write_text('XENCONSOLED_ARGS="--log=guest --log-dir=/var/log/xen/console"\n')
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    for directory in ("images", "srv/workers", "var/log/xen/console", "var/log/libvirt", "etc/libvirt/storage/autostart"):
        (root / directory).mkdir(parents=True, exist_ok=True)
    (root / "etc/libvirt/libvirtd.conf").write_text(LIBVIRTD)
    (root / "etc/lvm/lvmlocal.conf").write_text(LVM)
    (root / "etc/libvirt/storage/workers.xml").write_text(POOL)
    (root / "etc/libvirt/storage/autostart/workers.xml").symlink_to("../workers.xml")
    for name in QUICKER:
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (root / "usr/bin" / name).symlink_to("/usr/bin/busybox" if (root / "usr/bin/busybox").exists() else "/bin/busybox")
    _make_libvirt_load(root)


def _make_libvirt_load(root: Path) -> None:
    """Two things would end libvirtd before it answers.

    Its Xen driver must name the CPU; Xen hides SEP and the emulator has no VME, so every model misses a flag: without VME the
    486 fits. And the QEMU driver, which Debian's package brings along, wants users that only its own package makes.
    """
    model = root / "usr/share/libvirt/cpu_map/x86_486.xml"
    model.write_text("".join(line for line in model.read_text().splitlines(keepends=True) if "'vme'" not in line))
    for driver in ("qemu", "lxc", "vbox"):
        (root / f"usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_{driver}.so").unlink(missing_ok=True)


def _write_disk(root: Path, disk: Path) -> None:
    for pattern in ("boot/*", "var/cache/apt/*", "var/lib/apt/lists/*", "usr/share/locale/*"):
        for path in root.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    _run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum,^64bit", "-L", "dom0", "-d", root, disk, DISK_SIZE])


def _run(command: list[object]) -> str:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, timeout=300)
    if done.returncode:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout
