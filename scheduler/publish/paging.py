"""Incidents as they happen: what happened is followed, written down and put into the outbox in one commit, then delivered.

Nothing is sent from within a decision: a page that is written will be sent, whoever is killed in between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from environments.text import printable
from scheduler.journal import incidents as kept
from scheduler.journal import outbox
from scheduler.journal.outbox import Letter
from scheduler.journal.records import Note
from scheduler.loop.runner import unexpected
from scheduler.model.instants import Instant, in_seconds, shown_instant, to_the_second
from scheduler.model.ports import Notice, Notifier, SourceError
from scheduler.oncall.follow import FollowResult, follow, remembered
from scheduler.oncall.incident import Book, Incident, IncidentEvent, OncallDecision, Page, Rules, What
from scheduler.oncall.standing import Structure, spread, with_groups
from scheduler.oncall.watch import Watching, told

if TYPE_CHECKING:
    from scheduler.journal.writing import JournalWriter

SENDERS = 4
"""Addresses tried at the same time."""


@dataclass(frozen=True, slots=True)
class PagingRules:
    """By which rules incidents are followed, and where people are reached."""

    site: str
    zone: str
    rules: Rules
    """The journal adds its downtimes."""
    addresses: Mapping[str, Sequence[str]]
    """Person -> where each address is found."""
    watching: Watching = field(default_factory=Watching)
    """Which statuses open incidents."""
    structure: Structure = field(default_factory=Structure)
    """The site's groups, and what something is promised of."""


def happened(
    journal: JournalWriter, changes: Sequence[IncidentEvent], paging_rules: PagingRules, now: Instant, *, watching: bool = False
) -> tuple[OncallDecision, ...]:
    """Take changes into the journal's book of incidents; pages they lead to stand in the outbox when this returns.

    With `watching`, what the statuses in the journal say now is taken in as well.
    """
    with journal.write("incidents") as connection:
        before = kept.open_book(connection)
        standing = with_groups(kept.standing(journal, connection, now), paging_rules.structure.groups, now)
        if watching:
            book = remembered(before, now, paging_rules.rules)
            seen = told(book, standing, now, paging_rules.watching, paging_rules.structure.by_name)
            changes = [*changes, *(kept.with_text(connection, change) for change in seen)]
        quiet = (*paging_rules.rules.quiet, *kept.quiet_in(connection, now))
        named = {name for incident in before.incidents for name in incident.bad} | {change.object for change in changes}
        rules = replace(paging_rules.rules, quiet=(*quiet, *spread(quiet, paging_rules.structure, standing, named, now)))
        outcome = _followed(before, changes, rules, now)
        if not outcome.decisions and outcome.book.incidents == before.incidents:
            return ()
        kept.save(journal, connection, before, outcome, now)
        changed = {one.number: one for one in outcome.changed}
        paged = [(changed[line.incident], line.page) for line in outcome.decisions if line.page]
        outbox.post(connection, [letter for one, page in paged for letter in _letters(one, page, paging_rules, now)])
        unreached = sorted({page.person for _, page in paged if not paging_rules.addresses.get(page.person)})
        journal.note(connection, in_seconds(now), [Note("notice", person, "no-address") for person in unreached])
    return outcome.decisions


def _followed(book: Book, changes: Sequence[IncidentEvent], rules: Rules, now: Instant) -> FollowResult:
    """Follow the changes in order, then look at the clock once: after a long sleep one page is due, not a heap of them."""
    changed: dict[int, Incident] = {}
    decisions: list[OncallDecision] = []
    for change in [*sorted(changes, key=lambda one: one.at), IncidentEvent(now, What.TICK)]:
        outcome = follow(book, change, rules)
        book = outcome.book
        changed.update((one.number, one) for one in outcome.changed)
        decisions += outcome.decisions
    return FollowResult(book, tuple(changed.values()), tuple(decisions))


def _letters(incident: Incident, page: Page, paging_rules: PagingRules, now: Instant) -> list[Letter]:
    subject = (
        f"[{paging_rules.site}] incident {incident.number}: {', '.join(incident.bad[:3]) or to_the_second(incident.cause)} bad"
    )
    deadline = shown_instant(incident.call.deadline, paging_rules.zone)
    body = "\n".join(
        [
            f"Incident {incident.number} at {paging_rules.site}: {to_the_second(incident.cause.removeprefix('object:'))}",
            f"Bad: {', '.join(incident.bad)}" + (f" ({incident.text})" if incident.text else ""),
            f"Bad since: {shown_instant(incident.bad_since, paging_rules.zone)}",
            f"Acknowledge by: {deadline}  ({incident.response_class})",
            f"You: {page.person}, level {page.level} ({page.because})",
            "",
            f"    ambienti incident ack {incident.number}",
            "",
            f"Notice {page.key}@{paging_rules.site}; the same notice may reach you twice.",
        ]
    )
    return [
        Letter(f"{page.key}.{page.person}.{index}@{paging_rules.site}", incident.number, page.person, place, subject, body, now)
        for index, place in enumerate(paging_rules.addresses.get(page.person, ()))
    ]


def deliver(journal: JournalWriter, notifier: Callable[[str, str], Notifier], clock: Callable[[], Instant]) -> int:
    """Send what is due and return how many notices were taken; what was not taken is due again later, with its key.

    `notifier(person, place)` opens an address; it may raise ValueError when that cannot be found or read.
    """
    waiting = outbox.due(journal, clock())

    def send(letter: Letter) -> bool:
        if not outbox.begin(journal, letter, clock()):
            return False
        try:
            notifier(letter.person, letter.address).send(_notice(letter))
        except (SourceError, ValueError) as error:
            outbox.failed(journal, letter, clock(), error.answer if isinstance(error, SourceError) else str(error))
            return False
        except Exception as error:  # noqa: BLE001 - that notice's failure: it is tried again, and the others are sent
            outbox.failed(journal, letter, clock(), unexpected(letter.person, f"notice {letter.key}", error).answer)
            return False
        outbox.taken(journal, letter, clock())
        return True

    with ThreadPoolExecutor(SENDERS, thread_name_prefix="notice") as senders:
        return sum(senders.map(send, waiting))


def _notice(letter: Letter) -> Notice:
    """Return what is sent; a file that is gone by now is named in the text, which goes out all the same."""
    files = [Path(name) for name in letter.attachments]
    gone = [path.name for path in files if not path.is_file()]
    body = f"{letter.body}\n\nNot attached, the file is gone: {', '.join(gone)}" if gone else letter.body
    lines = "\n".join(printable(line) for line in body.split("\n"))
    return Notice(letter.key, printable(letter.subject), lines, tuple(path for path in files if path.name not in gone))
