"""The daemon's door under attack: slow, broken and greedy clients; it stays quiet, small, and open for everybody else."""

import contextlib
import json
import resource
import socket
import statistics
import subprocess
import sys
import threading
import time

import pytest

from scheduler.commands.daemon import NoAnswerError, ask

pytestmark = pytest.mark.real
SLOW = 1500


class Attacked:
    """The door in a process of its own."""

    def __init__(self, directory, listen="127.0.0.1:0"):
        self.directory = directory
        words = [sys.executable, "-m", "tests.lab.door", str(directory), listen]
        self._log = (directory / "log").open("wb")
        self._process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._log, text=True, bufsize=1
        )
        self.address = self._process.stdout.readline().strip()
        self.port = int(self.address.rpartition(":")[2])
        self.told = []
        self._reader = threading.Thread(target=lambda: self.told.extend(self._process.stdout), daemon=True)
        self._reader.start()

    @property
    def log(self):
        return (self.directory / "log").read_text()

    def files(self):
        return max(int(line.split()[0]) for line in self.told)

    def cpu(self):
        return float(self.told[-1].split()[1])

    def connect(self):
        made = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        made.settimeout(120)
        return made

    def say(self, content, *, end=False):
        """Send bytes and read until the other side ends."""
        with self.connect() as made:
            return _said(made, content, end=end)

    def get(self, path="/healthz", **options):
        return ask(f"http://127.0.0.1:{self.port}", path, seconds=120, **options)

    def close(self):
        self._process.stdin.close()
        ended = self._process.wait(120)
        self._reader.join(120)
        self._process.stdout.close()
        self._log.close()
        assert ended == 0, self.log


def _send(made, content):
    with contextlib.suppress(ConnectionError):
        made.sendall(content)


def _said(made, content, *, end=False):
    _send(made, content)
    with contextlib.suppress(OSError):
        if end:
            made.shutdown(socket.SHUT_WR)
    told = b""
    with contextlib.suppress(ConnectionError):
        while piece := made.recv(65536):
            told += piece
    return told


