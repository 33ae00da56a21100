"""Sweeping: storage of workers that nobody knows of any more is removed, when nothing can still need it.

Rules:
1. The host that a worker was booted on must answer in full, and not show it. Of a host that the site has no longer, and of a
   worker that the journal does not know, every host of the site must answer so.
2. It must have been left for as long as a boot may take: a call that was cut off may still take effect.
3. While workers are still being adopted nothing is swept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from environments.reason import Reason
from scheduler.model.actions import Sweep

if TYPE_CHECKING:
    from scheduler.decide.facts import Facts
    from scheduler.decide.retirement import Orders
    from scheduler.model.workers import LeftStorage

SWEEPS = 50
"""Ordered in one cycle, over the whole farm; the rest waits for the next look at the storage."""
GRACE_SECONDS = 600
"""For workers of environments that are no longer defined."""


def sweep(facts: Facts, orders: Orders) -> None:
    """Order the removal of what is left on storage."""
    if facts.observation.adopting_until is not None:
        return
    all_answer = all(facts.trust.of_host(name) is None for name in facts.observation.hosts)
    for left in facts.observation.left:
        host = _from_where(left, facts, all_answer=all_answer)
        if host and left.seconds >= _grace(left, facts):
            seconds = round(left.seconds)
            sentence = f"its storage is left on {host} for {seconds} s, and no worker needs it"
            orders.ends.append(Sweep(left.worker, left.uuid, host, Reason("left-behind", sentence, {"seconds": seconds})))
            if sum(isinstance(one, Sweep) for one in orders.ends) >= SWEEPS:
                return


def _from_where(left: LeftStorage, facts: Facts, *, all_answer: bool) -> str:
    """Return the host that is to remove it; "" while somebody who may need it does not answer."""
    answering = [host for host in left.hosts if facts.trust.of_host(host) is None]
    known = left.ran_on in facts.observation.hosts
    sure = facts.trust.of_host(left.ran_on) is None if known else all_answer
    if not sure or not answering:
        return ""
    return left.ran_on if left.ran_on in answering else min(answering)


def _grace(left: LeftStorage, facts: Facts) -> float:
    environment = facts.environments.get(left.environment)
    if environment is not None:
        return environment.boot_seconds
    return max((one.boot_seconds for one in facts.environments.values()), default=GRACE_SECONDS)
