"""A real name server (dnsmasq) on loopback, with the service records a test gives it."""

import subprocess
import time
from pathlib import Path

from tests.lab.ports import free_port


class NameServer:
    """One dnsmasq on a port of its own; `serve` starts it anew with other records."""

    def __init__(self) -> None:
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return what a resolver asks."""
        return f"127.0.0.1:{self.port}"

    def serve(self, *records: str, zone: str = "farm.test") -> None:
        """Answer for a zone with service records `name,target,port`; nothing else of it exists."""
        self.stop()
        command = ["setpriv", "--pdeathsig=KILL", "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--pid-file="]
        command += ["--no-resolv", "--no-hosts", "--user=root", "--listen-address=127.0.0.1", "--bind-interfaces"]
        command += [f"--port={self.port}", f"--local=/{zone}/", *(f"--srv-host={record}" for record in records)]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        until = time.monotonic() + 120
        while f":{self.port:04X} " not in Path("/proc/net/udp").read_text():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"dnsmasq does not start: {self._process.stderr.read().decode()}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it: whoever asks gets no answer."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(120)
            self._process.stderr.close()
            self._process = None
