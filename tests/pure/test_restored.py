"""A journal that was restored from a back-up: names go on behind those given since, and revoked tokens stay revoked."""

import json
import shutil

import pytest
from builders import a_policy, an_environment

from environments.identity import Signature
from environments.reason import Reason
from scheduler.journal.agreements import Token, add_token, holder, revoke_token
from scheduler.journal.journal import Journal
from scheduler.journal.records import Entry, Intent, Memo
from scheduler.journal.seen import NAMES_KEPT_FREE, SeenJournal
from scheduler.loop.engine import Engine
from scheduler.model.actions import Boot
from scheduler.model.hosts import worker_uuid
from scheduler.model.instants import SECOND
from scheduler.model.workers import WorkerState
from simulations.clock import Agenda, SimulatedClock
from simulations.lanes import AgendaRunner

NOW = 1_700_000_000.0


class Farm:
    """A journal in a file, the daemons that open it, and the machine on which they run."""

    def __init__(self, directory):
        self.file, self.seen = directory / "ambienti.db", directory / "state/journal-seen.json"
        self.clock, self.told = SimulatedClock(NOW), []

    def open(self):
        return Journal(f"sqlite:///{self.file}", now=self.clock.now(), durable=False)

    def daemon(self, journal):
        runner = AgendaRunner(Agenda(self.clock))
        engine = Engine(a_policy(an_environment()), {}, {}, journal, self.clock, runner, owner="daemon")
        engine.seen = SeenJournal(self.seen, self.told.append)
        return engine

    def cycles(self, act=lambda _: None, count=2, holds=0):
        """Run a daemon for some cycles; `act` is done to the journal after the first. Returns the next serial number."""
        journal = self.open()
        engine = self.daemon(journal)
        assert all(engine.lease.hold() for _ in range(holds))
        for number in range(count):
            assert engine.cycle().leading
            if not number:
                act(journal)
            self.clock.sleep(10)
        engine.close()
        serial = journal.ledger().next_serial
        journal.close()
        return serial

    def backup(self):
        shutil.copy(self.file, self.file.with_suffix(".backup"))  # nobody has it open: there is no -wal

    def restore(self):
        for one in self.file.parent.glob("ambienti.db*"):
            one.unlink()
        shutil.copy(self.file.with_suffix(".backup"), self.file)


@pytest.fixture
def farm(tmp_path):
    return Farm(tmp_path)


def boots(*serials):
    def begin(journal):
        for serial in serials:
            name = f"el9-{serial}"
            boot = Boot(name, serial, "el9", "1", "atlas", "pool", "h1", Reason("demand", "1 job waits"))
            place = {"batch_system": "pool", "host": "h1", "cpus": 4, "memory_mib": 8192, "state": WorkerState.REQUESTED}
            entry = Entry(
                name, serial, worker_uuid("hill", name, serial), "el9", "1", "atlas", **place, since=NOW, requested_at=NOW
            )
            assert isinstance(journal.begin("daemon", NOW, [Intent(boot, entry)])[0], int)

    return begin


def restorations(farm):
    journal = farm.open()
    notes = [one.note for one in journal.events()]
    found = [(one.kind, one.cause) for one in notes if one.cause in {"restored", "unseen-here", "another", "revoked"}]
    journal.close()
    return found


def test_names_given_since_a_back_up_are_not_given_again_though_their_workers_have_ended(farm):
    farm.cycles(boots(1, 2))
    farm.backup()
    assert farm.cycles(boots(3, 4, 5), count=3) == 6
    farm.restore()
    assert farm.cycles() > 6
    assert "older than what this machine has already seen" in farm.told[0]
    assert restorations(farm) == [("journal", "restored")]
    before = farm.cycles()
    assert (farm.cycles(), len(farm.told)) == (before, 1), "it is known once"


HEARD = {("host", "h1"): True, ("discovery", "cloud"): False}


def heard(farm):
    journal = farm.open()
    known = journal.ledger().heard
    journal.close()
    return known


