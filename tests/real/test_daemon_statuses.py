"""What the real daemon keeps of statuses: its own looks, those that others report, its own absence; and a foreign watcher agrees."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from environments.identity import Signature
from scheduler.availability.history import Status
from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.windows import between
from scheduler.journal.agreements import Token, add_token, revoke_token
from scheduler.journal.histories import load_history
from scheduler.journal.journal import Journal
from scheduler.model.instants import SECOND
from tests.lab.libvirtd import Libvirtd
from tests.real.test_daemon import Running

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def libvirtd():
    running = Libvirtd(f"statuses-{os.getpid()}", dies_with_parent=True)
    running.start()
    yield running
    running.remove()


@pytest.fixture
def running(tmp_path, libvirtd, request):
    made = Running(tmp_path, libvirtd, **getattr(request, "param", {}))
    (tmp_path / "services.yaml").write_text(
        json.dumps(
            {
                "objects": [{"name": "voms", "freshness": "10m"}],
                "groups": [{"name": "core", "operator": "and", "members": ["lxc1", "pool"]}],
            }
        )
    )
    yield made
    made.close()


def history(running):
    with running.farm.journal() as journal:
        return load_history(journal, time.time())


def statuses(running, name):
    return [r.status.name for r in history(running).results if r.object == name]


@pytest.mark.parametrize("running", [{"limits": {"poll_seconds": 30}}], indirect=True, ids=["seldom-looked"])
def test_a_killed_libvirtd_is_lost_time_and_a_foreign_watcher_agrees(running):
    path, seen, over = running.farm.libvirtd.socket, [], threading.Event()

    def watch():
        while not over.is_set():
            begun = time.time()
            with socket.socket(socket.AF_UNIX) as asked:
                asked.settimeout(1)
                try:
                    asked.connect(str(path))
                    seen.append((begun, True))
                except OSError:
                    seen.append((begun, False))
            over.wait(1.0 - (time.time() - begun))

    running.start()
    running.until(lambda: statuses(running, "lxc1") == ["OK"])
    watcher = threading.Thread(target=watch)
    start = time.time()
    watcher.start()
    time.sleep(2)
    crashing = time.time()
    running.farm.libvirtd.crash()
    crashed = time.time()
    running.until(lambda: statuses(running, "lxc1")[-1] == "CRITICAL")
    time.sleep(4)
    running.farm.libvirtd.recover()
    recovered = time.time()
    running.until(lambda: statuses(running, "lxc1")[-1] == "OK", 240)
    late = time.time() - recovered  # on a busy machine the next look at the host comes later
    time.sleep(2)
    over.set()
    watcher.join()
    end = time.time()
    found = measure(history(running), between(int(start * SECOND), int(end * SECOND), int(end * SECOND)), "excuse")
    down = sum(1.0 for _, well in seen if not well)
    assert down >= 3
    began = next(one.at / SECOND for one in history(running).results if (one.object, one.status.name) == ("lxc1", "CRITICAL"))
    assert crashing <= began <= crashed + 15, "by the connection that broke, not by the next look"
    assert -2 <= found["lxc1"].bad / SECOND - down <= 1 + max(1, late), (found["lxc1"], seen)
    assert found["pool"].bad == 0
    assert found["lxc1"].unknown == 0


def test_a_daemon_that_was_killed_is_a_gap_and_not_up_time(running):
    daemon = running.start()
    running.until(lambda: statuses(running, "pool") == ["OK"])
    time.sleep(2)
    daemon.kill()
    daemon.wait(120)
    killed_at = time.time()
    time.sleep(3)
    running.start()
    running.until(lambda: len(statuses(running, "pool")) == 2)
    whole = history(running)
    (gap,) = whole.gaps
    assert killed_at - 2.5 < gap.start / SECOND <= killed_at
    pool = measure(whole, between(gap.start, gap.end, whole.now), "excuse")["pool"]
    assert (pool.missing, pool.up, pool.bad) == (gap.end - gap.start, 0, 0)


def report(running, token, *words):
    program = Path(sys.executable).with_name("ambienti")
    url = f"http://127.0.0.1:{running.port}"
    asked = [str(program), "status", "report", *words, "--url", url, "--token-file", str(token)]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stderr.strip()


def test_an_outside_check_reports_with_a_token_and_is_told_what_is_wrong(running, tmp_path):
    running.start()
    running.until(lambda: running.health()[0] == 200)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("sesame\n")
    code, said = report(running, token, "voms", "--status", "OK")
    assert (code, "not in force" in said) == (2, True)
    journal = Journal(running.farm.journal_url, now=time.time())
    add_token(journal, Token("nagios", ("core", "vo*")), "sesame", Signature("root"), round(time.time() * SECOND))
    assert report(running, token, "voms", "--nagios-exit-code", "2", "--text", "no answer on 8443") == (0, ""), (
        running.farm.log()
    )
    assert report(running, token, "voms", "--status", "warning", "--id", "7") == (0, "")
    code, said = report(running, token, "vosm", "--status", "OK")
    assert (code, "did you mean voms?" in said) == (1, True), said
    code, said = report(running, token, "voms", "--status", "fine")
    assert (code, "'fine' is not a status" in said) == (2, True), said
    code, said = report(running, token, "voms", "--status", "OK", "--at", "2999-01-01")
    assert (code, "at: 2999-01-01T00:00:00Z does not lie in the past" in said) == (2, True), said
    assert statuses(running, "voms") == ["CRITICAL", "WARNING"]
    line = journal.events(subject="voms", kind="status")[0]
    assert (line.note.detail["by"], line.note.detail["text"]) == ("nagios", "no answer on 8443")
    token.chmod(0o644)
    assert report(running, token, "voms", "--status", "OK") == (2, f"token {token} may be read by others: chmod 600 {token}")
    token.chmod(stat.S_IRUSR)
    revoke_token(journal, "nagios", Signature("root"), round(time.time() * SECOND))
    assert report(running, token, "voms", "--status", "OK")[0] == 2
    journal.close()
    assert [r.status for r in history(running).results if r.object == "voms"] == [Status.CRITICAL, Status.WARNING]
