"""Who may ask the door for how much; how a client finds it, and to whom it shows a token."""

import pytest

from scheduler.commands.daemon import TokenError, ask, url_of
from scheduler.daemon.limits import Allowance, counted_as
from scheduler.daemon.web import is_called


def test_an_allowance_is_used_up_at_once_and_comes_back_with_time():
    allowance = Allowance(2.0, 10.0)
    assert [allowance.take("a", 0.0) for _ in range(11)] == [True] * 10 + [False]
    assert allowance.take("b", 0.0)
    assert not allowance.take("a", 0.4)
    assert [allowance.take("a", 1.0) for _ in range(3)] == [True, True, False]
    assert sum(allowance.take("a", 1e6) for _ in range(20)) == 10


def test_of_many_names_only_the_last_are_remembered():
    allowance = Allowance(1.0, 1.0, most_names=3)
    for number in range(100):
        assert allowance.take(str(number), 0.0)
    assert [allowance.take(name, 0.0) for name in ("99", "98", "97", "0")] == [False, False, False, True]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::1", "::1"),
        ("", ""),
    ],
)
def test_an_address_of_ipv6_is_counted_with_its_network(address, name):
    assert counted_as(address) == name


@pytest.mark.parametrize(
    ("host", "ours"),
    [("127.0.0.1:1", True), ("[::1]", True), ("LOCALHOST:80", True), ("farm", True), ("farm.:80", True), ("evil", False), (":", False)],
)  # fmt: skip
def test_a_host_is_ours_by_address_or_name(host, ours):
    assert is_called(host, frozenset({"farm"})) is ours


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:9620", "http://127.0.0.1:9620"),
        ("0.0.0.0:9620", "http://127.0.0.1:9620"),
        ("[::]:9620", "http://[::1]:9620"),
        ("farm:9620", "http://farm:9620"),
    ],
)
def test_who_listens_everywhere_is_asked_on_this_machine(listen, url):
    assert url_of(listen) == url


@pytest.mark.parametrize("url", ["http://192.0.2.1:9620", "http://0.0.0.0:9620"])
def test_a_token_is_not_sent_over_the_network_in_the_clear(url):
    with pytest.raises(TokenError, match="in the clear: give an https address"):
        ask(url, "/status", seconds=1, token="sesame", method="POST", content=b"{}")
