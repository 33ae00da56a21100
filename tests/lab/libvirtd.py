"""A real libvirtd with its LXC and QEMU drivers, started by hand: no systemd, nothing of the host's configuration touched.

Each one is a hypervisor host of its own; several live side by side, with their state in the lab's directory. Needs root.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.paths import lab_path
from tests.lab.processes import Process, kept, known, named

KEEPER = Path(__file__).parent / "keeper.py"
SOCKET_BYTES = 100
_LIBVIRTD = """\
auth_unix_ro = "none"
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
host_uuid = "{uuid}"
log_outputs = "2:file:{log}"
"""
# Guests run as root: the lab's directory need not be open to another user. Without virtlogd, QEMU writes its logs itself.
_QEMU = """\
user = "root"
group = "root"
security_driver = "none"
stdio_handler = "file"
namespaces = []
"""
_POOL = "<pool type='dir'><name>{name}</name><target><path>{path}</path></target></pool>\n"


@dataclass
class Libvirtd:
    """One libvirtd; `start` and `stop` may be repeated, from another process too."""

    name: str
    pools: Mapping[str, Path] = field(default_factory=dict)
    """Directory pools beside `workers`, in which the host's workers have their disks."""
    dies_with_parent: bool = False
    """For tests: it and all its guests end when the process that started it does."""
    network_namespace: str = ""
    """A network namespace (of `ip netns`) to live in; by default the one of whoever starts it."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What libvirt, and what it runs, find in their environment beside our own."""

    def __post_init__(self) -> None:
        self.directory = lab_path("libvirt", self.name)
        self._process: subprocess.Popen[bytes] | None = None

    # --- where things are -----------------------------------------------------------------------------------------------

    @property
    def socket(self) -> Path:
        """Return its socket, by a path short enough for one."""
        path = self.directory / "run/libvirt-sock"
        if len(str(path)) <= SOCKET_BYTES:
            return path
        short = Path(f"/run/ambienti-lab-{hashlib.sha256(str(self.directory).encode()).hexdigest()[:12]}")
        if not short.is_symlink():
            short.symlink_to(self.directory / "run")
        return short / "libvirt-sock"

    def uri(self, driver: str) -> str:
        """Return the URI of one of its drivers: `lxc` or `qemu`."""
        return f"{driver}+unix:///system?socket={self.socket}"

    @property
    def volumes(self) -> Path:
        """Return the directory of its pool `workers`."""
        return self.directory / "volumes"

    def options(self, **more: object) -> dict[str, object]:
        """Return the options of Ambienti's connector for this host; KVM is not even tried."""
        places = {
            "enrolment_directory": str(self.directory / "enrolment"),
            "console_directory": str(self.directory / "consoles"),
        }
        return {"kvm": "off", "disk_pool": "workers", "config_pool": "workers", **places, **more}

    # --- up and down ----------------------------------------------------------------------------------------------------

    def start(self, seconds: float = 180) -> None:
        """Start it and wait until it answers."""
        if not self.keeper():
            self._prepare()
            with (self.directory / "keeper.out").open("ab") as log:
                self._process = subprocess.Popen(
                    ["nsenter", f"--net=/run/netns/{self.network_namespace}"] * bool(self.network_namespace)
                    + ["unshare", "-m", "--propagation", "private", sys.executable, str(KEEPER), str(self.directory)]
                    + [str(os.getpid())] * self.dies_with_parent,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, **self.environment},
                )
            if keeper := known(self._process.pid):
                keeper.keep(self.directory / "keeper.pid")
        self.wait_until_it_answers(seconds)

    def stop(self) -> None:
        """End it and all its guests."""
        keeper = self.keeper()
        if keeper:
            self.thaw()
            keeper.signal(signal.SIGTERM)
            _wait(lambda: not self.keeper(), 120, f"{self.name} does not end")
        (self.directory / "keeper.pid").unlink(missing_ok=True)
        shutil.rmtree(self.directory / "run", ignore_errors=True)

    def remove(self) -> None:
        """Stop it and forget its state."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def crash(self) -> None:
        """Kill the daemon alone, at once; its guests run on."""
        daemon = self.daemon()
        assert daemon, f"{self.name} does not run"
        daemon.signal(signal.SIGKILL)
        _wait(lambda: not daemon.runs(), 60, f"{self.name} does not die")

    def recover(self, seconds: float = 120) -> None:
        """Start the daemon again after a crash."""
        keeper = self.keeper()
        assert keeper, f"{self.name} has ended"
        keeper.signal(signal.SIGUSR1)
        self.wait_until_it_answers(seconds)

    def freeze(self) -> None:
        """Let the daemon answer nothing, with all its connections open."""
        daemon = self.daemon()
        assert daemon, f"{self.name} does not run"
        daemon.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen daemon go on."""
        if daemon := self.daemon():
            daemon.signal(signal.SIGCONT)

    def keeper(self) -> Process | None:
        """Return the process that keeps it, while it runs."""
        if self._process is not None and self._process.poll() is None:
            return known(self._process.pid)
        return kept(self.directory / "keeper.pid")

    def daemon(self) -> Process | None:
        """Return the daemon's process, while it runs."""
        file = self.directory / "libvirtd.pid"
        return named(file, str(file))

    def log(self) -> str:
        """Return what went wrong, in libvirt's words."""
        return "\n".join(
            path.read_text(errors="replace")[-3000:]
            for path in (self.directory / "keeper.out", self.directory / "libvirtd.out", self.directory / "log/libvirtd.log")
            if path.exists()
        )

    def wait_until_it_answers(self, seconds: float) -> None:
        """Wait for an answered call; an open port would prove nothing."""

        def answers() -> bool:
            if not self.keeper():
                raise RuntimeError(f"{self.name} ended:\n{self.log()}")
            return self.answers()

        _wait(answers, seconds, f"{self.name} does not answer:\n{self.log()}")

    def answers(self) -> bool:
        """Whether it answers a call."""
        command = ["virsh", "-q", "-c", self.uri("lxc"), "list", "--name"]
        return subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 0

    # --- guests ---------------------------------------------------------------------------------------------------------

    def guest_pid(self, guest: str, driver: str) -> int:
        """Return the process that a guest is on this host: QEMU, or the first process of a container."""
        pid = self._libvirts_pid(guest, driver)
        if driver == "lxc":  # that is its controller; when only that dies, libvirt asks the rest to end and waits 1.6 s
            (pid,) = map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())
        return pid

    def kill_guest(self, guest: str, driver: str) -> None:
        """Kill a guest's process, as soon as libvirt can notice.

        It calls a container started before the container's controller listens to its child and to libvirt: what dies before is
        shown as running for ever.
        """
        if driver == "lxc":
            controller = self._libvirts_pid(guest, driver)
            _wait(lambda: _catches(controller, signal.SIGCHLD), 120, f"the controller of {guest} does not listen to its child")
            _wait(
                lambda: not self.daemon() or _serves(controller, guest),
                120,
                f"the controller of {guest} does not listen to libvirt",
            )
        os.kill(self.guest_pid(guest, driver), signal.SIGKILL)

    def _libvirts_pid(self, guest: str, driver: str) -> int:
        return int((self.directory / f"run/{driver}/{guest}.pid").read_text())

    def console(self, guest: str) -> str:
        """Return what a guest has said."""
        paths = (self.directory / f"consoles/{guest}.log", self.directory / f"log/lxc/{guest}.log")
        return "\n".join(path.read_text(errors="replace") for path in paths if path.exists())

    def _prepare(self) -> None:
        etc = self.directory / "etc"
        autostart = etc / "storage/autostart"
        for directory in (
            autostart,
            self.volumes,
            self.directory / "enrolment",
            self.directory / "consoles",
            self.directory / "log",
        ):
            directory.mkdir(parents=True, exist_ok=True)
        own = uuid.uuid5(uuid.NAMESPACE_URL, str(self.directory))
        (etc / "libvirtd.conf").write_text(_LIBVIRTD.format(uuid=own, log="/var/log/libvirt/libvirtd.log"))
        (etc / "qemu.conf").write_text(_QEMU)
        for name, path in {"workers": self.volumes, **self.pools}.items():
            (etc / f"storage/{name}.xml").write_text(_POOL.format(name=name, path=path))
            link = autostart / f"{name}.xml"
            link.unlink(missing_ok=True)
            link.symlink_to(f"/etc/libvirt/storage/{name}.xml")


def _catches(pid: int, sort: signal.Signals) -> bool:
    (caught,) = (line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (sort - 1) & 1)


def _serves(controller: int, guest: str) -> bool:
    """Whether the controller of a container has taken up libvirt's connection: one that only waits has no inode yet."""
    sockets = [line.split() for line in Path(f"/proc/{controller}/net/unix").read_text().splitlines()]
    return any(words[-1].endswith(f"lxc/{guest}.sock") and words[5] == "03" and words[6] != "0" for words in sockets)


def _wait(condition, seconds: float, message: str) -> None:
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            raise RuntimeError(message)
        time.sleep(0.05)
