"""The smallest guests: busybox and nothing else, for tests that need a domain and no worker."""

import shutil
import subprocess
from pathlib import Path

from tests.lab.paths import lab_path, locked

_INIT = """\
#!/bin/sh
# Says that it is up and waits for its end.
export PATH=/bin
[ -e /proc/self ] || mount -t proc proc /proc
[ -e /dev/console ] || mount -t devtmpfs dev /dev
echo "tiny: ready" >/dev/console
trap 'poweroff -f; exit 0' TERM INT PWR
while :; do sleep 3600 & wait; done
"""


def tiny_tree() -> Path:
    """Return a container's root; it may be shared and read-only."""
    root = lab_path("tiny") / "tree"
    with locked("tiny"):
        if not (root / "init").exists() or (root / "init").read_text() != _INIT:
            shutil.rmtree(root, ignore_errors=True)
            for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "run", "tmp", "var", "ambienti"):
                (root / name).mkdir(parents=True)
            shutil.copy2("/bin/busybox", root / "bin/busybox")
            for applet in ("sh", "mount", "sleep", "echo", "cat", "ls", "poweroff", "sed", "tar"):
                (root / "bin" / applet).symlink_to("busybox")
            (root / "init").write_text(_INIT)
            (root / "init").chmod(0o755)
            (root / "sbin/init").symlink_to("/init")
    return root


def tiny_ramdisk() -> Path:
    """Return the same as a ramdisk."""
    root = tiny_tree()
    out = lab_path("tiny") / "initrd.img"
    with locked("tiny-ramdisk"):
        if not out.exists() or out.stat().st_mtime < (root / "init").stat().st_mtime:
            names = "\n".join(sorted(str(path.relative_to(root)) for path in root.rglob("*")))
            partial = out.with_suffix(".partial")
            with partial.open("wb") as file:
                command = ["cpio", "-o", "-H", "newc", "-R", "0:0", "--quiet"]
                subprocess.run(command, input=names.encode(), stdout=file, cwd=root, check=True, timeout=240)
            partial.rename(out)
    return out
