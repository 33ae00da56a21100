"""Where an answer comes from: a snapshot file, the running daemon, or a look of our own at the farm."""

from __future__ import annotations

import http
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from environments.problems import ConfigurationError
from environments.reader import read_content
from scheduler.commands import daemon
from scheduler.commands.common import Exit, fail, find_site, plural, say
from scheduler.commands.loaded import problems_told, tell_problems
from scheduler.model import snapshot as snapshots
from scheduler.model.actions import Plan
from scheduler.model.clock import WallClock
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy
from scheduler.model.ports import BatchSystem
from scheduler.model.readings import is_silent
from scheduler.model.snapshot import DaemonStanding
from scheduler.show.terminal import duration
from scheduler.site.definitions import Definitions
from scheduler.site.site_file import SiteFile, read_site

if TYPE_CHECKING:
    from scheduler.site.compose import Farm

Asking = Callable[[Definitions, Mapping[str, BatchSystem]], object]
DAEMON_SECONDS = 5.0
REFUSED_SHOWN = 3


@dataclass(slots=True)
class FarmView:
    """An observation, the policy it is judged by, the plan made of it, and where it comes from."""

    observation: Observation
    policy: Policy
    plan: Plan
    origin: str
    definitions: Definitions | None = None
    """None for a snapshot: there is no site to ask further."""
    ordered: bool = False
    """The daemon has decided the plan and ordered its actions already."""
    beside: object = None
    """What the batch systems answered meanwhile, if they were asked something."""
    standing: DaemonStanding = field(default_factory=DaemonStanding)
    """How the daemon fares that was asked."""

    @property
    def silent(self) -> tuple[str, ...]:
        """The sources that did not answer."""
        return silent_sources(self.observation)


def silent_sources(observation: Observation) -> tuple[str, ...]:
    """Return the sources that did not answer; those that still may are not silent."""
    sources = {**observation.queues, **observation.hosts}
    return tuple(name for name, reading in sources.items() if is_silent(reading))


class BatchQuestion:
    """Asks the batch systems something while the farm is looked at: they take their time to answer."""

    def __init__(self, ask: Asking, stack: ExitStack) -> None:
        self._ask = ask
        self._stack = stack
        self._answer: Future[object] | None = None

    def begin(self, found: Definitions) -> None:
        """Connect the batch systems and ask them, in a thread of its own; a second time nothing happens."""
        if self._answer is None:
            from scheduler.site import compose

            farm = self._stack.enter_context(compose.connected(found, hosts=False))
            thread = self._stack.enter_context(ThreadPoolExecutor(1))
            self._answer = thread.submit(self._ask, found, farm.batch_systems)

    def answer(self) -> object:
        """Return what they answered, when they have."""
        return None if self._answer is None else self._answer.result()


@contextmanager
def looked(site: Path | None, snapshot: str | None, *, beside: Asking | None = None, live: bool = False) -> Iterator[FarmView]:
    """Look at a snapshot, else ask the running daemon, else look at the farm ourselves.

    `beside` is asked of the batch systems meanwhile, unless it is a snapshot; with `live` no daemon is asked.
    """
    if snapshot is not None:
        content = sys.stdin.buffer.read() if snapshot == "-" else read_content(Path(snapshot), given=True)
        yield _from_snapshot(content, f"snapshot {snapshot}")
        return
    with ExitStack() as stack:
        asking = BatchQuestion(beside, stack) if beside is not None else None
        found, answer = _asked(find_site(site), live=live, asking=asking)
        if asking is not None:
            asking.begin(found)
        if isinstance(answer, FarmView):
            answer.definitions = found
        else:
            from scheduler.journal.opening import JournalError
            from scheduler.site import compose, discovering

            found, farm, _ = stack.enter_context(discovering.connected(found))
            why_ours = answer
            try:
                answer = _look(found, farm, f"a look of our own{why_ours and f' ({why_ours})'}")
            except JournalError as error:
                if compose.is_ours(found):
                    raise
                raise fail(_nobody_answers(why_ours, error), Exit.UNANSWERED) from error
        answer.beside = asking.answer() if asking is not None else None
        yield answer


def _asked(where: Path, *, live: bool, asking: BatchQuestion | None = None) -> tuple[Definitions, FarmView | str]:
    """Read the files and ask the daemon; files of VOs that it refuses do not hide what it goes by meanwhile."""
    from scheduler.site import definitions, in_force

    try:
        found = definitions.load(where)
    except ConfigurationError as error:
        known = in_force.recall(where)
        file = known.file if known else read_site(where, [])[0]
        answer = "" if live or file is None else _told(file)
        if known is None and file is not None and isinstance(answer, FarmView):
            known = Definitions(file, answer.policy, {}, {}, {})
        if known is None:
            raise
        tell_problems(error)
        return known, answer
    if asking is not None:
        asking.begin(found)
    return found, "" if live else _told(found.file)


