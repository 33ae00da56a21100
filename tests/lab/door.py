"""The daemon's door in a process of its own, to be attacked: `python -m tests.lab.door DIRECTORY LISTEN`.

It prints its address, then once a second how many files it has open, until its standard input ends.
"""

import resource
import select
import sys
import time
from dataclasses import replace
from pathlib import Path

from environments.environment import VO, Environment
from environments.identity import Signature
from environments.matching import Catalogue
from scheduler.daemon import log
from scheduler.daemon.listening import Web
from scheduler.daemon.metrics import Metrics
from scheduler.daemon.receiver import ReportReceiver
from scheduler.daemon.web import Shown
from scheduler.decide.plan import decide
from scheduler.journal.agreements import Token, add_token
from scheduler.journal.journal import Journal
from scheduler.journal.records import Declared
from scheduler.loop.engine import Cycle, Engine
from scheduler.loop.lanes import ThreadRunner
from scheduler.model.clock import WallClock
from scheduler.model.observation import Observation
from scheduler.model.policy import Policy
from scheduler.model.queues import QueueReading

FILES = 1024


def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    directory, clock = Path(sys.argv[1]), WallClock()
    log.configure("json")
    journal = Journal(f"sqlite:///{directory}/ambienti.db", now=clock.now())
    add_token(journal, Token("nagios", ("*",), reads=True), "sesame", Signature("root"), round(clock.now() * 1_000_000))
    catalogue = Catalogue({"el9": Environment(name="el9", vo="atlas", virtualization="lxc")}, {"atlas": VO(name="atlas")})
    policy = Policy("hill", catalogue, {})
    engine = Engine(policy, {}, {}, journal, clock, ThreadRunner(clock), owner="a")
    engine.declared = (Declared("voms"),)
    cycle = engine.cycle()
    queues = {"pool": QueueReading("pool", clock.now(), (), (), complete=True)}
    cycle = replace(cycle, observation=Observation(clock.now(), queues, {}, ()))
    assert isinstance(cycle, Cycle)
    assert decide(cycle.observation, policy) is not None
    shown = Shown(30, clock.monotonic, cycle, policy, clock.monotonic())
    web = Web(
        sys.argv[2], shown, Metrics(), ReportReceiver(engine), local=directory / "daemon.sock", names=("farm.example.org",)
    )
    print(web.address, flush=True)
    renewed = time.monotonic()
    while not select.select([sys.stdin], [], [], 0.5)[0]:
        if time.monotonic() - renewed > 5:
            engine.lease.hold()
            renewed = shown.ended_at = time.monotonic()
        print(sum(1 for _ in Path("/proc/self/fd").iterdir()), time.process_time(), flush=True)
    web.close()
    engine.close()


if __name__ == "__main__":
    main()
