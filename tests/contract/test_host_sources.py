"""What every source of hosts must do: one suite for inventory files of both forms and for the DNS."""

import pytest

from connectors.discovery import dns, inventory
from scheduler.model.ports import FoundHost, SourceError
from tests.lab.names import NameServer

HOSTS = (FoundHost("xen1.farm.test", port=16509), FoundHost("xen2.farm.test", port=16514))


class Lines:
    """An inventory with one host a line."""

    name = "hosts.txt"

    def __init__(self, directory):
        self.path = directory / self.name
        self.source = inventory.connect("farm", {"path": self.name}, base=directory, deadline_seconds=60.0)

    def tell(self, hosts):
        self.path.write_text("".join(f"{host.name} port={host.port}\n" for host in hosts))

    def silence(self):
        self.path.unlink(missing_ok=True)

    def break_off(self):
        self.path.write_text("xen1.farm.test port=16509\nxen2.farm.test por")


class InYAML(Lines):
    """An inventory in YAML."""

    name = "hosts.yaml"

    def tell(self, hosts):
        self.path.write_text("hosts:\n" + "".join(f"  - {{name: {host.name}, port: {host.port}}}\n" for host in hosts))

    def break_off(self):
        self.path.write_text("hosts:\n  - {name: xen1.farm.test, port: 16509}\n  - {name: xen2.fa")


class Names:
    """A name server."""

    def __init__(self, directory):
        self.server = NameServer()
        options = {"record": "_libvirt._tcp.farm.test", "servers": [self.server.address]}
        self.source = dns.connect("farm", options, base=directory, deadline_seconds=10.0)

    def tell(self, hosts):
        self.server.serve(*(f"_libvirt._tcp.farm.test,{host.name},{host.port}" for host in hosts))

    def silence(self):
        self.server.stop()

    def break_off(self):
        self.server.serve("_other._tcp.farm.test,xen1.farm.test,16509")


@pytest.fixture(params=[Lines, InYAML, pytest.param(Names, marks=pytest.mark.real)])
def told(request, tmp_path):
    told = request.param(tmp_path)
    yield told
    told.silence()
    told.source.close()


def test_all_hosts_are_named_and_a_change_is_seen_at_the_next_look(told):
    told.tell(HOSTS)
    assert sorted(told.source.read(), key=lambda found: found.name) == list(HOSTS)
    told.tell(HOSTS[:1])
    assert tuple(told.source.read()) == HOSTS[:1]


def test_silence_and_half_an_answer_are_errors_that_name_the_source_and_what_was_asked(told):
    told.tell(HOSTS)
    for fails in (told.silence, told.break_off):
        fails()
        with pytest.raises(SourceError) as caught:
            told.source.read()
        assert (caught.value.source, caught.value.asked) == ("farm", told.source.asks)
        assert caught.value.answer
    told.tell(HOSTS)
    assert len(told.source.read()) == 2
