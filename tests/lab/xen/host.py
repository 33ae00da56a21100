"""One Xen host in emulation: start it, wait until its libvirt answers, look inside, stop it, crash it.

A host is found again by its number from another process: its state lies in the lab's directory. Ready means an answered
libvirt call; that its port accepts a connection says nothing, because the emulator's network accepts for a guest that is down.
"""

from __future__ import annotations

import atexit
import fcntl
import functools
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.lab.paths import lab_path
from tests.lab.xen.build import XenImages, build

BRIDGE = "xenbr1"
"""The bridge in dom0 on which workers sit beside dom0, on the emulator's network 10.0.2.0/24."""
GATEWAY = "10.0.2.2"
FIRST_ADDRESS = 16
"""The first of the addresses 10.0.2.x that workers may have."""
POOL = "workers"
IMAGES = "/images"
"""Where dom0 sees the host's `share` directory: kernels and ramdisks of guests, read-only, the same files for every host."""
SPARE_DISK = "/dev/vdb"
"""An empty disk of dom0, for a volume group."""
SPARE_GIB = 4
MEMORY_MIB = 2048
DOM0_MIB = 640
CPUS = 1
DEAD = ("Panic on CPU", "Kernel panic", "Hardware Dom0 crashed", "no root disk", "libvirtd failed")


class HostError(RuntimeError):
    """The host did not do as told; the text ends with the last lines of its console."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Ports on 127.0.0.1 that lead into dom0."""

    ssh: int
    libvirt: int


