"""`ambienti demo`: one minute of the real daemon on embedded defaults, drawn live, with a summary at the end.

Real are the daemon, its journal, the decisions and the libvirt connector (on libvirt's built-in test driver); the batch system
and its jobs are simulated.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
import threading
from contextlib import ExitStack
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from scheduler.availability.measuring.accounting import measure
from scheduler.availability.timelines.prepared import prepare
from scheduler.availability.timelines.windows import between
from scheduler.daemon import log
from scheduler.daemon.daemon import Daemon, owner_name
from scheduler.model.instants import SECOND, in_seconds, write_duration
from scheduler.model.queues import QueueReading
from scheduler.show.live_view import watching
from scheduler.show.terminal import Table
from scheduler.site import compose, definitions, services
from simulations.live import LiveQueue
from simulations.summary import table_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from scheduler.availability.history import History, Window
    from scheduler.journal.journal import Journal
    from scheduler.loop.engine import Engine

HOSTS = 4
NEXT = (
    "ambienti demo --seed 2              other jobs",
    "ambienti simulate scenario --list   what Ambienti does when things go wrong",
    "ambienti simulate seeds             random farms, random faults",
    "make lab                            a real HTCondor pool with LXC, QEMU and Xen workers on this machine",
)


def run(seconds: int, seed: int, console: Console) -> int:
    """Run the daemon for so long and print what came of it; return its exit code."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ambienti-demo-")))
        found = definitions.load(lay_out(directory, seed))
        log.configure(stream=stack.enter_context((directory / "ambienti.log").open("w")))
        farm = compose.connect(found)
        stack.callback(farm.close)
        engine = stack.enter_context(compose.engine(found, farm, owner=owner_name()))
        queue = farm.batch_systems["queue"]
        assert isinstance(queue, LiveQueue)
        _announce(console, directory, seconds)
        timer = threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGTERM))
        timer.daemon = True
        timer.start()
        with watching(engine, console):
            code = Daemon(engine, listen=found.site.daemon.listen).run()
        timer.cancel()
        _summarise(console, queue, engine)
        history = services.live_history(found, engine.journal, engine.clock.now())
        console.print()
        console.print(availability_table(history))
        console.print(
            f"\nThe same with charts: {_page(history, found.site.site)}", highlight=False, markup=False, soft_wrap=True
        )
        _point_on(console)
    return code


def lay_out(directory: Path, seed: int) -> Path:
    """Write the site's files; return the site file."""
    with resources.as_file(resources.files("simulations") / "demo") as source:
        shutil.copytree(source, directory, dirs_exist_ok=True)
    for number in range(1, HOSTS + 1):
        shutil.copy(directory / "host.xml", directory / f"xen{number}.xml")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        listen = f"127.0.0.1:{probe.getsockname()[1]}"
    site = directory / "site.yaml"
    text = site.read_text(encoding="utf-8")
    for mark, value in (("@SEED@", str(seed)), ("@DIRECTORY@", str(directory)), ("@LISTEN@", listen)):
        text = text.replace(mark, value)
    site.write_text(text, encoding="utf-8")
    return site


def _announce(console: Console, directory: Path, seconds: int) -> None:
    console.print(
        f"The real daemon, four hosts of libvirt's test driver, a simulated queue; {seconds} s. Meanwhile, elsewhere:"
    )
    console.print(f"  ambienti status --site {directory}/site.yaml", highlight=False, soft_wrap=True)
    console.print(
        "Two faults are built in: for 12 s no worker of atlas-el7 registers, and at 23 s the queue is silent for 4 s."
    )
    console.print()


def _summarise(console: Console, queue: LiveQueue, engine: Engine) -> None:
    console.print()
    console.print(table_of(queue.book.served, "What came of it"))
    booted, failed, retired = _counted(engine.journal)
    idle = queue.idle_so_far()
    console.print(
        f"\n{booted} workers booted, {failed} of them never registered, {retired} retired; "
        f"{idle / 3600:.2f} idle worker-hours ({idle:.0f} s)."
    )
    for line in _still_waiting(engine):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _point_on(console: Console) -> None:
    console.print("\nTry next:", style="bold")
    for line in NEXT:
        console.print(f"  {line}", highlight=False, markup=False, soft_wrap=True)


def _page(history: History, site: str) -> str:
    """Write the report as a page of its own; return where it is, or what is missing for it."""
    try:
        from scheduler.publish import page, sheet
    except ImportError:
        return "install ambienti with the extra `report`"
    file = Path(tempfile.mkdtemp(prefix="ambienti-report-"), "availability.html")
    made = sheet.make(prepare(history), [_watched(history)], "excuse", site=site)
    file.write_text(page.page(made), encoding="utf-8")
    return str(file)


def _watched(history: History) -> Window:
    """Return the time between the first and the last look."""
    looks = [at for result in history.results for at in (result.at, result.confirmed or result.at)]
    return between(min(looks), max(*looks, min(looks) + 1), history.now, "this demo")


def availability_table(history: History) -> Table:
    """Return the availability of every object and group while the daemon looked, with what was lost of it."""
    window = _watched(history)
    measures = measure(history, window, "excuse")
    title = f"Availability of these {write_duration((window.end - window.start + SECOND // 2) // SECOND * SECOND)}"
    table = Table(title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0))
    for column in ("", "up", "bad", "unknown", "availability"):
        table.add_column(column, justify="left" if not column else "right", header_style="dim")
    groups = {group.name for group in history.groups}
    for name, one in sorted(measures.items(), key=lambda item: (item[0] not in groups, item[0])):
        spans = [f"{in_seconds(length):.1f} s" for length in (one.up, one.bad, one.unknown)]
        figure = "-" if one.figure is None else f"{float(one.figure):.2%}"
        table.add_row(name, *spans, figure, style="bold" if name in groups else "" if not one.bad else "yellow")
    return table


def _still_waiting(engine: Engine) -> Iterator[str]:
    """Say why what still waits does so, as `why` would."""
    last = engine.last
    queues = last.observation.queues.values() if last else ()
    for row in (row for queue in queues if isinstance(queue, QueueReading) for row in queue.clusters if row.idle):
        verdict = last.plan.clusters.get(row.key) if last else None
        if verdict is not None and verdict.reasons:
            jobs = f"{row.idle} jobs of {row.vo} wait" if row.idle > 1 else f"1 job of {row.vo} waits"
            yield f"{jobs} (job {row.example_job}): {verdict.reasons[0].sentence}"


def _counted(journal: Journal) -> tuple[int, int, int]:
    """Count workers booted, those that never registered, and those retired."""
    events = journal.events()
    done = [event.note for event in events if event.note.detail.get("outcome") == "done"]
    booted = sum(note.kind == "boot-ended" for note in done)
    ended = [note for note in done if note.kind in {"power-off-ended", "clean-up-ended"}]
    failed = sum(note.cause == "boot-failed" for note in ended)
    return booted, failed, len(ended) - failed
