"""A real Open vSwitch on its userspace datapath, in a network namespace and directories of its own: no kernel module."""

import os
import shutil
import subprocess
import time
from pathlib import Path

from tests.lab.paths import lab_path

SCHEMA = "/usr/share/openvswitch/vswitch.ovsschema"


class Switch:
    """One switch with one bridge."""

    BRIDGE = "ovs0"

    def __init__(self, name: str) -> None:
        self.namespace = f"ambienti-{name}"
        self.directory = lab_path("switch", name)
        self.environment = {
            "OVS_RUNDIR": str(self.directory),
            "OVS_DBDIR": str(self.directory),
            "OVS_LOGDIR": str(self.directory),
        }
        """What a program must know to find it; libvirt calls `ovs-vsctl`."""
        self._processes: list[subprocess.Popen[bytes]] = []
        subprocess.run(["ip", "netns", "add", self.namespace], check=True, timeout=120)
        self.inside("ip", "link", "set", "lo", "up")
        base, where = self.directory / "conf.db", self.directory / "db.sock"
        base.unlink(missing_ok=True)
        self.inside("ovsdb-tool", "create", str(base), SCHEMA)
        self._start("ovsdb-server", str(base), f"--remote=punix:{where}", f"--unixctl={self.directory}/ovsdb.ctl")
        self._until(where.exists)
        self.tell("--no-wait", "init")
        self._start("ovs-vswitchd", f"unix:{where}", f"--unixctl={self.directory}/vswitchd.ctl")
        self.tell("add-br", self.BRIDGE, "--", "set", "bridge", self.BRIDGE, "datapath_type=netdev")

    def tell(self, *words: str) -> str:
        """Run `ovs-vsctl`."""
        return self.inside("ovs-vsctl", "--timeout=10", *words)

    def tags(self) -> dict[str, str]:
        """Return the VLAN tag of each port that guests have."""
        ports = self.tell("list-ports", self.BRIDGE).split()
        return {port: self.tell("get", "port", port, "tag").strip() for port in ports}

    def inside(self, *words: str) -> str:
        """Run a program in the switch's namespace."""
        command = ["ip", "netns", "exec", self.namespace, *words]
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(words)}: {done.stderr or done.stdout}")
        return done.stdout

    def remove(self) -> None:
        """End it and forget its namespace and files."""
        for process in reversed(self._processes):
            process.kill()
            process.wait(120)
        subprocess.run(["ip", "netns", "delete", self.namespace], check=False, timeout=120)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _start(self, *words: str) -> None:
        command = ["ip", "netns", "exec", self.namespace, "setpriv", "--pdeathsig=KILL", *words]
        with (self.directory / f"{words[0]}.log").open("wb") as log:
            environment = {**os.environ, **self.environment}
            self._processes.append(subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment))

    def _until(self, holds) -> None:
        until = time.monotonic() + 120
        while not holds():
            if time.monotonic() > until:
                logs = "\n".join(path.read_text() for path in Path(self.directory).glob("*.log"))
                raise RuntimeError(f"the switch does not start:\n{logs}")
            time.sleep(0.02)