def _told(file: SiteFile) -> FarmView | str:
    """Return what the daemon sees, or a sentence why none does; who names one by its address means no other answer."""
    answer = _told_by_daemon(file)
    if isinstance(answer, str) and answer and daemon.named_url():
        raise fail(answer, Exit.UNANSWERED)
    return answer


def _nobody_answers(answer: str, error: Exception) -> str:
    """Say to whom the daemon has not answered, and who may not open the journal either, what he can do."""
    told = f"{answer[:1].upper()}{answer[1:]}. " if answer else ""
    ask = "ask the administrators for a token for reading, and put the path of its file into AMBIENTI_TOKEN_FILE"
    does = "tell the administrators that their daemon does not answer" if daemon.token_file() else ask
    own = f"without the daemon only who may open the journal can look at the farm ({error})"
    return f"{told}To get an answer, {does}: {own}"


def tell_standing(found: FarmView) -> None:
    """Say above an answer what the daemon fails of, and which files it refuses."""
    standing = found.standing
    if standing.problem:
        lasts = "" if standing.failing_since is None else f" for {duration(WallClock().now() - standing.failing_since)}"
        say(f"the daemon has failed{lasts}, and does nothing meanwhile: {standing.problem}", style="bold red")
    if standing.refused and not problems_told():
        wrong = plural(len(standing.refused), "problem")
        say(f"the daemon refuses files ({wrong}, `ambienti check`) and goes by the last good ones:", style="yellow")
        for line in standing.refused[:REFUSED_SHOWN]:
            say(f"  {line}", style="yellow")
        if len(standing.refused) > REFUSED_SHOWN:
            say(f"  and {len(standing.refused) - REFUSED_SHOWN} more", style="yellow")


def _told_by_daemon(file: SiteFile) -> FarmView | str:
    """Return what the running daemon sees; a sentence says why there is none, or none of this farm."""
    told, where = _ask_daemon(file)
    if not told:
        return where
    answer = _from_snapshot(told, f"the daemon at {where}", keep_plan=True)
    if answer.policy.site != file.site.site:
        return f"the daemon at {where} serves another farm, {answer.policy.site}"
    return answer


def _look(found: Definitions, farm: Farm, origin: str) -> FarmView:
    from scheduler.site import compose

    with compose.engine(found, farm, read_only=True) as engine:
        observation = engine.look(cheap=False)
    return FarmView(observation, found.policy, _decide(observation, found.policy), origin, found)


def _decide(observation: Observation, policy: Policy) -> Plan:
    from scheduler.decide.plan import decide

    return decide(observation, policy)


def _from_snapshot(content: bytes, origin: str, *, keep_plan: bool = False) -> FarmView:
    try:
        read = snapshots.load(content)
    except snapshots.SnapshotError as error:
        raise fail(f"{origin}: {error}", Exit.WRONG) from error
    age = WallClock().now() - read.observation.now
    when = f"{duration(age)} old" if age >= 0 else "from the future by this machine's clock"
    kept = read.plan if keep_plan else None
    plan = kept or _decide(read.observation, read.policy)
    return FarmView(read.observation, read.policy, plan, f"{origin}, {when}", ordered=kept is not None, standing=read.standing)


def _ask_daemon(file: SiteFile) -> tuple[bytes, str]:
    """Ask the daemon that is named by its address, else this machine's through its socket, else (with a token) by its address.

    Returns what it saw last, with where it comes from; or nothing, and a sentence why ("": no daemon is to be expected).
    """
    named, settings = daemon.named_url(), file.site.daemon
    where = named or str(file.socket)
    try:
        answer = _by_network(named) if named else daemon.ask(file.socket, "/snapshot", seconds=DAEMON_SECONDS)
    except daemon.NoAnswerError as error:
        url = daemon.url_of(settings)
        if named or not url or not daemon.token_file():
            return b"", f"no daemon answers at {where}: {error}" if str(error) else url and f"no daemon answers at {url}"
        where = url
        try:
            answer = _by_network(url)
        except daemon.NoAnswerError as problem:
            return b"", f"no daemon answers at {where}: {problem}"
    if answer.code == http.HTTPStatus.OK:
        return answer.content, where
    return b"", f"the daemon at {where} has nothing to show: {answer.problem or answer.code}"


def _by_network(url: str) -> daemon.Answer:
    """Ask a daemon by its address with the user's token; a token that cannot be shown is no answer."""
    if not daemon.token_file():
        raise daemon.NoAnswerError("put the path of your token's file into AMBIENTI_TOKEN_FILE; the administrators make tokens")
    try:
        token = daemon.read_token(Path(daemon.token_file()))
        return daemon.ask(url, "/snapshot", seconds=DAEMON_SECONDS, token=token)
    except daemon.TokenError as problem:
        raise daemon.NoAnswerError(str(problem)) from problem