@pytest.fixture
def door(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    made = Attacked(tmp_path)
    yield made
    made.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


REPORT = json.dumps({"object": "voms", "status": "OK"}).encode()


def report(door, token="sesame", content=REPORT):
    return door.get("/status", method="POST", content=content, token=token)


def test_1500_slow_connections_shut_nobody_out(door):
    slow, over, waited = [], threading.Event(), []

    def trickle():
        while not over.wait(0.5):
            for one in slow:
                with contextlib.suppress(OSError):
                    one.send(b"x")

    dripping = threading.Thread(target=trickle)
    dripping.start()
    before, begun = door.cpu() if door.told else 0.0, time.monotonic()
    try:
        for _ in range(SLOW):
            with contextlib.suppress(OSError):
                slow.append(door.connect())
                slow[-1].send(b"GET /healthz HTTP/1.1\r\nX-Slow: ")
        for _ in range(40):
            asked = time.monotonic()
            assert door.get().code == 200
            assert report(door).code == 200
            waited.append(time.monotonic() - asked)
            time.sleep(0.1)
        time.sleep(1)
    finally:
        over.set()
        dripping.join()
        for one in slow:
            one.close()
    assert statistics.median(waited) < 5, "it answers meanwhile"
    assert door.files() < 500, "the journal has files left"
    assert door.cpu() - before < 0.7 * (time.monotonic() - begun), "it does not spin"
    assert len(door.log) < 5000


def test_whoever_says_nothing_or_too_little_is_told_that_it_is_late(door):
    begun = time.monotonic()
    said = {}

    def slowly(name, first, drip):
        with door.connect() as made:
            made.sendall(first)
            made.settimeout(0.5)
            told = b""
            while True:
                try:
                    piece = made.recv(4096)
                except TimeoutError:
                    with contextlib.suppress(OSError):
                        made.sendall(drip)
                    continue
                except ConnectionError:
                    break
                if not piece:
                    break
                told += piece
        said[name] = (told, time.monotonic() - begun)

    post = b"POST /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer sesame\r\n"
    cases = {
        "silent": (b"", b""),
        "header": (b"GET / HTTP/1.1\r\n", b"X-A: b\r\n"),
        "body": (post + b"Content-Length: 1000\r\n\r\n", b"{"),
        "chunks": (post + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n{\r\n"),
    }
    threads = [threading.Thread(target=slowly, args=(name, *case)) for name, case in cases.items()]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    for name, (told, seconds) in said.items():
        assert told.startswith(b"HTTP/1.1 408 "), name
        assert 9 < seconds < 90, name
    assert len(said) == len(cases)
    assert door.log == ""


LONG = b"a" * 20_000


@pytest.mark.parametrize(
    ("sent", "codes"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", (400,)),
        (b"GET\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\n\r\n", (400,)),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n", (400,)),
        (b"GET /" + LONG, (400, 431)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + LONG + b"\r\n\r\n", (400, 431)),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 5000 + b"\r\n", (400, 431)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n", (400, 413)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: \xd9\xa1\r\n\r\n", (400, 413)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9" + b"9" * 30 + b"\r\n\r\n", (400, 413)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n", (400,)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 20000\r\n\r\n", (413,)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc", (0, 400)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (0, 400)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b"a" * 4096 + b"\r\n", (0, 400)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", (400,)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", (400, 501)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 9, (413,)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", (401,)),
        (b"POST /status HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer \xff\xfe\r\nContent-Length: 2\r\n\r\n{}", (400, 401)),
        (b"POST /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}", (405,)),
        (b"CONNECT evil:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", (400, 404, 405)),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", (200, 400)),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n", (200,)),
        (b"GET /%00%1b%ff HTTP/1.1\r\nHost: localhost\r\n\r\n", (404,)),
        (b"GET /healthz HTTP/1.0\r\n\r\n", (200,)),
    ],
)  # fmt: skip
def test_what_is_no_request_is_answered_in_one_line_and_not_logged(kept, sent, codes):
    told = kept.say(sent, end=True)
    code = int(told.split()[1]) if told else 0
    assert code in codes, told[:200]
    assert b"Traceback" not in told
    assert kept.get().code == 200
    assert kept.log == ""


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    made = Attacked(tmp_path_factory.mktemp("door"))
    yield made
    made.close()


def test_pipelined_requests_are_answered_one_after_the_other_and_garbage_behind_them_ends_it(kept):
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert kept.say(one * 20 + b"\x00garbage\r\n\r\n", end=True).count(b"HTTP/1.1 200 OK") == 20
    early = b"POST /status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 30000\r\n\r\n"
    assert kept.say(early + b"a" * 30000 + one, end=True).count(b"HTTP/1.1 ") == 1
    assert kept.log == ""


def test_a_thousand_pipelined_requests_use_up_an_allowance_and_no_more(tmp_path):
    door = Attacked(tmp_path)
    try:
        one = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
        begun = time.monotonic()
        with door.connect() as made:
            sender = threading.Thread(target=_send, args=(made, one * 20_000))
            sender.start()
            told = _said(made, b"")
            sender.join(120)
        answered = told.count(b"HTTP/1.1 200 OK")
        assert answered <= 2000 + 200 * (time.monotonic() - begun)
        # The 429 itself may be lost: who goes on sending after it is answered by a reset, which throws away what is unread.
        assert b"Traceback" not in told
        assert door.get().code in {200, 429}
        assert ask(door.directory / "daemon.sock", "/healthz", seconds=60).code == 200, "commands on the machine go on"
        assert door.log == ""
    finally:
        door.close()


def test_head_has_no_body(kept):
    for path in (b"/", b"/healthz", b"/metrics", b"/other", b"/snapshot"):
        told = kept.say(b"HEAD " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert told.endswith(b"\r\n\r\n"), told
        assert told.count(b"\r\n\r\n") == 1


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("localhost", 200), ("127.0.0.1:9620", 200), ("[::1]:9620", 200), ("farm.example.org", 200), ("FARM.example.org.:80", 200),
        (socket.gethostname(), 200), ("evil.example.com", 421), ("localhost.evil.com", 421), ("127.0.0.1.evil.com", 421),
    ],
)  # fmt: skip
def test_a_page_of_somebody_else_cannot_read_it_under_another_name(kept, host, code):
    told = kept.say(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    assert int(told.split()[1]) == code


def test_it_listens_on_ipv6_and_everywhere(tmp_path):
    for number, listen in enumerate(("[::1]:0", "localhost:0", "0.0.0.0:0", "[::]:0")):
        directory = tmp_path / str(number)
        directory.mkdir()
        door = Attacked(directory, listen)
        try:
            hosts = {"[::1]:0": ["[::1]"], "[::]:0": ["[::1]", "127.0.0.1"]}.get(listen, ["127.0.0.1"])
            for host in hosts:
                assert ask(f"http://{host}:{door.port}", "/healthz", seconds=60).code == 200
        finally:
            door.close()


def test_only_its_own_user_reaches_the_socket_and_reads_the_snapshot_there(kept):
    path = kept.directory / "daemon.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(ask(path, "/snapshot", seconds=60).content)["format"] == "ambienti-snapshot"
    assert kept.get("/snapshot").code == 401
    assert kept.get("/snapshot", token="sesame").code == 200


def test_a_journal_that_fails_is_told_without_its_address(tmp_path):
    door = Attacked(tmp_path)
    try:
        assert report(door).code == 200
        for path in tmp_path.glob("ambienti.db*"):
            path.write_bytes(b"no database any more" * 5000)
        answer = report(door)
        assert answer.code == 503
        assert b"ambienti.db" not in answer.content
    finally:
        with contextlib.suppress(AssertionError):
            door.close()


def test_a_daemon_that_is_gone_is_no_answer(tmp_path):
    with pytest.raises(NoAnswerError):
        ask(tmp_path / "daemon.sock", "/healthz", seconds=1)
