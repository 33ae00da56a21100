"""Worker images of the lab: one tree (busybox and HTCondor's start daemon) and what is made from it for each kind of worker.

- LXC: the tree itself is the container's root; it may be shared and read-only.
- QEMU, diskless: the tree as an initial ramdisk, with virtio modules.
- Xen PV, diskless: the same with Xen's modules, for a kernel given by the caller.
- with a disk: the tree as an ext4 base image (qcow2) and a small ramdisk that finds it.
"""

import hashlib
import lzma
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.lab import packages
from tests.lab.htcondor_release import SUITE
from tests.lab.paths import lab_path, locked

FILES = Path(__file__).parent / "files"
KERNEL_SUITE = "bookworm"
PACKAGES = "condor libc6 libgcc-s1 libstdc++6 libgomp1 libpcre2-8-0 libuuid1 libssl3t64 zlib1g libzstd1 busybox-static".split()
PROGRAMS = ("usr/sbin/condor_startd", "usr/sbin/condor_starter")
MODULES = {
    "qemu": ("virtio_pci", "virtio_net", "virtio_blk", "virtio-rng"),
    "qemu-disk": ("virtio_pci", "virtio_net", "virtio_blk", "virtio-rng", "crc32c_generic", "ext4"),
    "xen-pv": ("xen-netfront", "xen-blkfront"),
    "xen-pv-disk": ("xen-netfront", "xen-blkfront", "crc32c_generic", "ext4"),
}
PASSWD = "root:x:0:0:root:/root:/bin/sh\ncondor:x:64:64:condor:/var/lib/condor:/bin/false\nnobody:x:65534:65534:nobody:/tmp:/bin/sh\n"


@dataclass(frozen=True)
class Kernel:
    """A kernel and where its modules are (`modules_root` holds `lib/modules/VERSION`)."""

    image: Path
    version: str
    modules_root: Path


@dataclass(frozen=True)
class WorkerImages:
    """What environments of the lab point to."""

    tree: Path
    kernel: Kernel
    initrd: Path
    disk_initrd: Path
    disk: Path


def tree() -> Path:
    """Build the worker's root file system once per version of its ingredients; return its directory."""
    debs = packages.fetch(SUITE, PACKAGES)
    root = lab_path("worker") / f"tree-{_fingerprint(debs)}"
    with locked("worker"):
        if not root.exists():
            stage, building = root.with_name("stage"), root.with_name("building")
            for directory in (stage, building):
                shutil.rmtree(directory, ignore_errors=True)
            packages.unpack(debs, stage)
            _fill(building, stage)
            shutil.rmtree(stage)
            building.rename(root)
    return root


def kernel() -> Kernel:
    """Return Debian's kernel for virtual machines, unpacked in the lab."""
    meta = "linux-image-cloud-amd64"
    package = next(name for name in packages.dependencies(KERNEL_SUITE, meta) if name.startswith("linux-image-"))
    version = package.removeprefix("linux-image-")
    root = lab_path("worker") / package
    with locked("worker"):
        if not (root / "unpacked").exists():
            packages.unpack(packages.fetch(KERNEL_SUITE, [package]), root)
            (root / "unpacked").touch()
    return Kernel(root / f"boot/vmlinuz-{version}", version, root)


def build_initrd(kind: str, kernel_version: str, modules_root: Path, out: Path) -> Path:
    """Write the ramdisk of a worker; `kind` is a key of `MODULES` (the `-disk` ones only find the root disk)."""
    root = tree()
    staging = out.with_name(f"{out.name}.stage")
    shutil.rmtree(staging, ignore_errors=True)
    if kind.endswith("-disk"):
        _small_tree(root, staging)
    else:
        shutil.copytree(root, staging, symlinks=True)
    _add_modules(staging, MODULES[kind], kernel_version, modules_root)
    names = sorted(str(path.relative_to(staging)) for path in staging.rglob("*"))
    partial = out.with_name(f"{out.name}.partial")
    with partial.open("wb") as file:
        command = ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"]
        subprocess.run(command, input="\n".join([".", *names]).encode(), stdout=file, cwd=staging, check=True, timeout=120)
    shutil.rmtree(staging)
    partial.rename(out)
    return out


def build_disk(out: Path, size_mib: int = 256) -> Path:
    """Write the base disk of workers with a disk of their own: the tree as ext4 in a qcow2."""
    raw = build_raw_disk(out.with_name(f"{out.name}.raw"), size_mib)
    partial = out.with_name(f"{out.name}.partial")
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", str(raw), str(partial)], check=True, timeout=120)
    raw.unlink()
    partial.rename(out)
    return out


def build_raw_disk(out: Path, size_mib: int) -> Path:
    """Write the same without a format of its own, as a volume group takes it."""
    partial = out.with_name(f"{out.name}.partial")
    partial.unlink(missing_ok=True)
    options = ["-q", "-t", "ext4", "-O", "^has_journal", "-E", "lazy_itable_init=1,root_owner=0:0", "-d", str(tree())]
    subprocess.run(["mke2fs", *options, str(partial), f"{size_mib}M"], check=True, capture_output=True, timeout=120)
    partial.rename(out)
    return out


