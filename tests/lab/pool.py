"""A real HTCondor pool on a loopback address: collector, negotiator, schedds; the workers are somebody else's.

Started by root it runs as `nobody`; started by anybody else as that user. Users are simulated by tokens: a job's owner is whoever
the token says, the process runs as the pool's own user.
"""

import contextlib
import json
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.htcondor_release import install
from tests.lab.paths import lab_directory, traversable_by_others

ADDRESS = "127.0.0.2"
PORT = 19618
DOMAIN = "lab.test"
GROUPS = ("atlas", "cms", "theory")
WORKER_KEY = "AMBIENTI"
_TEMPLATE = Path(__file__).parent / "files" / "pool.conf"


@dataclass
class Pool:
    """A pool with its own directory and port; `start` and `stop` may be repeated."""

    directory: Path
    port: int = PORT
    schedds: tuple[str, ...] = ("schedd",)
    address: str = ADDRESS
    extra: str = ""
    """Further configuration of the daemons."""
    dies_with_parent: bool = False
    """For tests: the pool ends when the process that started it does."""
    release: Path = field(init=False)

    def __post_init__(self) -> None:
        self.release = install()

    # --- where things are -----------------------------------------------------------------------------------------------

    @property
    def collector(self) -> str:
        """Return the address of the collector."""
        return f"{self.address}:{self.port}"

    @property
    def user(self) -> str:
        """Return the account that the daemons run as."""
        return "nobody" if os.getuid() == 0 else pwd.getpwuid(os.getuid()).pw_name

    @property
    def jobs(self) -> Path:
        """Return the directory in which jobs are submitted and leave their output."""
        return self.directory / "jobs"

    def options(self) -> dict[str, object]:
        """Return the options of Ambienti's connector for this pool."""
        return {
            "collector": self.collector,
            "config": str(self.client("ambienti")),
            "signing_key": WORKER_KEY,
            "token_create": str(self.release / "bin/condor_token_create"),
            "drain": str(self.program("condor_drain")),
            "settle_seconds": 0,
            "history_seconds": 0,
        }

    # --- up and down ----------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the daemons and wait until every schedd is known to the collector."""
        if self.running():
            return
        self._prepare()
        log = (self.directory / "log/master.out").open("ab")
        command = [*self._become(), str(self.release / "sbin/condor_master"), "-f"]
        self._process = subprocess.Popen(
            command,
            cwd=self.directory,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        log.close()
        (self.directory / "master.pid").write_text(f"{self._process.pid}\n")
        self._wait_for_schedds()

    def stop(self) -> None:
        """Stop the daemons that this directory's pid file names, and their children."""
        pid = self.running()
        if pid:
            family = _descendants(pid)
            os.kill(pid, signal.SIGQUIT)
            if not _wait(lambda: not self.running(), 10):
                os.kill(pid, signal.SIGKILL)
            for child in family:
                if _executable(child).startswith(str(self.release)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(child, signal.SIGKILL)
        process = getattr(self, "_process", None)
        if process is not None:
            process.wait(120)
        (self.directory / "master.pid").unlink(missing_ok=True)

    def running(self) -> int:
        """Return the pid of the master, or 0."""
        try:
            pid = int((self.directory / "master.pid").read_text())
        except (OSError, ValueError):
            return 0
        process = getattr(self, "_process", None)
        if process is not None and process.pid == pid:
            return pid if process.poll() is None else 0
        return pid if _executable(pid).endswith("/condor_master") else 0

    def daemon(self, name: str) -> int:
        """Return the pid of one daemon (`collector`, `negotiator`, or the name of a schedd); it must run."""
        local = [] if name in {"collector", "negotiator"} else ["-local-name", name]
        program = f"condor_{name}" if not local else "condor_schedd"
        for pid in _descendants(self.running()):
            words = _command_line(pid)
            if _executable(pid).endswith(f"/{program}") and (not local or name == "schedd" or name in words):
                if name == "schedd" and "-local-name" in words:
                    continue
                return pid
        raise LookupError(f"no {program} of {self.directory} is running")

    def kill_schedd(self, name: str = "schedd") -> None:
        """End a schedd with SIGKILL; the master starts it again."""
        os.kill(self.daemon(name), signal.SIGKILL)

    def restart_schedd(self, name: str = "schedd") -> None:
        """Have the master start a schedd anew, as an administrator does after hooks were installed; returns when the new one runs."""
        before = self.daemon(name)
        self.tool("condor_restart", "-daemon", "schedd")

        def runs_anew() -> bool:
            with contextlib.suppress(LookupError):
                return self.daemon(name) != before
            return False

        if not _wait(runs_anew, 60):
            raise RuntimeError(f"the schedd of {self.directory} was not started anew")

    @contextlib.contextmanager
    def without_schedd(self, name: str = "schedd") -> Iterator[None]:
        """Kill a schedd and keep it away for a while: the master, which would start it again, holds still."""
        schedd, master = self.daemon(name), self.running()
        os.kill(master, signal.SIGSTOP)
        try:
            os.kill(schedd, signal.SIGKILL)
            yield
        finally:
            os.kill(master, signal.SIGCONT)

    @contextlib.contextmanager
    def stopped(self, name: str) -> Iterator[None]:
        """Let one daemon hold still (SIGSTOP) for a while: it accepts connections and never answers."""
        pid = self.daemon(name)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    # --- clients --------------------------------------------------------------------------------------------------------

    def client(self, user: str) -> Path:
        """Return the configuration (for CONDOR_CONFIG) with which `user` talks to this pool; made on first use."""
        home = self.directory / "clients" / user
        config = home / "condor_config"
        if not (home / "tokens" / user).exists():
            (home / "tokens").mkdir(parents=True, exist_ok=True, mode=0o700)
            (home / "keys").mkdir(exist_ok=True, mode=0o700)
            identity = f"{user}@{DOMAIN}"
            _secret(home / "tokens" / user, self._token(identity, "POOL"))
            if user == "ambienti":
                _secret(home / "keys" / WORKER_KEY, (self.directory / "keys" / WORKER_KEY).read_bytes())
        text = self._client_config(home)
        if not config.exists() or config.read_text() != text:
            config.write_text(text)
        return config

    def submit(self, description: Mapping[str, object] | str, user: str = "alice", count: int = 1) -> int:
        """Submit jobs as `user` by condor_submit; return the cluster's id. A refusal is a RuntimeError with its text."""
        if not isinstance(description, str):
            description = "".join(f"{key} = {value}\n" for key, value in description.items()) + f"queue {count}\n"
        text = self.tool("condor_submit", "-terse", "-", user=user, given=description)
        return int(text.split(".", 1)[0])

    def sleep(self, seconds: float = 0, *, vo: str = "atlas", user: str = "alice", count: int = 1, **more: object) -> int:
        """Submit jobs that sleep; `environment="x"` is what they want, other words are submit commands."""
        description: dict[str, object] = {
            "executable": "/bin/sleep",
            "transfer_executable": "false",
            "should_transfer_files": "yes",
            "arguments": f"{seconds:g}",
            "initialdir": self.jobs,
            "request_cpus": 1,
            "request_memory": 32,
            "request_disk": 1000,
            "accounting_group": f"group_{vo}",
            "accounting_group_user": user,
        }
        environment = more.pop("environment", None)
        if environment is not None:
            description["+WantEnvironment"] = f'"{environment}"'
        return self.submit({**description, **more}, user=user, count=count)

    def submit_by_bindings(self, seconds: float = 0, *, vo: str = "atlas", user: str = "alice", environment: str = "") -> int:
        """Submit one sleeping job as `user` through the Python bindings, in a process of its own: they read one configuration."""
        description = {
            "executable": "/bin/sleep",
            "transfer_executable": "false",
            "should_transfer_files": "yes",
            "arguments": f"{seconds:g}",
            "initialdir": str(self.jobs),
            "request_cpus": "1",
            "request_memory": "32",
            "request_disk": "1000",
            "accounting_group": f"group_{vo}",
            "accounting_group_user": user,
            **({"My.WantEnvironment": f'"{environment}"'} if environment else {}),
        }
        program = (
            "import htcondor2, json, sys\n"
            "where = htcondor2.Collector().locate(htcondor2.DaemonType.Schedd)\n"
            "print(htcondor2.Schedd(where).submit(htcondor2.Submit(json.load(sys.stdin))).cluster())\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            input=json.dumps(description),
            env={**os.environ, "CONDOR_CONFIG": str(self.client(user))},
            capture_output=True,
            text=True,
            timeout=180,
        )
        if done.returncode:
            raise RuntimeError(f"htcondor2 submit: {done.stderr.strip().splitlines()[-1]}")
        return int(done.stdout)

    def remove(self, constraint: str = "true") -> None:
        """Remove jobs as the pool's administrator, running ones too, and wait until none is left."""
        for force in ((), ("-forcex",)):
            self.tool("condor_rm", *force, "-constraint", constraint, user="root", check=False)
        _wait(lambda: not self.queue("-constraint", constraint, "-attributes", "ProcId"), 10)

    def ads(self, *arguments: str) -> list[dict[str, object]]:
        """Return ads of the collector as condor_status gives them (JSON)."""
        text = self.tool("condor_status", "-json", *arguments)
        return json.loads(text) if text.strip() else []

    def queue(self, *arguments: str) -> list[dict[str, object]]:
        """Return job ads as condor_q gives them (JSON)."""
        text = self.tool("condor_q", "-allusers", "-json", *arguments)
        return json.loads(text) if text.strip() else []

    def history(self, cluster: int) -> list[dict[str, object]]:
        """Return the ads of jobs that have left the queue."""
        text = self.tool("condor_history", "-json", str(cluster))
        return json.loads(text) if text.strip() else []

    def tool(self, program: str, *arguments: str, user: str = "", given: str = "", check: bool = True) -> str:
        """Run one of HTCondor's programs as `user` (by default the pool's own) and return what it prints."""
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.directory),
            "CONDOR_CONFIG": str(self.client(user or self.user)),
        }
        done = subprocess.run(
            [str(self.program(program)), *arguments],
            input=given,
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            cwd="/",
        )
        if check and done.returncode:
            raise RuntimeError(f"{program} {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def configure(self, name: str, text: str) -> None:
        """Put a file into the daemons' configuration directory and let them read it."""
        (self.directory / "config.d" / name).write_text(text)
        # The master passes it on to all its daemons; `condor_reconfig` would need the master's ad, which comes seconds after the start.
        os.kill(self.running(), signal.SIGHUP)

    def forget_configuration(self) -> None:
        """Take away what `configure` put there."""
        files = list((self.directory / "config.d").iterdir())
        for path in files:
            path.unlink()
        if files:
            os.kill(self.running(), signal.SIGHUP)

    def program(self, name: str) -> Path:
        """Return where a program of HTCondor lies."""
        path = self.release / "bin" / name
        return path if path.exists() else self.release / "sbin" / name

    # --- inside ---------------------------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        for name in ("log", "spool", "execute", "lock", "run", "tokens", "keys", "jobs", "config.d", "clients"):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        for key in ("POOL", WORKER_KEY):
            if not (self.directory / "keys" / key).exists():
                _secret(self.directory / "keys" / key, secrets.token_urlsafe(48).encode())
        (self.directory / "condor_config").write_text(self._daemon_config())
        for private in ("keys", "tokens", "clients"):
            (self.directory / private).chmod(0o700)
        (self.directory / "jobs").chmod(0o777)
        if os.getuid() == 0:
            account = pwd.getpwnam(self.user)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            for name in ("log", "spool", "execute", "lock", "run", "tokens", "keys", "jobs"):
                for path in (self.directory / name, *(self.directory / name).iterdir()):
                    os.chown(path, account.pw_uid, account.pw_gid)
            # What clients sign with must belong to root, who reads it.
            shutil.copytree(self.directory / "keys", self.directory / "clients/.keys", dirs_exist_ok=True)

    def _daemon_config(self) -> str:
        account = pwd.getpwnam(self.user)
        further = [name for name in self.schedds if name != "schedd"]
        lines = [f"CONDOR_IDS = {account.pw_uid}.{account.pw_gid}", f"POOL_USER = {self.user}"]
        for name in further:
            upper = name.upper()
            lines += [
                f"DAEMON_LIST = $(DAEMON_LIST) {upper}",
                f"{upper} = $(SCHEDD)",
                f"{upper}_ARGS = -local-name {name}",
                f"{name}.SCHEDD_NAME = {name}@",
                f"{name}.SCHEDD_LOG = {self.directory}/log/{name}.log",
                f"{name}.SPOOL = {self.directory}/spool/{name}",
                f"{name}.SCHEDD_ADDRESS_FILE = {self.directory}/spool/{name}/.schedd_address",
                f"{name}.SCHEDD_DAEMON_AD_FILE = {self.directory}/spool/{name}/.schedd_classad",
                f"DC_DAEMON_LIST = +{upper}",
            ]
            (self.directory / "spool" / name).mkdir(parents=True, exist_ok=True)
        return "\n".join([self._common_config(self.directory), _TEMPLATE.read_text(), *lines, self.extra, ""])

    def _common_config(self, home: Path) -> str:
        return f"""\
RELEASE_DIR = {self.release}
LAB_POOL = {self.directory}
LAB_HOME = {home}
LAB_ADDRESS = {self.address}
LAB_PORT = {self.port}
LAB_DOMAIN = {DOMAIN}
LAB_GROUPS = {", ".join(f"group_{name}" for name in GROUPS)}
"""

    def _client_config(self, home: Path) -> str:
        # Without a shared port, connections that are opened in reverse come to the client itself.
        return f"""\
{self._common_config(home)}
LOCAL_DIR = {home}
LOG = {home}
LOCAL_CONFIG_FILE =
LOCAL_CONFIG_DIR =
CONDOR_IDS = {os.getuid()}.{os.getgid()}
CONDOR_HOST = {self.address}
COLLECTOR_HOST = {self.collector}
NETWORK_INTERFACE = {self.address}
ENABLE_IPV6 = False
NO_DNS = True
DEFAULT_DOMAIN_NAME = {DOMAIN}
UID_DOMAIN = {DOMAIN}
TRUST_DOMAIN = {DOMAIN}
USE_SHARED_PORT = False
SCHEDD_HOST = schedd@
SEC_DEFAULT_AUTHENTICATION = REQUIRED
SEC_DEFAULT_INTEGRITY = PREFERRED
SEC_DEFAULT_ENCRYPTION = OPTIONAL
SEC_CLIENT_AUTHENTICATION_METHODS = TOKEN
SEC_TOKEN_DIRECTORY = {home}/tokens
SEC_TOKEN_SYSTEM_DIRECTORY = {home}/tokens
SEC_PASSWORD_DIRECTORY = {home}/keys
CREATE_CORE_FILES = False
"""

    def _token(self, identity: str, key: str) -> bytes:
        keys = self.directory / ("clients/.keys" if os.getuid() == 0 else "keys")
        environment = {
            "CONDOR_CONFIG": "ONLY_ENV",
            "_CONDOR_SEC_PASSWORD_DIRECTORY": str(keys),
            "_CONDOR_SEC_TOKEN_POOL_SIGNING_KEY_FILE": str(keys / "POOL"),
            "_CONDOR_TRUST_DOMAIN": DOMAIN,
            "_CONDOR_UID_DOMAIN": DOMAIN,
            "_CONDOR_NO_DNS": "True",
            "_CONDOR_CONDOR_IDS": f"{os.getuid()}.{os.getgid()}",
            "_CONDOR_DEFAULT_DOMAIN_NAME": DOMAIN,
            "_CONDOR_NETWORK_INTERFACE": self.address,
            "_CONDOR_TOOL_LOG": "/dev/null",
        }
        command = [str(self.release / "bin/condor_token_create"), "-identity", identity, "-key", key]
        done = subprocess.run(command, env=environment, capture_output=True, timeout=240, cwd="/")
        if done.returncode or not done.stdout.strip():
            raise RuntimeError(f"condor_token_create: {done.stderr.decode()}")
        return done.stdout.strip()

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.directory),
            "CONDOR_CONFIG": str(self.directory / "condor_config"),
        }

    def _become(self) -> list[str]:
        """Return the words that turn root into the pool's user; it may still reach a lab below a closed directory."""
        words = ["setpriv"]
        if os.getuid() == 0:
            words += [f"--reuid={self.user}", f"--regid={pwd.getpwnam(self.user).pw_gid}", "--clear-groups"]
            if not traversable_by_others(self.directory.parent):
                # access(2) ignores the capability of anybody but root unless the kernel is told not to fix it up.
                words += ["--securebits=+no_setuid_fixup", "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
        if self.dies_with_parent:
            words.append("--pdeathsig=TERM")
        return words if len(words) > 1 else []

    def _wait_for_schedds(self) -> None:
        def known() -> bool:
            if not self.running():
                tail = (self.directory / "log/master.out").read_text()[-2000:]
                raise RuntimeError(f"the pool ended at once: {tail}")
            text = self._listening() and self.tool("condor_status", "-schedd", "-af", "Name", check=False)
            return bool(text) and len(text.split()) >= len(self.schedds)

        if not _wait(known, 60):
            raise RuntimeError(f"the pool in {self.directory} did not come up")

    def _listening(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex((self.address, self.port)) == 0


def free_port(address: str = ADDRESS) -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return probe.getsockname()[1]


def lab_pool() -> Pool:
    """Return the pool of `make lab` (not started)."""
    return Pool(lab_directory() / "pool")


@contextlib.contextmanager
def test_pool(name: str = "test", **more: object) -> Iterator[Pool]:
    """Run a pool of one's own on a free port; nothing of it is left afterwards."""
    directory = lab_directory() / "pools" / f"{name}-{os.getpid()}"
    _sweep(directory.parent)
    shutil.rmtree(directory, ignore_errors=True)
    pool = Pool(directory, port=free_port(), dies_with_parent=True, **more)
    try:
        pool.start()
        yield pool
    finally:
        pool.stop()
        shutil.rmtree(directory, ignore_errors=True)


def _sweep(directory: Path) -> None:
    """Remove what test sessions that were killed have left."""
    for left in directory.glob("*-*"):
        owner = left.name.rsplit("-", 1)[-1]
        if owner.isdigit() and not Path(f"/proc/{owner}").exists():
            Pool(left).stop()
            shutil.rmtree(left, ignore_errors=True)


def _secret(path: Path, content: bytes) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)


def _wait(condition, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *_descendants(child)]
    return found


def _executable(pid: int) -> str:
    try:
        return str(Path(f"/proc/{pid}/exe").readlink())
    except OSError:
        return ""


def _command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
    except OSError:
        return []
