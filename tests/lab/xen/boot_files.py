"""What a Xen host boots from: the kernel as plain ELF, and initial ramdisks of busybox and a few modules.

Everything is unpacked here rather than in the emulated machine, where decompressing costs seconds.
"""

from __future__ import annotations

import lzma
import re
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path


def elf_kernel(bzimage: bytes) -> bytes:
    """Take the ELF kernel out of a Linux bzImage (boot protocol 2.08: payload offset and length at 0x248)."""
    setup_sectors = (bzimage[0x1F1] or 4) + 1
    offset, length = struct.unpack_from("<II", bzimage, 0x248)
    payload = bzimage[setup_sectors * 512 + offset :][:length]
    if payload.startswith(b"\xfd7zXZ\0"):
        kernel = lzma.LZMADecompressor(format=lzma.FORMAT_XZ).decompress(payload)
    elif payload.startswith(b"\x1f\x8b"):
        kernel = zlib.decompressobj(31).decompress(payload)
    elif payload.startswith(b"\x28\xb5\x2f\xfd"):
        # The payload ends with its own length, which zstd calls an error after writing everything.
        kernel = subprocess.run(["zstd", "-dcq"], input=payload, capture_output=True, check=False).stdout
    else:
        raise ValueError(f"unknown compression of the kernel: {payload[:6]!r}")
    if not kernel.startswith(b"\x7fELF"):
        raise ValueError(f"not an ELF kernel inside the bzImage: {kernel[:4]!r}")
    return kernel


def write_kernel(bzimage: Path, out: Path) -> None:
    """Write the stripped ELF kernel of a bzImage."""
    full = out.with_suffix(".full")
    full.write_bytes(elf_kernel(bzimage.read_bytes()))
    subprocess.run(["strip", "-o", out, full], check=True, capture_output=True, timeout=240)
    full.unlink()


def modules_in_order(root: Path, kernel_version: str, names: list[str]) -> list[Path]:
    """Return the module files that `names` need, each after those it depends on."""
    files: dict[Path, None] = {}
    for name in names:
        asked = ["modprobe", "-d", root, "-S", kernel_version, "--show-depends", name]
        answer = subprocess.run(asked, check=True, capture_output=True, text=True, timeout=240).stdout
        files.update((Path(found), None) for found in re.findall(r"^insmod (\S+)", answer, re.MULTILINE))
    return list(files)


def write_ramdisk(root: Path, kernel_version: str, modules: list[str], init: Path, out: Path) -> None:
    """Write an uncompressed initial ramdisk: busybox, `modules` in their order, and `init`."""
    with tempfile.TemporaryDirectory(dir=out.parent) as directory:
        tree = Path(directory)
        for name in ("bin", "dev", "proc", "sys", "root", "modules", "etc", "tmp", "run", "mnt"):
            (tree / name).mkdir()
        shutil.copy(
            root / "usr/bin/busybox" if (root / "usr/bin/busybox").exists() else root / "bin/busybox", tree / "bin/busybox"
        )
        order = []
        for module in modules_in_order(root, kernel_version, modules):
            shutil.copy(module, tree / "modules" / module.name)
            order.append(module.name)
        (tree / "modules/order").write_text("".join(f"{name}\n" for name in order))
        shutil.copy(init, tree / "init")
        (tree / "init").chmod(0o755)
        names = "\0".join([".", *sorted(str(path.relative_to(tree)) for path in tree.rglob("*"))])
        packed = subprocess.run(
            ["cpio", "--quiet", "-0", "-o", "-H", "newc", "-R", "0:0"],
            cwd=tree,
            input=names.encode(),
            capture_output=True,
            check=True,
            timeout=240,
        )
        out.write_bytes(packed.stdout)