def images() -> WorkerImages:
    """Build, or find, all that QEMU and LXC workers need."""
    root, core = tree(), kernel()
    tag = f"{root.name.removeprefix('tree-')}-{core.version}"
    directory = lab_path("worker")
    initrd, disk_initrd = directory / f"initrd-{tag}.img", directory / f"initrd-disk-{tag}.img"
    disk = directory / f"base-{tag}.qcow2"
    with locked("worker-images"):
        if not initrd.exists():
            build_initrd("qemu", core.version, core.modules_root, initrd)
        if not disk_initrd.exists():
            build_initrd("qemu-disk", core.version, core.modules_root, disk_initrd)
        if not disk.exists():
            build_disk(disk)
    return WorkerImages(root, core, initrd, disk_initrd, disk)


def _fingerprint(debs: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for deb in debs:
        digest.update(deb.name.encode())
    for path in (FILES / "worker-init", FILES / "worker-dhcp", FILES / "worker.conf", Path(__file__)):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _fill(root: Path, stage: Path) -> None:
    for name in (
        "bin sbin lib64 etc/condor proc sys dev tmp root run var ambienti lib/modules usr/bin usr/sbin usr/lib usr/libexec/condor"
    ).split():
        (root / name).mkdir(parents=True)
    for program in PROGRAMS:
        shutil.copy2(stage / program, root / program)
    libraries = stage / "usr/lib/x86_64-linux-gnu"
    loader = libraries / "ld-linux-x86-64.so.2"
    shutil.copy(loader, root / "lib64")
    for library in _needed(loader, libraries, stage) | {libraries / "libssl.so.3"}:
        shutil.copy(library, root / "usr/lib" / library.name)
    (root / "lib/x86_64-linux-gnu").symlink_to("/usr/lib")
    busybox = stage / ("bin/busybox" if (stage / "bin/busybox").exists() else "usr/bin/busybox")
    shutil.copy2(busybox, root / "bin/busybox")
    applets = subprocess.run([str(busybox), "--list"], check=True, capture_output=True, text=True, timeout=120).stdout.split()
    for applet in applets:
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "usr/bin/env").symlink_to("/bin/env")
    (root / "sbin/init").symlink_to("/init")
    (root / "etc/passwd").write_text(PASSWD)
    (root / "etc/group").write_text("root:x:0:\ncondor:x:64:\nnogroup:x:65534:\n")
    (root / "etc/nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
    shutil.copy(FILES / "worker.conf", root / "etc/condor/condor_config")
    for source, target in (("worker-init", "init"), ("worker-dhcp", "usr/libexec/ambienti-dhcp")):
        shutil.copy(FILES / source, root / target)
        (root / target).chmod(0o755)


def _needed(loader: Path, libraries: Path, stage: Path) -> set[Path]:
    """Return the shared libraries that the programs load, all from the stage."""
    found: set[Path] = set()
    for program in PROGRAMS:
        command = [str(loader), "--library-path", f"{libraries}:{stage / 'usr/lib'}", "--list", str(stage / program)]
        text = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout
        for line in text.splitlines():
            name, arrow, rest = line.partition("=>")
            if arrow:
                path = rest.split("(")[0].strip()
                if not path.startswith(str(stage)):
                    raise RuntimeError(f"{program} needs {name.strip()}, which the worker's packages do not hold: {path}")
                found.add(Path(path))
    return found


def _small_tree(root: Path, into: Path) -> None:
    for name in ("etc", "lib/modules", "proc", "sys", "dev", "newroot"):
        (into / name).mkdir(parents=True)
    shutil.copytree(root / "bin", into / "bin", symlinks=True)
    shutil.copy2(root / "init", into / "init")
    (into / "etc/root-is-on-disk").touch()


def _add_modules(root: Path, names: Iterable[str], version: str, modules_root: Path) -> None:
    """Copy the modules and all that they need, uncompressed, and note the order in which they load."""
    target = root / "lib/modules"
    target.mkdir(parents=True, exist_ok=True)
    if not (modules_root / f"lib/modules/{version}/modules.dep.bin").exists():
        subprocess.run(["/sbin/depmod", "-b", str(modules_root), version], check=True, timeout=120)
    order: list[str] = []
    for name in names:
        command = ["/sbin/modprobe", "-d", str(modules_root), "-S", version, "--show-depends", name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(f"module {name} of {version}: {done.stderr.strip()}")
        for line in done.stdout.splitlines():
            words = line.split()
            if words[0] != "insmod":
                continue
            module = Path(words[1])
            plain = module.name.removesuffix(".xz")
            if plain in order:
                continue
            content = module.read_bytes()
            (target / plain).write_bytes(lzma.decompress(content) if module.suffix == ".xz" else content)
            order.append(plain)
    (target / "order").write_text("".join(f"{name}\n" for name in order))
