"""Hosts named by a real name server: what is an answer, what is none, and a running daemon's hosts that come and go by it."""

import contextlib
import json
import os
import signal
import socket
import tempfile
import time
import urllib.request
from pathlib import Path

import libvirt
import pytest

from connectors.discovery.dns import connect
from scheduler.model.ports import FoundHost, SourceError
from tests.lab.crashes import LIMITS, SITE, CrashFarm
from tests.lab.libvirtd import Libvirtd
from tests.lab.names import NameServer
from tests.lab.ports import free_port

pytestmark = pytest.mark.real
RECORD = "_libvirt._tcp.farm.test"


@pytest.fixture
def names():
    server = NameServer()
    yield server
    server.stop()


def ask(names, record=RECORD, seconds=60.0):
    return connect("farm", {"record": record, "servers": [names.address]}, base=Path(), deadline_seconds=seconds).read()


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_targets_of_a_service_record_are_the_hosts(names):
    names.serve(f"{RECORD},XEN2.farm.test,16514", f"{RECORD},xen1.farm.test,16509,1,5", "_other._tcp.farm.test,x.farm.test,1")
    assert ask(names) == (FoundHost("xen1.farm.test", port=16509), FoundHost("xen2.farm.test", port=16514))


def test_an_answer_too_large_for_one_packet_is_whole(names):
    hosts = [f"node{number:03}.a-rather-long-name-of-a-rack.farm.test" for number in range(300)]
    names.serve(*(f"{RECORD},{host},16509" for host in hosts))
    assert [found.name for found in ask(names)] == hosts


def test_a_name_without_hosts_is_no_answer(names):
    names.serve("_other._tcp.farm.test,x.farm.test,1")
    with pytest.raises(SourceError, match=rf"farm: SRV {RECORD}: the DNS knows no such name"):
        ask(names)
    with pytest.raises(SourceError, match=r"knows no such name|no service records"):
        ask(names, "_libvirt._tcp.x.farm.test")


def test_a_refusal_and_silence_are_no_answers(names):
    names.serve(f"{RECORD},xen1.farm.test,16509")
    with pytest.raises(SourceError, match="REFUSED"):
        ask(names, "_libvirt._tcp.elsewhere.org")
    names.stop()
    begun = time.monotonic()
    with pytest.raises(SourceError):
        ask(names, seconds=1)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", names.port))
        with pytest.raises(SourceError, match="expired"):
            ask(names, seconds=1)
    assert time.monotonic() - begun < 120


# --- a daemon ---------------------------------------------------------------------------------------------------------


class NamedFarm(CrashFarm):
    """Two real hosts behind names: the daemon knows a record, not them."""

    def __init__(self, directory, boxes, names):
        self.names = names
        self.sockets = Path(tempfile.mkdtemp(prefix="ambienti-"))  # short enough for the path of a socket
        self.boxes = {f"box{number}.farm.test": box for number, box in enumerate(boxes, 1)}
        for host, box in self.boxes.items():
            (self.sockets / host).symlink_to(box.socket)
        self.hands = {host: libvirt.open(box.uri("lxc")) for host, box in self.boxes.items()}
        self.listen = f"127.0.0.1:{free_port()}"
        super().__init__(directory, boxes[0])

    def write_site(self, limits=None, listen="", hosts=1):
        options = {"kvm": "off", "enrolment_directory": str(self.directory / "enrolment")}
        found = {"uri": f"lxc+unix:///system?socket={self.sockets}/{{host}}", "cpu_overcommit": 50.0, "options": options}
        discovery = {
            "name": "farm",
            "kind": "dns",
            "options": {"record": RECORD, "servers": [self.names.address]},
            "every_seconds": 1,
            "leave_seconds": 1,
            "hosts": found,
        }
        site = {
            "site": SITE,
            "batch_systems": [{"name": "pool", "kind": "outside", "options": {"socket": str(self.queue.socket)}}],
            "discover": [discovery],
            "vos": {"atlas": {}},
            "limits": LIMITS | {"reading_deadline_seconds": 2},
            "daemon": {"listen": self.listen, "lease_seconds": 10, "journal": self.journal_url},
        }
        self.site_file.write_text(json.dumps(site))

    def on(self, host):
        return {domain.name() for domain in self.hands[host].listAllDomains()}

    def domains(self):
        return [name for host in self.boxes for name in self.on(host)]

    def seen(self):
        with contextlib.suppress(OSError), urllib.request.urlopen(f"http://{self.listen}/healthz", timeout=30) as answer:
            return json.loads(answer.read())["sources"]
        return {}

    def until(self, holds, seconds=120.0):
        until = time.monotonic() + seconds
        while not (found := holds()):
            assert time.monotonic() < until, f"not within {seconds} s: {self.seen()}\n{self.log()}"
            time.sleep(0.05)
        return found

    def close(self):
        super().close()
        for host, hand in self.hands.items():
            for domain in hand.listAllDomains():
                domain.destroy()
            hand.close()
            (self.sockets / host).unlink()
        self.sockets.rmdir()


@pytest.fixture
def farm(tmp_path, names):
    boxes = [Libvirtd(f"named{number}-{os.getpid()}", dies_with_parent=True) for number in (1, 2)]
    for box in boxes:
        box.start()
    farm = NamedFarm(tmp_path, boxes, names)
    yield farm
    farm.close()
    for box in boxes:
        box.remove()


def test_a_daemon_lives_with_hosts_that_the_dns_names(farm, names):
    one, two = farm.boxes
    daemon = farm.start()
    farm.queue.submit(1)
    refused = farm.until(lambda: farm.seen().get("farm"))
    assert not refused["answers"]
    assert farm.seen().keys() == {"pool", "farm"}

    names.serve(f"{RECORD},{one},16509")  # the farm is told: a worker boots without any restart
    farm.until(lambda: len(farm.queue.running()) == 1)
    (worker,) = farm.on(one)

    names.serve("_other._tcp.farm.test,x.farm.test,1")  # the name is lost: nothing changes
    farm.until(lambda: not farm.seen()["farm"]["answers"])
    daemon.send_signal(signal.SIGKILL)
    daemon.wait(120)
    names.stop()
    daemon = farm.start()  # nor does it at a restart without any name server
    farm.until(lambda: farm.seen().get(one) == {"answers": True} and not farm.seen()["farm"]["answers"])
    assert farm.on(one) == {worker}

    names.serve(f"{RECORD},{two},16509")  # another host takes its place: the first one is emptied, its job ends in peace
    farm.until(lambda: two in farm.seen())
    with farm.journal() as journal:
        farm.until(lambda: journal.entry(worker).drain_cause == "host-drain")
        time.sleep(1)
        assert farm.on(one) == {worker}
        assert one in farm.seen()
        farm.queue.complete_all()
        farm.until(lambda: not farm.on(one))
        farm.until(lambda: one not in farm.seen())  # and forgotten once nothing of ours is on it
        assert "no longer" in farm.log()
        assert journal.ledger().entries.keys() == farm.on(two)
    daemon.terminate()
    assert daemon.wait(120) == 0
