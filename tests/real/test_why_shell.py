"""`ambienti why` from the shell as a physicist uses it: a real pool, the real daemon, hosts of libvirt's test driver."""

import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.real
PROGRAM = Path(sys.executable).with_name("ambienti")
ROOT = Path(__file__).parents[2]
VO = """\
vo: atlas
environments:
  atlas-el9: {virtualization: qemu, image: {path: /srv/no-such-el9.qcow2}, disk: {mode: overlay, size_gib: 10}, vcpus: 2, memory_mib: 2 GiB,
    network: {kind: user}, default: true, maximum_workers: 3, boot_seconds: 10 min}
  atlas-big: {extends: atlas-el9, default: false, vcpus: 4, memory_mib: 8 GiB}
"""


class Shell:
    """A site with a daemon, and a hand to ask it."""

    def __init__(self, directory, pool):
        self.directory, self.pool = directory, pool
        self.site = directory / "site.yaml"
        (directory / "vos").mkdir()
        (directory / "vos/atlas.yaml").write_text(VO)
        shutil.copy(ROOT / "simulations/demo/host.xml", directory / "h1.xml")
        site = {
            "site": "shell",
            "timezone": "Europe/Rome",
            "batch_systems": [{"name": "pool", "options": pool.options()}],
            "hosts": [{"name": "h1", "uri": f"test://{directory}/{{host}}.xml"}],
            "vos": {"atlas": {}},
            "limits": {"poll_seconds": 1, "reading_deadline_seconds": 10},
            "daemon": {"listen": ""},
        }
        self.site.write_text(yaml.safe_dump(site))

    def ambienti(self, *words, code=0):
        environment = {**os.environ, "AMBIENTI_SITE": str(self.site), "COLUMNS": "200"}
        done = subprocess.run([PROGRAM, *words], env=environment, capture_output=True, text=True, timeout=240, check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def until(self, words, holds, seconds=180.0):
        until = time.monotonic() + seconds
        while not holds(told := self.ambienti(*words)):
            assert time.monotonic() < until, told
            time.sleep(0.2)
        return told

    @contextmanager
    def daemon(self):
        log = (self.directory / "log").open("w")
        daemon = subprocess.Popen([PROGRAM, "run", "--site", self.site], stdout=log, stderr=log)
        try:
            yield daemon
        finally:
            daemon.terminate()
            daemon.wait(120)
            log.close()


@pytest.fixture
def shell(pool, tmp_path):
    return Shell(tmp_path, pool)


def test_a_physicist_is_told_why_a_submission_waits_and_what_to_change(shell, pool):
    small = pool.sleep(600, vo="atlas", user="alice", count=3)
    large = pool.sleep(600, vo="atlas", user="alice", count=2, request_cpus=16)
    with shell.daemon():
        told = shell.until(("why", str(large)), lambda text: "Seen by the daemon" in text and "fits" in text)
        assert told.splitlines()[:3] == [
            "None of the 2 environments of VO atlas fits: asks for 16 cores, a worker of atlas-big has 4.",
            "Write `request_cpus = 4` or less: that fits atlas-big.",
            f"{large}: 2 jobs wait, 0 jobs run, 0 jobs are held, 0 jobs are done",
        ]
        told = shell.until(("why", str(small)), lambda text: "3 jobs wait" in text)
        assert told.splitlines()[1] == "Nothing has to change in the submit file: wait."
        told = shell.ambienti("why", f"{small}.1", "--details")
        assert f"job {small}.1 waits, one of 3 idle jobs that ask for the same" in told
        assert "boots on host h1 since " in told
        assert " CE" in told, "the clock times are those of the site's zone"
    assert "no batch system knows a job '987654'" in shell.ambienti("why", "987654", code=1)


def test_a_held_submission_says_why_and_one_that_is_removed_is_over(shell, pool):
    cluster = pool.sleep(600, vo="atlas", user="alice", count=2)
    pool.tool("condor_hold", str(cluster), user="alice")
    with shell.daemon():
        told = shell.until(("why", str(cluster)), lambda text: "is held" in text)
        assert "2 jobs are held" in told
        assert f"Remove the cause, then release it: `condor_release {cluster}.0`." in told
        pool.tool("condor_rm", str(cluster), user="alice")
        told = shell.until(("why", str(cluster)), lambda text: "2 jobs are done" in text)
        assert "asks for nothing" in told
