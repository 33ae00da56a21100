"""Names of machines, ports and addresses: what no resolver and no socket takes is refused before anybody is asked."""

import pytest

from connectors import notify
from connectors.htcondor.options import HTCondorOptions
from environments.hostnames import checked_address, checked_port, unresolvable

POSSIBLE = [
    *(
        "cm",
        "cm.example.org",
        "cm.example.org.",
        "xen-01.rack-a.example.org",
        "192.0.2.1",
        "::1",
        "2001:db8::1",
        "central_manager",
    ),
    *("3com.example", "1", "x" * 63 + ".example", ".".join(["x" * 49] * 5)),
]
IMPOSSIBLE = [
    *(
        "",
        ".",
        "a..b",
        ".a",
        "a b",
        "a_1.example.org",
        "-a",
        "a-",
        "a.-b.c",
        "300.1.1.1",
        "1.2.3",
        "farm.example.1",
        "qualità.it",
    ),
    *("x" * 64, "x" * 64 + ".example", ".".join(["x" * 50] * 5), "a\tb", "a/b", "a@b"),
]


@pytest.mark.parametrize("name", POSSIBLE)
def test_what_some_resolver_may_take_is_taken(name):
    assert unresolvable(name) == ""


@pytest.mark.parametrize("name", IMPOSSIBLE)
def test_what_no_resolver_takes_is_refused(name):
    assert unresolvable(name)


def test_an_alias_of_ssh_may_hold_underscores():
    assert unresolvable("xen_1.rack_a", alias=True) == ""


@pytest.mark.parametrize("port", ["0", "65536", "99999", "-1", "", "9618x", "٣", "1" * 5000])
def test_what_is_no_port_is_refused(port):
    with pytest.raises(ValueError, match="is not a port"):
        checked_port(port)


@pytest.mark.parametrize("address", ["cm", "cm:9618", "192.0.2.1:1", "[::1]:65535", "::1", "[2001:db8::1]"])
def test_an_address_is_a_machine_with_or_without_a_port(address):
    assert checked_address(address, "") == address


@pytest.mark.parametrize("address", ["cm:", "cm:0", "[::1", "[cm]:9618", ":9618", "cm:9618:1", "a b:9618"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ValueError, match="is not"):
        checked_address(address, "")


@pytest.mark.parametrize(
    "collector",
    [
        "cm",
        "cm1.example.org:9618, cm2.example.org:9619",
        "<192.0.2.1:9618?sock=collector>",
        "cm:9618?sock=collector",
        "[::1]:9618",
    ],
)
def test_a_collector_may_be_written_as_htcondor_does(collector):
    assert HTCondorOptions(collector=collector).collector == collector


@pytest.mark.parametrize(
    "options", [{"collector": "cm,"}, {"collector": "cm", "schedds": ("s@a", "S@A")}, {"collector": "c d"}]
)
def test_a_collector_that_cannot_be_and_a_schedd_that_stands_twice_are_refused(options):
    with pytest.raises(ValueError, match=r"is not|twice"):
        HTCondorOptions(**options)


@pytest.mark.parametrize("address", ["mailtos://u:secret@h.example:99999/?to=a@b.org", "jsons://h:0/secret"])
def test_an_address_of_a_person_at_no_port_is_told_without_its_secrets(address):
    with pytest.raises(ValueError, match="a port that is not from 1 to 65535") as told:
        notify.connect("anna", address, deadline_seconds=1)
    assert "secret" not in str(told.value)
