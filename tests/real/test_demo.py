"""The demo as a user starts it: the installed command, the real daemon, libvirt's test driver."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.real
AMBIENTI = Path(sys.executable).with_name("ambienti")


def test_the_demo_boots_serves_and_ends_with_a_summary():
    done = subprocess.run([AMBIENTI, "demo", "--seconds", "16"], capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = done.stdout
    for environment in ("atlas-el9", "cms-el9", "theory-deb12"):
        assert re.search(rf"boot +{environment}-\d+ on xen\d", told), told
    table = {
        row.split()[0]: [int(number) for number in row.split()[1:4]]
        for row in told.splitlines()
        if re.match(r"(atlas|cms|theory) +\d", row)
    }
    assert set(table) == {"atlas", "cms", "theory"}
    assert table["atlas"][1] > 0, f"no job of atlas was served: {told}"
    assert all(submitted == served + waiting for submitted, served, waiting in table.values())
    workers = re.search(r"(\d+) workers booted, (\d+) of them never registered, (\d+) retired; [\d.]+ idle worker-hours", told)
    assert workers, told
    assert int(workers[1]) > 5
    assert "Did you mean 'theory-deb12'?" in told
    shown = {row.split()[0]: row.split()[-1] for row in told.partition("Availability of these")[2].splitlines() if "%" in row}
    assert {"farm", "hosts", "queue", "ambienti", "xen1", "xen4", "workers/atlas-el9"} <= set(shown)
    assert shown["ambienti"] == "100.00%"
    page = re.search(r"The same with charts: (\S+)", told)
    assert page, told
    assert "workers/atlas-el9" in Path(page[1]).read_text()
    assert "Try next:" in told
    assert "\\x0a" not in told, "a title begins no line of its own"
    assert done.stderr == ""


def test_two_demos_with_one_seed_have_the_same_jobs(tmp_path):
    """What is submitted when comes from the seed alone; only what becomes of it depends on the machine."""
    from simulations.clock import Agenda, SimulatedClock
    from simulations.live import LiveOptions, LiveQueue

    def jobs(seed):
        clock = SimulatedClock()
        options = {"seed": seed, "jobs": [{"at": 1, "vo": "atlas", "count": (1, 40), "runs": (3, 90), "every": 5, "times": 4}]}
        queue = LiveQueue("queue", LiveOptions.model_validate(options), Agenda(clock), 5.0)
        clock.sleep(60)
        queue.read((), cheap=False)
        return [(job.id, job.run_seconds, job.queued_monotonic) for job in queue.book.jobs.values()]

    assert jobs(3) == jobs(3)
    assert jobs(3) != jobs(4)
