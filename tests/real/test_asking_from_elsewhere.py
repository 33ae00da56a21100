"""Asking the daemon without its rights: an ordinary user on its machine, and a submit node by an https address."""

import os
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
PROGRAM = Path(sys.executable).with_name("ambienti")
SITE = """\
site: hill
batch_systems: [{name: pool, options: {collector: "127.0.0.1:1"}}]
hosts: [{name: h1, uri: "test:///nowhere/{host}.xml"}]
vos: {atlas: }
limits: {reading_deadline_seconds: 2}
daemon: {listen: "", journal: "sqlite:///kept/ambienti.db"}
"""
VO = "vo: atlas\nenvironments: {el9: {virtualization: lxc, image: {path: /srv/el9}, vcpus: 4, memory_mib: 8 GiB}}\n"
ORDINARY = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search")
"""Root without the right to open what belongs to somebody else."""
ASKING = (("status",), ("why",), ("why", "12.0"), ("why-worker", "el9-1"), ("plan",), ("snapshot", "-"))


@pytest.fixture
def site(tmp_path):
    (tmp_path / "vos").mkdir()
    (tmp_path / "vos/atlas.yaml").write_text(VO)
    (tmp_path / "site.yaml").write_text(SITE)
    return tmp_path / "site.yaml"


@pytest.fixture
def ambienti(site):
    def call(*words, before=(), **environment):
        told = {name: value for name, value in os.environ.items() if not name.startswith("AMBIENTI")}
        told |= {"AMBIENTI_SITE": str(site), "COLUMNS": "200", **environment}
        done = subprocess.run([*before, PROGRAM, *words], env=told, capture_output=True, text=True, timeout=240, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stdout, done.stderr

    return call


def of_somebody_else(path):
    if os.geteuid():
        path.chmod(0)
    else:
        os.chown(path, 54321, 54321)


@pytest.fixture(params=["its file", "its directory"])
def refused(request, site):
    """How an ordinary user runs a program, beside a journal that he may not open."""
    kept = site.parent / "kept"
    kept.mkdir(0o700)
    (kept / "ambienti.db").touch(0o600)
    of_somebody_else(kept / "ambienti.db" if request.param == "its file" else kept)
    yield () if os.geteuid() else ORDINARY
    kept.chmod(0o700)


@pytest.mark.parametrize("words", ASKING)
def test_who_may_not_open_the_journal_is_told_how_the_daemon_answers_him(ambienti, refused, words):
    code, out, err = ambienti(*words, before=refused)
    assert (code, out) == (3, "")
    assert "To get an answer, ask the administrators for a token for reading" in err
    assert "put the path of its file into AMBIENTI_TOKEN_FILE" in err


# --- from another machine ---------------------------------------------------------------------------------------------


@pytest.fixture
def door(tmp_path_factory):
    """The daemon's door in a process of its own; yields its port."""
    words = [sys.executable, "-m", "tests.lab.door", str(tmp_path_factory.mktemp("door")), "127.0.0.1:0"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield int(process.stdout.readline().strip().rpartition(":")[2])
        process.stdin.close()
        process.stdout.read()


@pytest.fixture
def certificate(tmp_path):
    words = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=farm -addext subjectAltName=IP:127.0.0.1"
    files = ("-keyout", tmp_path / "key.pem", "-out", tmp_path / "farm.pem")
    subprocess.run([*words.split(), *files], capture_output=True, check=True, timeout=120)
    return tmp_path / "farm.pem"


def _carry(one, other):
    with suppress(OSError):
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)


def _serve(listening, context, port):
    while True:
        try:
            outside = context.wrap_socket(listening.accept()[0], server_side=True)
            with closing(outside), socket.create_connection(("127.0.0.1", port), 120) as inside:
                threading.Thread(target=_carry, args=(outside, inside), daemon=True).start()
                _carry(inside, outside)
        except ssl.SSLError:
            continue  # a client that does not trust the certificate
        except OSError:
            return


@pytest.fixture
def https(door, certificate):
    """The address of a proxy that speaks https before the door."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_name("key.pem"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=_serve, args=(listening, context, door), daemon=True).start()
        yield f"https://127.0.0.1:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def reader(tmp_path, certificate):
    """The environment of a user with a token, on a machine that trusts the proxy's certificate; his client's proxy is dead."""
    (tmp_path / "token").touch(0o600)
    (tmp_path / "token").write_text("sesame\n")
    dead = dict.fromkeys(("https_proxy", "HTTPS_PROXY", "all_proxy"), "http://127.0.0.1:1")
    return {"AMBIENTI_TOKEN_FILE": str(tmp_path / "token"), "SSL_CERT_FILE": str(certificate), **dead}


@pytest.mark.parametrize("told_by", ["AMBIENTI_URL", "the site file"])
def test_a_submit_node_asks_the_daemon_by_its_https_address(ambienti, site, https, reader, told_by):
    if told_by == "AMBIENTI_URL":
        reader["AMBIENTI_URL"] = f"{https}/"
    else:
        site.write_text(SITE.replace('listen: ""', f'listen: "127.0.0.1:1", url: "{https}"'))
    for words in (("status",), ("why",), ("plan",)):
        code, out, err = ambienti(*words, **reader)
        assert (code, f"een by the daemon at {https}, " in out) == (0, True), out + err
    code, out, _ = ambienti("snapshot", "-", **reader)
    assert (code, '"site":"hill"' in out.replace(" ", "")) == (0, True)
    assert "no worker is, or was lately" not in (told := ambienti("why-worker", "el9-1", **reader)[2])
    assert "stand in the journal, which is not on this machine" in told
    assert not (site.parent / "kept").exists()


def test_who_names_a_daemon_is_told_why_it_does_not_answer_and_nothing_else_is_asked(ambienti, https, reader):
    reader["AMBIENTI_URL"] = https
    for missing, says in (
        ("AMBIENTI_TOKEN_FILE", "put the path of your token's file into AMBIENTI_TOKEN_FILE"),
        ("SSL_CERT_FILE", f"no daemon answers at {https}: "),
    ):
        told = ambienti("why", **{name: value for name, value in reader.items() if name != missing})
        assert (told[0], told[1], says in told[2]) == (3, "", True), told
    for url, code, says in (
        ("http://192.0.2.1:9620", 3, "a token is not sent over the network in the clear: give an https address"),
        ("https://127.0.0.1:1", 3, "no daemon answers at https://127.0.0.1:1: "),
        ("htps://farm.example", 2, "AMBIENTI_URL: 'htps://farm.example' is not the address of a daemon"),
    ):
        told = ambienti("plan", **reader | {"AMBIENTI_URL": url})
        assert (told[0], told[1], says in told[2]) == (code, "", True), told
    Path(reader["AMBIENTI_TOKEN_FILE"]).write_text("another\n")
    code, out, err = ambienti("why", **reader)
    assert (code, out, f"the daemon at {https} has nothing to show: " in err) == (3, "", True)