class XenHost:
    """Holds one emulated machine that runs Xen; `number` is 1 for the lab's own, 2 for the tests', and so on."""

    def __init__(self, number: int = 1, *, dies_with_parent: bool = False) -> None:
        self.number = number
        self.dies_with_parent = dies_with_parent
        self.name = f"xen{number}"
        base = lab_path("xen")
        self.directory = base / self.name
        self.share = lab_path("xen", "share")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def ports(self) -> Ports:
        """Where it can be reached while it runs."""
        return Ports(**json.loads((self.directory / "ports.json").read_text()))

    @property
    def uri(self) -> str:
        """Libvirt on a plain socket."""
        return f"xen+tcp://127.0.0.1:{self.ports.libvirt}/system"

    @property
    def ssh_uri(self) -> str:
        """Libvirt through ssh, as a site would use it: dom0's host key is known, its server is checked."""
        return f"xen+ssh://root@127.0.0.1:{self.ports.ssh}/system?command={self.directory}/ssh"

    @property
    def pid(self) -> int | None:
        """The emulator's process, None when it does not run."""
        if self._process:
            return self._process.pid if self._process.poll() is None else None
        try:
            pid = int((self.directory / "pid").read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError):
            return None
        return pid if str(self.directory).encode() in command and state != "Z" else None

    def start(self, seconds: float = 600) -> float:
        """Start it with a fresh disk and wait for its libvirt; return the seconds that took."""
        if self.pid:
            raise HostError(f"{self.name} runs already as process {self.pid}")
        images = build()
        self._prepare(images)
        began = time.monotonic()
        with (self.directory / "qemu.log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(images), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (self.directory / "pid").write_text(f"{self._process.pid}\n")
        _prefer(self._process.pid)
        try:
            self._wait_until_ready(began + seconds)
        except HostError:
            self.crash()
            raise
        return time.monotonic() - began

    def stop(self, seconds: float = 120) -> None:
        """End the emulator and wait until it is gone; nothing to do when it does not run."""
        self._end(signal.SIGTERM, seconds)

    def crash(self) -> None:
        """Lose the whole host at once, as in a power cut."""
        self._end(signal.SIGKILL, 10)

    def freeze(self) -> None:
        """Make the whole host silent without closing any connection."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen host go on."""
        self._signal(signal.SIGCONT)

    def ssh(self, command: str, seconds: float = 180) -> str:
        """Run a command in dom0 and return what it printed."""
        try:
            done = subprocess.run(
                [self.directory / "ssh", "-p", str(self.ports.ssh), "root@127.0.0.1", command],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=seconds,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise HostError(f"{self.name}: {command!r} did not end within {seconds} s") from late
        if done.returncode:
            raise HostError(f"{self.name}: {command!r} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def guest_console(self, guest: str, awaited: str = "", seconds: float = 300) -> str:
        """Return all that guests of this name have said over all their lives, once it contains `awaited`.

        The waiting is done in dom0: connecting again and again would take the processor that the guest boots on.
        """
        log = shlex.quote(f"/var/log/xen/console/guest-{guest}.log")
        until = f"for _ in $(seq {round(seconds * 2)}); do grep -qsF {shlex.quote(awaited)} {log} && break; sleep 0.5; done; "
        said = self.ssh(f"{until if awaited else ''}cat {log} 2>/dev/null || true", seconds + 60)
        if awaited not in said:
            raise HostError(f"{self.name}: {guest} did not say {awaited!r} within {seconds} s:{_tail(said)}")
        return said

    def console(self) -> str:
        """Return what the hypervisor and dom0 have said."""
        path = self.directory / "console.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def _prepare(self, images: XenImages) -> None:
        shutil.rmtree(self.directory, ignore_errors=True)
        self.directory.mkdir(parents=True)
        for source in (images.kernel, images.probe_ramdisk):
            (self.share / source.name).unlink(missing_ok=True)
            os.link(source, self.share / source.name)
        base = int(os.environ.get("AMBIENTI_LAB_XEN_PORT", "22000")) + 10 * self.number
        ports = Ports(ssh=_free_port(base), libvirt=_free_port(base + 5))
        (self.directory / "ports.json").write_text(json.dumps(asdict(ports)) + "\n")
        (self.directory / "known_hosts").write_text(f"[127.0.0.1]:{ports.ssh} {images.host_key}\n")
        options = (f"UserKnownHostsFile={self.directory}/known_hosts", "BatchMode=yes", "ConnectTimeout=20", "LogLevel=ERROR")
        words = ["ssh", "-F", "none", "-i", str(images.ssh_key), *(word for option in options for word in ("-o", option))]
        (self.directory / "ssh").write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
        (self.directory / "ssh").chmod(0o755)
        _run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", images.disk, self.directory / "disk.qcow2")
        _run("qemu-img", "create", "-q", "-f", "qcow2", self.directory / "spare.qcow2", f"{SPARE_GIB}G")

    def _command(self, images: XenImages) -> list[str]:
        ports, serial = self.ports, f"{self.number:02x}"
        xen = f"console=com1 com1=115200,8n1 dom0_mem={DOM0_MIB}M,max:{DOM0_MIB}M dom0_max_vcpus={CPUS} spec-ctrl=no loglvl=warning guest_loglvl=warning noreboot"
        linux = f"console=hvc0 xenhost={self.number} quiet loglevel=4 mitigations=off"
        forward = f"hostfwd=tcp:127.0.0.1:{ports.ssh}-:22,hostfwd=tcp:127.0.0.1:{ports.libvirt}-:16509"
        parent = ["setpriv", "--pdeathsig=KILL"] if self.dies_with_parent else []
        return [
            *parent,
            # The emulator reads the frame of a return to user mode as the supervisor's, which SMAP forbids: a PV dom0 dies of it.
            # It reports RDTSCP as RDTSC, of another length, which kills a PVH guest. With XSAVE, hence AVX, vector registers leak
            # from one domain into another: a minute of real work, and programs die of broken memory or dom0 hangs.
            "qemu-system-x86_64", "-name", self.name, "-machine", "q35", "-cpu", "max,-smap,-rdtscp,-xsave", "-smp", str(CPUS),
            "-accel", "tcg,thread=multi,tb-size=256", "-m", str(MEMORY_MIB), "-nodefaults", "-display", "none",
            "-kernel", str(images.hypervisor), "-append", xen,
            "-initrd", f"{images.kernel} {linux},{images.ramdisk}",
            "-chardev", f"file,id=console,path={self.directory}/console.log", "-serial", "chardev:console",
            "-drive", f"file={self.directory}/disk.qcow2,if=none,id=disk,cache=unsafe", "-device", "virtio-blk-pci,drive=disk",
            "-drive", f"file={self.directory}/spare.qcow2,if=none,id=spare,cache=unsafe", "-device", "virtio-blk-pci,drive=spare",
            "-netdev", f"user,id=net,{forward}", "-device", f"virtio-net-pci,netdev=net,mac=52:54:00:aa:00:{serial},romfile=",
            "-virtfs", f"local,path={self.share},mount_tag=images,security_model=none,readonly=on,id=images",
            "-device", "virtio-rng-pci",
        ]  # fmt: skip

    def _wait_until_ready(self, deadline: float) -> None:
        while time.monotonic() < deadline:
            said = self.console()
            if not self.pid:
                raise HostError(f"{self.name}: the emulator ended: {(self.directory / 'qemu.log').read_text()}{_tail(said)}")
            if any(word in said for word in DEAD):
                raise HostError(f"{self.name} died while starting:{_tail(said)}")
            if " ready" in said and self.answers(10):
                return
            time.sleep(0.2)
        raise HostError(f"{self.name} was not ready in time:{_tail(self.console())}")

    def answers(self, seconds: float) -> bool:
        """Whether its libvirt answers a call within so many seconds."""
        asked = ["virsh", "-q", "-c", self.uri, "list", "--all"]
        try:
            return (
                subprocess.run(asked, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=seconds).returncode
                == 0
            )
        except subprocess.TimeoutExpired:
            return False

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is None:
            raise HostError(f"{self.name} does not run")
        os.kill(pid, number)

    def _end(self, number: signal.Signals, seconds: float) -> None:
        pid = self.pid
        deadline = time.monotonic() + seconds
        if pid:
            os.kill(pid, number)
            os.kill(pid, signal.SIGCONT)
        while pid and self.pid == pid:
            if time.monotonic() > deadline:
                os.kill(pid, signal.SIGKILL)
                deadline += 10
            time.sleep(0.05)
        if self._process:
            self._process.wait(120)
            self._process = None
        (self.directory / "pid").unlink(missing_ok=True)


@functools.cache
def host_of_the_tests() -> XenHost:
    """Start the one host that all tests of this process share; it ends with the process.

    It is not the host of `make lab`. Another process that runs tests here at the same time waits for its turn.
    """
    host = XenHost(2, dies_with_parent=True)
    lock = (host.directory.parent / "tests.lock").open("w")
    deadline = time.monotonic() + 600
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            if time.monotonic() > deadline:
                lock.close()
                raise HostError("other tests have used the Xen host for ten minutes") from None
            time.sleep(0.5)
    host.stop()
    atexit.register(lock.close)
    atexit.register(host.stop)
    host.start()
    return host


def _free_port(first: int) -> int:
    """The first port from `first` on that nothing listens on."""
    for port in range(first, first + 1000, 100):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise HostError(f"no free port in {first}, {first + 100}, ... {first + 900}: set AMBIENTI_LAB_XEN_PORT")


def _tail(console: str) -> str:
    return "\n" + "\n".join(console.splitlines()[-20:])


def _prefer(pid: int) -> None:
    """Let a busy machine run this emulator first: Xen's own tools give up after ten seconds, and dom0 has the one processor."""
    os.setpriority(os.PRIO_PROCESS, pid, -10)
    group = Path(
        f"/proc/{pid}/autogroup"
    )  # where sessions share the processor between them, a process's own value counts for nothing
    if group.exists():
        group.write_text("-10")


def _run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True, timeout=240)