def test_what_runs_on_a_host_is_unknown_after_a_restore_until_it_answers(farm):
    farm.cycles(lambda journal: journal.remember("daemon", NOW, Memo(heard=HEARD)))
    farm.backup()
    farm.cycles(boots(1))
    assert heard(farm) == HEARD, "a restart asks nobody anew"
    farm.restore()
    farm.cycles()
    assert heard(farm) == {}


def test_a_token_that_was_revoked_since_a_back_up_is_revoked_again_and_the_others_are_in_force(farm):
    def add(journal):
        for name in ("anna", "nagios"):
            add_token(journal, Token(name, reads=True), f"secret of {name}", Signature("root"), round(NOW * SECOND))

    farm.cycles(add)
    farm.backup()
    farm.cycles(lambda journal: revoke_token(journal, "anna", Signature("root"), round(NOW * SECOND)))
    farm.restore()
    farm.cycles(holds=9)
    journal = farm.open()
    assert holder(journal, "secret of anna") is None
    assert holder(journal, "secret of nagios").name == "nagios"
    journal.close()
    assert farm.told[0].endswith("tokens that were revoked since are revoked again: anna")
    assert ("token", "revoked") in restorations(farm)


def test_it_is_known_however_often_the_lease_of_the_older_copy_was_renewed_before_it_was_looked_at(farm):
    farm.cycles(boots(1))
    farm.backup()
    farm.cycles(boots(2))
    farm.restore()
    assert farm.cycles(holds=9) > 3
    assert restorations(farm) == [("journal", "restored")]


def test_a_new_journal_gives_its_first_name(farm):
    assert farm.cycles(holds=2) == 1
    assert restorations(farm) == []


def test_a_restart_is_no_restore(farm):
    assert farm.cycles(boots(1)) == 2
    assert [farm.cycles() for _ in range(3)] == [2, 2, 2]
    assert (farm.told, restorations(farm)) == ([], [])


def test_on_a_machine_that_has_not_seen_it_names_go_on_behind_all_that_may_have_been_given_since(farm):
    farm.cycles(boots(1))
    farm.backup()
    farm.cycles(boots(2, 3))
    farm.restore()
    farm.seen.unlink()
    farm.clock.sleep(86_400)
    assert farm.cycles() > 86_400
    assert restorations(farm) == [("journal", "unseen-here")]
    assert farm.cycles() < 100_000, "once"


def test_names_of_a_new_journal_go_on_behind_those_of_the_lost_one(farm):
    farm.cycles(boots(1, 2, 3))
    farm.file.unlink()
    farm.clock.sleep(10)
    assert farm.cycles() == 4 + NAMES_KEPT_FREE
    assert restorations(farm) == [("journal", "another")]
    assert "another journal was used here before: its declarations, downtimes" in farm.told[0]
    assert (farm.cycles(), len(farm.told)) == (4 + NAMES_KEPT_FREE, 1), "it is told once"


def test_a_standby_sees_it_too_and_does_not_take_an_older_copy_for_the_present(farm):
    farm.cycles(boots(1))
    farm.backup()
    journal, other = farm.open(), farm.open()
    leads, waits = farm.daemon(journal), farm.daemon(other)
    farm.seen.unlink()
    waits.seen = SeenJournal(farm.seen, farm.told.append)
    leads.seen = None
    leads.cycle()
    boots(2, 3)(journal)
    assert not waits.cycle().leading
    assert json.loads(farm.seen.read_text())["next_serial"] == 4
    leads.close()
    waits.close()
    journal.close()
    other.close()
    farm.restore()
    assert farm.cycles() > 4
    assert "was restored" in farm.told[0]


@pytest.mark.parametrize("content", ["", "[]", '{"made_at": "x"}', "\xff"])
def test_a_damaged_file_is_told_and_counts_as_none(farm, content):
    farm.cycles(boots(1))
    farm.seen.write_text(content)
    assert farm.cycles() > 1000
    assert ["cannot be read" in one for one in farm.told] == [True]


def test_a_place_that_cannot_be_written_is_told_once_and_stops_nothing(farm):
    farm.seen.parent.write_text("no directory")
    assert farm.cycles(boots(1), count=4) == 2
    assert ["cannot be" in one for one in farm.told].count(True) == len(farm.told) <= 2
