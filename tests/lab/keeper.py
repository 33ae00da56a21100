"""Runs as the first process of a lab's libvirtd: in a mount namespace of its own, as the parent of all orphans.

    unshare -m --propagation private python3 keeper.py DIRECTORY [PARENT]

With PARENT, the process that started it, it ends when that does.

libvirt waits until a dead guest's process has vanished. Guests are orphans, and where process 1 is slow to reap them every event
is late by as much; a child subreaper makes that milliseconds. SIGUSR1 starts libvirtd again after a crash; SIGTERM ends
everything below.
"""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
UNIFIED = Path("/sys/fs/cgroup/unified")


def main(directory: Path) -> int:
    """Mount, start, reap until told to end."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    if len(sys.argv) > 2:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != int(sys.argv[2]):  # it has ended already
            return 0
    take_private_places(directory)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
    start(directory)
    while True:
        told = signal.sigwait({signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGUSR1})
        if told == signal.SIGUSR1:
            start(directory)
        elif told != signal.SIGCHLD:
            return end_all()
        reap()


def take_private_places(directory: Path) -> None:
    """Put the lab's directories where libvirt keeps its state; hide what confuses its LXC driver."""
    for name, place in (
        ("run", "/run/libvirt"),
        ("lib", "/var/lib/libvirt"),
        ("etc", "/etc/libvirt"),
        ("log", "/var/log/libvirt"),
        ("../cache", "/var/cache/libvirt"),
    ):
        own = directory / name
        own.mkdir(parents=True, exist_ok=True)
        Path(place).mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "--bind", str(own), place], check=True, timeout=120)
    for name, missing in (
        ("passwd", "libvirt-qemu:x:64055:64055::/nonexistent:/usr/sbin/nologin"),
        ("group", "libvirt-qemu:x:64055:"),
    ):
        add_account(directory, Path("/etc") / name, missing)
    if Path("/dev/kvm").exists():  # a lab's guests are emulated: slow, and the same on every machine
        hide_device(directory, Path("/dev/kvm"))
    if Path("/proc/self/ns/net").readlink() != Path(f"/proc/{os.getppid()}/ns/net").readlink():
        show_own_network(directory)
    if UNIFIED.is_mount():  # hybrid cgroups: libvirt_lxc fails where both kinds are mounted
        subprocess.run(["umount", "-l", str(UNIFIED)], check=True, timeout=120)


def show_own_network(directory: Path) -> None:
    """Let /sys tell of the network that we live in; what it tells of cgroups stays."""
    kept, groups = directory / "cgroup", "/sys/fs/cgroup"
    kept.mkdir(exist_ok=True)
    for words in (["--rbind", groups, str(kept)], ["-t", "sysfs", "sysfs", "/sys"], ["--rbind", str(kept), groups]):
        subprocess.run(["mount", *words], check=True, timeout=120)
    subprocess.run(["umount", "-l", "-R", str(kept)], check=False, timeout=120)


def hide_device(directory: Path, device: Path) -> None:
    """Put something in a device's place that nobody may write to, not even root.

    libvirt that finds /dev/kvm writable, and yet no KVM, asks QEMU anew for all it can do at every look: ten times at each boot.
    """
    own = directory / device.name
    own.touch()
    subprocess.run(["mount", "--bind", str(own), str(device)], check=True, timeout=120)
    subprocess.run(["mount", "-o", "remount,bind,ro", str(device)], check=True, timeout=120)


def add_account(directory: Path, file: Path, line: str) -> None:
    """Let this namespace know an account that libvirt's QEMU driver insists on and only a package with systemd makes."""
    content = file.read_text()
    if f"{line.split(':', maxsplit=1)[0]}:" not in content:
        own = directory / file.name
        own.write_text(f"{content}{line}\n")
        subprocess.run(["mount", "--bind", str(own), str(file)], check=True, timeout=120)


def start(directory: Path) -> None:
    """Start libvirtd as a child, with the signals of an ordinary process."""
    command = ["libvirtd", "-p", str(directory / "libvirtd.pid")]
    if os.fork() == 0:
        output = os.open(directory / "libvirtd.out", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        os.dup2(output, 1)
        os.dup2(output, 2)
        signal.pthread_sigmask(signal.SIG_SETMASK, set())
        os.setsid()
        os.execvp(command[0], command)


def reap() -> None:
    """Reap what has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def end_all() -> int:
    """End libvirtd, then whatever it left; orphans of the killed come back here until there are none."""
    while children := Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(-1, 0)
        reap()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
