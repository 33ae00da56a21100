"""What no file, no number and no calendar can be is told in a sentence, wherever it is written or typed."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from environments.problems import ConfigurationError
from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.history import Correction, Downtime, Exclusion, History, Monitored, Result, Revision, Status
from scheduler.commands.cli import main
from scheduler.model.instants import as_micro, read_duration, read_instant, read_ratio
from scheduler.oncall.rotation import Layer

LONG = "a" * 300
DIGITS = ("1" * 5000, "1" * 1_000_001, "0." + "9" * 5000, "1/" + "9" * 5000)
SITE = """\
site: perugia
batch_systems: [{{name: pool, options: {{collector: "127.0.0.1:1"{config}}}}}]
hosts: [{{name: {hosts}, uri: "{uri}"}}]
vos: {{atlas: }}
limits: {{reading_deadline_seconds: 1}}
daemon: {{listen: ""{daemon}}}
{further}
"""
RIGHT = {"config": "", "hosts": "xen1", "uri": "test:///nowhere/{host}.xml", "daemon": "", "further": ""}


@pytest.fixture
def ambienti(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMBIENTI_SITE", raising=False)
    (tmp_path / "vos").mkdir()
    (tmp_path / "vos/atlas.yaml").write_text("vo: atlas\n")

    def call(*arguments, **changes):
        Path("site.yaml").write_text(SITE.format(**{**RIGHT, **changes}))
        with pytest.raises(SystemExit) as left:
            main(list(arguments))
        printed = capsys.readouterr()
        assert "Traceback" not in printed.err
        return left.value.code or 0, " ".join((printed.out + printed.err).split())

    return call


FILES = {
    "services": {"further": f"services: {LONG}"},
    "oncall": {"further": f"oncall: {LONG}"},
    "directory": {"daemon": f", directory: {LONG}"},
    "journal": {"daemon": f', journal: "sqlite:///{LONG}"'},
    "no driver": {"daemon": ', journal: "sqlite+pysqlcipher:///x"'},
    "config": {"config": f", config: {LONG}"},
}
COMMANDS = [
    ("check",),
    ("status",),
    ("report", "--window", "7d"),
    ("downtime", "list"),
    ("oncall", "who"),
    ("env", "list"),
]


@pytest.mark.parametrize("changes", FILES.values(), ids=FILES)
@pytest.mark.parametrize("command", COMMANDS, ids=lambda words: words[0])
def test_a_site_that_names_what_no_file_can_be_called_is_told_so_or_answered(ambienti, command, changes):
    code, said = ambienti(*command, **changes)
    assert said
    if command == ("check",) and "further" in changes:
        assert (code, "File name too long" in said) == (2, True), said


@pytest.mark.parametrize(
    "words",
    [
        ("report", "--history", LONG),
        ("report", "verify", LONG),
        ("report", "bundle", "b", "--window", "7d", "--published", LONG),
        ("oncall", "simulate", LONG),
        ("oncall", "simulate", "story.yaml"),
        ("simulate", "scenario", LONG),
        ("status", "--snapshot", LONG),
        ("status", "--snapshot", "/dev/zero"),
        ("simulate", "snapshot", "/dev/zero"),
        ("simulate", "replay", "/dev/zero"),
        ("report", "verify", "/proc/self/mem"),
        ("incident", "show", "9" * 30),
        ("incident", "ack", "9" * 19),
        ("incident", "resolve", "9" * 19),
        ("oncall", "who", "--at", "1" * 5000),
        ("downtime", "add", "xen1", "--why", "x", "--duration", "1h", "--by", "x" * 201),
    ],
    ids=" ".join,
)
def test_what_is_typed_and_can_be_nothing_is_wrong_use(ambienti, words):
    Path("story.yaml").write_text(f"now: 2026-01-01\noncall: {LONG}\nevents: []\n")
    code, said = ambienti(*words)
    assert code in {1, 2}
    assert said


@pytest.mark.parametrize("hosts", ["x[0-99999999999999999999]", f"x[{'1' * 5000}]", f"x[1-{'9' * 5000}]", f"x[{'0' * 5000}-1]"])
def test_a_range_of_hosts_without_measure_is_none(ambienti, hosts):
    code, said = ambienti("check", hosts=f'"{hosts}"')
    assert (code, "set_int_max_str_digits" in said) == (2, False)
    assert "stands for too many hosts" in said or "is not a range" in said


@pytest.mark.parametrize("field", ["{host!r}", "{host:>9}", "{host!s:9}"])
def test_a_place_for_the_name_of_a_host_takes_no_form(ambienti, field):
    code, said = ambienti("check", uri=f"test:///{field}")
    assert (code, f"{field} stands for nothing" in said) == (2, True), said


@pytest.mark.parametrize("digits", DIGITS, ids=lambda text: f"{len(text)} characters")
@pytest.mark.parametrize("read", [lambda text: read_instant(text, "UTC"), read_duration, read_ratio])
def test_numbers_without_end_are_refused_in_words(read, digits):
    with pytest.raises(ValueError, match=r"a text of [0-9]+ characters is not a"):
        read(digits)


def test_a_history_that_names_a_truth_table_no_file_can_be_called_is_told_its_line():
    with pytest.raises(ConfigurationError, match=r"h\.yaml:3:12 algebras"):
        history_of_text(f"now: 0\nobjects: [a]\nalgebras: [{LONG}]\n", "h.yaml")


def test_a_text_that_is_too_long_is_told_in_characters(ambienti):
    code, said = ambienti("check", further=f"services: {'a' * 1001}")
    assert (code, "at most 1000 characters" in said) == (2, True)


@pytest.mark.parametrize("start", [date.min, date(2024, 1, 1), date.max])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Niue"])
@pytest.mark.parametrize("days", [1, 7, 366])
def test_somebody_is_on_call_from_the_first_year_to_the_last(start, zone, days):
    layer = Layer(("a", "b"), start, zone, shift_days=days)
    for moment in (datetime(2, 1, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC), datetime.max.replace(tzinfo=UTC)):
        assert layer.person(as_micro(moment)) in {"a", "b"}


def test_a_pipe_that_is_read_piece_by_piece_is_read_once(tmp_path):
    code = "import sys, pathlib; from environments.reader import opened_content\nwith opened_content(pathlib.Path('/dev/stdin')) as file: print(len(file.read()))"
    done = subprocess.run([sys.executable, "-c", code], input=b"x" * 100_000, capture_output=True, check=True, timeout=300)
    assert done.stdout == b"100000\n"


def test_texts_of_any_length_and_kind_in_a_journal_make_a_bundle_that_is_computed_again(ambienti):
    """Whatever door let them in: an import, an older version, a command."""
    Path("services.yaml").write_text("objects: [voms]\n")
    long = "x" * 20_000
    for words in (("--duration", "1h"), ("--duration", "1h", "--every", "FREQ=DAILY")):
        assert ambienti("downtime", "add", "voms", "--why", long, *words)[0] == 0
    assert ambienti("report", "bundle", "week.tar", "--window", "7d")[0] == 0
    assert ambienti("report", "verify", "week.tar")[0] == 0


@pytest.mark.parametrize("text", ["x" * 20_000, "\x1b[2J" * 6000, "a\u202eb", "one\ttwo\nthree"])
def test_whatever_somebody_said_is_written_so_that_it_can_be_read_again(text):
    spans = {"objects": ("a",), "start": 0, "end": 5}
    told = History(
        now=10,
        objects=(Monitored("a"),),
        results=(Result(0, "a", Status.OK, text=text),),
        downtimes=(Downtime("d", ("a",), (Revision(0, 0, 5, text),), reason=text, by=text),),
        exclusions=(Exclusion("x", **spans, cause=text, author=text, reason=text, accepted_by=text, accepted_at=9),),
        corrections=(Correction("c", "a", 0, Status.OK, 9, text, text, text, 9),),
    )
    found = history_of_text(json.dumps(plain.history(told)), "history.json")
    assert [len(one) for one in (found.results, found.downtimes, found.exclusions, found.corrections)] == [1, 1, 1, 1]
    assert found.results[0].text[:10].isprintable() or found.results[0].text == text


PRINTS = (("check",), ("check", "--json"), ("env", "list"), ("--help",))


def program(words, **how):
    code = "import sys; from scheduler.commands.cli import main; main(sys.argv[1:])"
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, **how.pop("variables", {})}
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "check": False, "timeout": 300, **how}
    return subprocess.run([sys.executable, "-c", code, *words], env=environment, **given)


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_what_is_printed_to_a_full_disk_is_told(ambienti, words):
    assert ambienti("check")[0] == 0
    with Path("/dev/full").open("w") as full:
        done = program(words, stdout=full)
    assert (done.returncode, done.stderr.strip()) == (3, "what is printed cannot be written: No space left on device")


@pytest.mark.parametrize("words", PRINTS, ids=" ".join)
def test_a_program_whose_output_is_closed_goes_on(ambienti, words):
    assert ambienti("check")[0] == 0
    done = program(words, stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("columns", ["0", "1", "-1", "abc", "9" * 5000, "\u00b2"])
def test_no_width_of_a_terminal_hides_what_is_told(ambienti, columns):
    assert ambienti("check")[0] == 0
    done = program(("host", "list"), variables={"COLUMNS": columns})
    assert "xen1" in done.stdout, done.stderr
