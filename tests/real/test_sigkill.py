"""A daemon that is killed with -9 at random instants boots nothing twice and leaves nothing behind, on a real libvirtd (LXC).

The batch system lives in another process than the daemon: it is the simulated queue under real time, whose workers register when
their containers really run. A thousand kills are in `tests/bench/bench_crash.py`.
"""

import os

import pytest

from tests.lab.crashes import CrashFarm, Ordeal
from tests.lab.libvirtd import Libvirtd

pytestmark = [pytest.mark.real, pytest.mark.lane]
SEED = int(os.environ.get("AMBIENTI_SEED", "1"))


@pytest.mark.slow
def test_several_dozen_kills_during_boots_and_retirements_leave_no_double_boot_and_no_orphan(tmp_path):
    libvirtd = Libvirtd(f"sigkill-{os.getpid()}", dies_with_parent=True)
    libvirtd.start()
    try:
        farm = CrashFarm(tmp_path, libvirtd)
        ordeal = Ordeal(farm, SEED)
        try:
            while ordeal.kills < 48 or (not ordeal.killed_in["boot"] and ordeal.kills < 480):
                ordeal.round(jobs=8, most_kills=16)
            assert ordeal.double_boots == [], f"replay with AMBIENTI_SEED={SEED}"
            assert ordeal.orphans == [], f"replay with AMBIENTI_SEED={SEED}"
            assert farm.leftovers() == set()
            assert farm.queue.dead_ads() == set()
            assert ordeal.killed_in["boot"] > 0, "no kill fell into a boot: the test proves nothing"
        finally:
            ordeal.close()
            farm.close()
    finally:
        libvirtd.remove()
