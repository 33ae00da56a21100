"""A wrong file of services, of objectives or of who is on call blinds nobody while a daemon goes by the last good one."""

import os
import stat

import pytest
from test_cli import ambienti, plain, site  # noqa: F401 - fixtures

from scheduler.site import definitions, in_force
from scheduler.site.kept_files import KeptFiles

SERVICES = """\
objects: [{name: storage, kind: service}]
groups:
  core: {operator: and, members: [pool, storage]}
"""
ON_CALL = """\
zone: Europe/Rome
people: {anna: {}}
rotations: {primary: {layers: [{people: [anna], start: 2026-01-05}]}}
escalation: {levels: [{notify: primary}]}
"""


class Daemon:
    """What a running daemon keeps: it went by the files when they were right, and lives."""

    def __init__(self, site):  # noqa: F811
        self.site, self.kept_files, self.told = site, KeptFiles(), []
        self.keeper = in_force.Keeper(definitions.load(site), in_force.Running(os.getpid(), 1_700_000_000.0), self.told.append)
        self.look()

    def look(self):
        found = definitions.load(self.site)
        self.keeper.files(lambda: self.kept_files(found, 1_800_000_000_000_000))


@pytest.fixture
def daemon(site):  # noqa: F811
    (site.parent / "services.yaml").write_text(SERVICES)
    (site.parent / "oncall.yaml").write_text(ON_CALL)
    running = Daemon(site)
    yield running
    running.keeper.close()


WRONG = "groups:\n  core: {operator: andd, members: [pool]}\n"


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        *((("status",), 3), (("plan",), 3), (("why", "1"), 3), (("events",), 0), (("downtime", "list"), 0)),
        *((("report",), 0), (("report", "--vo", "atlas"), 0), (("report", "--json"), 0), (("report", "argo"), 0)),
        *((("objective", "status"), 0), (("downtime", "add", "core", "--why", "disks", "--duration", "2h"), 0)),
    ],
)
def test_a_wrong_services_file_stops_no_command(ambienti, site, daemon, command, expected):  # noqa: F811
    right = ambienti(*command)
    (site.parent / "services.yaml").write_text(WRONG)
    daemon.look()
    code, out, err = ambienti(*command)
    assert (code, right[0]) == (expected, expected), (out, err, right)
    if command[0] in {"report", "objective"} or "add" in command:  # these go by that file
        assert "1 problem in the files (`ambienti check`): below is what the daemon goes by meanwhile" in err
        assert "did you mean and?" in err


def test_a_report_goes_on_with_the_groups_that_the_daemon_goes_by(ambienti, site, daemon):  # noqa: F811
    (site.parent / "services.yaml").write_text(WRONG)
    assert '"core"' in ambienti("report", "--json")[1]
    assert ambienti("check")[0] == 2


@pytest.mark.parametrize("command", [("oncall", "who"), ("oncall", "schedule"), ("incident", "list")])
def test_a_wrong_on_call_file_stops_no_question(ambienti, site, daemon, command):  # noqa: F811
    right = ambienti(*command, "--json")
    (site.parent / "oncall.yaml").write_text(ON_CALL.replace("people:", "poeple:"))
    daemon.look()
    code, out, err = ambienti(*command, "--json")
    assert (code, right[0]) == (0, 0)
    if command[0] == "oncall":
        assert "did you mean people?" in err
        assert "anna" in out


def test_without_a_daemon_they_say_what_is_wrong(ambienti, site, daemon):  # noqa: F811
    daemon.keeper.close()
    (site.parent / "services.yaml").write_text(WRONG)
    (site.parent / "oncall.yaml").write_text("poeple: {}\n")
    for command, near in ((("report",), "and"), (("oncall", "who"), "people")):
        code, _, err = ambienti(*command)
        assert (code, f"did you mean {near}?" in err) == (2, True)


def test_what_is_kept_follows_the_files_as_long_as_they_are_right(ambienti, site, daemon):  # noqa: F811
    kept = site.parent / "state/kept"
    assert (kept / "services.yaml").read_text() == SERVICES
    (site.parent / "services.yaml").write_text(SERVICES.replace("core:", "heart:"))
    daemon.look()
    assert "heart" in (kept / "services.yaml").read_text()
    (site.parent / "services.yaml").write_text(WRONG)
    (site.parent / "oncall.yaml").unlink()
    daemon.look()
    assert "heart" in (kept / "services.yaml").read_text()
    assert not (kept / "oncall.yaml").exists(), "nobody is on call any more"
    assert daemon.told == []


def test_what_is_kept_is_for_nobody_else_to_read(site, daemon):  # noqa: F811
    kept = site.parent / "state/kept"
    assert {stat.S_IMODE(path.stat().st_mode) for path in kept.iterdir()} == {0o600}
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_that_nothing_can_be_kept_is_told_once(site, daemon):  # noqa: F811
    kept = site.parent / "state/kept"
    for path in kept.iterdir():
        path.unlink()
    kept.rmdir()
    kept.write_text("in the way")
    for change in ("heart", "soul"):
        (site.parent / "services.yaml").write_text(SERVICES.replace("core:", f"{change}:"))
        daemon.look()
    assert len(daemon.told) == 1
    assert "the files beside the site file cannot be kept" in daemon.told[0]
