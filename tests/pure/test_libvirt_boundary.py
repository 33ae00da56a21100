"""Whatever goes wrong inside the libvirt connector reaches the loop as a SourceError, with the host and what was asked."""

import contextlib
import errno

import libvirt
import pytest

from connectors.libvirt import connect
from connectors.libvirt.line import HostConnection, as_source_error
from environments.domain import parse_identity
from environments.environment import Environment, Image
from scheduler.model.ports import SourceError
from tests.contract.hypervisors import SITE, order

EVIL = ["a\0b", "lone \ud800 surrogate", "\x1b[2J", "\n" * 3]
RAISED = [
    ValueError("embedded null character"),
    OSError(errno.ENOSPC, "No space left on device"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
    libvirt.libvirtError("internal error"),
    KeyError("total"),
    RecursionError("too deep"),
]


@pytest.fixture
def host():
    made = connect("h1", "test:///default", {"disk_pool": "default-pool"}, site=SITE, deadline_seconds=5.0)
    yield made
    made.close()


@pytest.mark.parametrize("raised", RAISED, ids=lambda error: type(error).__name__)
def test_any_error_of_an_operation_is_the_source_s(raised):
    def operation(_talk):
        raise raised

    line = HostConnection("h1", "test:///default", deadline_seconds=5.0, keepalive_seconds=5)
    with pytest.raises(SourceError) as caught:
        line.run("read the host", operation)
    assert (caught.value.source, caught.value.asked) == ("h1", "read the host")
    assert caught.value.__cause__ is raised
    assert line.run("read the host", lambda talk: talk.host) == "h1"  # the line is as good as before
    line.close()


def test_a_source_error_stays_the_one_it_was():
    error = SourceError("h1", "boot", "no")
    assert as_source_error(error, "h2", "read") is error


@pytest.mark.parametrize("text", EVIL)
def test_texts_that_libvirt_cannot_be_given_are_refused_and_nothing_else_happens(host, text):
    for call in (
        lambda: host.domain(text),
        lambda: host.power_off(text, text),
        lambda: host.clean_up(text, text),
        lambda: host.boot(order(environment(text))),
        lambda: host.check(environment(text)),
    ):
        with contextlib.suppress(SourceError):  # libvirt's own XML of such a text may be as good as any other
            call()
    assert "test" in {domain.name for domain in host.read().domains}
    host.power_off("el9-1", order(environment(text)).uuid)


def environment(text):
    image = Image.model_construct(
        path=f"/srv/{text}", kernel=f"/boot/{text}", initrd=f"/boot/{text}", cmdline=text, format="qcow2"
    )
    made = Environment(name="el9", vo="atlas", virtualization="xen-pv", memory_mib=512, disk={"mode": "overlay"})
    return made.model_copy(update={"image": image, "network": made.network.model_copy(update={"source": text})})


def test_a_uri_that_libvirt_cannot_read_is_an_error_of_that_host():
    for uri in ("test:///a\0b", "test:///\ud800", "nonsense://x/y"):
        host = connect("h1", uri, {}, site="x", deadline_seconds=5.0)
        with pytest.raises(SourceError):
            host.read()
        host.close()


@pytest.mark.parametrize(
    "xml",
    [
        "<worker>\ud800</worker>",
        "<worker",
        (
            "<worker><site>a</site><worker>w</worker><environment>e</environment><version>1</version><vo>v</vo>"
            "<batch_system>p</batch_system><serial>99999999999999999999</serial><requested_at>1</requested_at></worker>"
        ),
        (
            "<worker><site>a</site><worker>w</worker><environment>e</environment><version>1</version><vo>v</vo>"
            "<batch_system>p</batch_system><serial>1</serial><requested_at>nan</requested_at></worker>"
        ),
    ],
)
def test_an_identity_that_is_none_makes_its_domain_a_stranger(xml):
    assert parse_identity(xml) is None
