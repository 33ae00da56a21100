"""A real PostgreSQL in a temporary directory: Debian's programs, an unprivileged user, a Unix socket and no port."""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

FOLDERS = (*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True), Path("/usr/local/bin"), Path("/usr/bin"))


def programs() -> Path | None:
    """Return the folder of initdb and postgres; None when PostgreSQL is not installed."""
    return next((folder for folder in FOLDERS if (folder / "initdb").exists() and (folder / "postgres").exists()), None)


class PostgreSQL:
    """A running server; `close` ends it and removes everything."""

    def __init__(self) -> None:
        folder = programs()
        assert folder is not None, "PostgreSQL is not installed (Debian: apt-get install postgresql)"
        self._folder = folder
        self.directory = Path(tempfile.mkdtemp(prefix="ambienti-pg-"))
        self._user = None
        if os.geteuid() == 0:  # the server refuses to run as root
            self._user = next(name for name in ("postgres", "nobody") if _exists(name))
            shutil.chown(self.directory, self._user)
        data = self.directory / "data"
        made = self._run(
            [folder / "initdb", "-D", data, "-U", "ambienti", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        )
        assert made.returncode == 0, made.stderr
        options = {"listen_addresses": "", "unix_socket_directories": self.directory, "fsync": "off", "shared_buffers": "16MB"}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        with (self.directory / "log").open("w") as log:
            self._server = subprocess.Popen(
                [folder / "postgres", "-D", data, *settings], stdout=log, stderr=log, user=self._user, cwd=self.directory
            )
        for _ in range(300):
            if self._run([folder / "pg_isready", "-h", self.directory, "-q"]).returncode == 0:
                return
            assert self._server.poll() is None, (self.directory / "log").read_text()
            time.sleep(0.05)
        raise TimeoutError((self.directory / "log").read_text())

    def url(self, name: str) -> str:
        """Make an empty database and return its URL."""
        made = self._run([self._folder / "createdb", "-h", self.directory, "-U", "ambienti", name])
        assert made.returncode == 0, made.stderr
        return f"postgresql+psycopg://ambienti@/{name}?host={self.directory}"

    def close(self) -> None:
        """End the server at once and remove its files."""
        self._server.send_signal(signal.SIGQUIT)
        self._server.wait(120)
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, command: list) -> subprocess.CompletedProcess:
        command = [str(part) for part in command]
        return subprocess.run(
            command, user=self._user, cwd=self.directory, capture_output=True, text=True, timeout=240, check=False
        )


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
