"""Verdicts: what a plan tells about every request cluster, VO, environment, host and worker it touched or could not serve."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from environments.reason import Reason, counted
from scheduler.decide.health import failing, image_gate
from scheduler.model.actions import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from scheduler.decide.boots import CapacityLeft
    from scheduler.decide.demand import Demand, Want
    from scheduler.decide.retirement import Orders
    from scheduler.decide.shares import Shares


SERVED = frozenset({"free-slot", "boot-ordered", "booting", "drain-cancelled", "in-doubt"})
"""Codes that say for how many of a cluster's jobs there is, or comes, room."""


def cluster_verdicts(demand: Demand) -> dict[str, Verdict]:
    """Say of every cluster with idle jobs what serves them and what does not."""
    verdicts = {key: Verdict(key, (reason,)) for key, reason in demand.refused.items()}
    for want in demand.wants:
        verdicts[want.key] = Verdict(want.key, reasons_of(want))
    return verdicts


def reasons_of(want: Want) -> tuple[Reason, ...]:
    """Return what stands against the jobs without room first, then what the others wait for."""
    reasons: list[Reason] = []
    if want.missing:
        if want.reclaiming is not None:
            reasons.append(want.reclaiming)
        reasons += [want.blockers[name] for name in want.environments if name in want.blockers]
    if want.free_slots:
        sentence = (
            f"{counted(want.free_slots, 'job', 'fit')} in running workers; they wait only for the batch system's negotiator"
        )
        reasons.append(Reason("free-slot", sentence, {"jobs": want.free_slots}, "wait for the next negotiation"))
    if want.ordered:
        sentence = f"workers are being booted now for {counted(want.ordered, 'job')}"
        reasons.append(Reason("boot-ordered", sentence, {"jobs": want.ordered}, "wait until they have registered"))
    if want.booting:
        sentence = f"{counted(want.booting, 'job', 'fit')} in workers that are booting"
        reasons.append(Reason("booting", sentence, {"jobs": want.booting}, "wait until they have registered"))
    if want.cancelled:
        sentence = f"drains are taken back for {counted(want.cancelled, 'job')}"
        reasons.append(Reason("drain-cancelled", sentence, {"jobs": want.cancelled}))
    if want.in_doubt:
        of_whom = "workers of which nothing is heard now; nothing is booted in their place yet"
        sentence = f"{counted(want.in_doubt, 'job')} may fit in {of_whom}"
        reasons.append(Reason("in-doubt", sentence, {"jobs": want.in_doubt}, "bring the silent hosts back"))
    return tuple(reasons)


def waiting_by_reason(idle: int, verdict: Verdict | None) -> Counter[str]:
    """Return how many of a cluster's idle jobs wait for what: those without room under the first reason."""
    if verdict is None or not verdict.reasons:
        return Counter()
    counts = Counter({reason.code: int(reason.numbers["jobs"]) for reason in verdict.reasons if reason.code in SERVED})
    if idle > counts.total():
        counts[verdict.reasons[0].code] += idle - counts.total()
    return counts


def vo_verdicts(wants: Iterable[Want], shares: Shares, *, all_told: bool) -> dict[str, Verdict]:
    """Say of every VO what it holds of what it may hold, and what it lacks; `all_told`: no batch system's queue is unknown."""
    missing: dict[str, int] = {}
    ceilings: dict[str, Reason] = {}
    for want in wants:
        if want.missing:
            missing[want.vo] = missing.get(want.vo, 0) + want.missing
            for reason in want.blockers.values():
                if reason.code == "over-ceiling":
                    ceilings.setdefault(want.vo, reason)
    verdicts = {}
    for vo in shares.standings:
        reason = share_reason(vo, missing.get(vo, 0), shares, all_told=all_told)
        verdicts[vo] = Verdict(vo, (ceilings[vo], reason) if vo in ceilings else (reason,))
    return verdicts


def share_reason(vo: str, missing: int, shares: Shares, *, all_told: bool) -> Reason:
    """Say what a VO holds, with its weight, guarantee and ceiling."""
    standing, share = shares.of(vo), shares.of(vo).vo.share
    part = shares.dominant_share(vo)
    ceiling = "no ceiling" if share.ceiling_cpus is None else f"ceiling {share.ceiling_cpus}"
    cpus, mib = (_known(count, whole=shares.all_heard) for count in (standing.cpus, standing.memory_mib))
    all_cpus, all_mib = (_known(count, whole=shares.whole) for count in (shares.total_cpus, shares.total_memory_mib))
    of_what = "" if shares.whole and shares.all_heard else " of what is known"
    dominant = f"{part:.1%}{of_what}" if shares.total_cpus else "?"
    sentence = (
        f"{vo} holds {cpus} of {all_cpus} cores and {mib} of {all_mib} MiB "
        f"(dominant share {dominant}, weight {share.weight:g}, guarantee {share.guarantee_cpus}, {ceiling}); "
        f"{_lacking(missing, all_told=all_told)}"
    )
    numbers: dict[str, int | float | str] = {"weight": share.weight, "guarantee_cpus": share.guarantee_cpus}
    if shares.all_heard or standing.cpus:  # of what is not known at all there is no number
        numbers |= {"held_cpus": standing.cpus, "held_memory_mib": standing.memory_mib}
    if shares.total_cpus:
        numbers |= {
            "total_cpus": shares.total_cpus,
            "total_memory_mib": shares.total_memory_mib,
            "dominant_share": round(part, 4),
        }
    if missing or all_told:
        numbers["missing_jobs"] = missing
    if share.ceiling_cpus is not None:
        numbers["ceiling_cpus"] = share.ceiling_cpus
    code = "below-guarantee" if missing and standing.below_guarantee else "share"
    return Reason(code, sentence, numbers)


def _known(count: int, *, whole: bool) -> str:
    """Write an amount: while some host does not tell it is a least one, or not known at all."""
    return str(count) if whole else f"at least {count}" if count else "?"


def _lacking(missing: int, *, all_told: bool) -> str:
    """Say how many jobs lack room; while a batch system is silent that is not known, or a least number."""
    if not missing and not all_told:
        return "how many jobs lack room is not known"
    return f"{'' if all_told else 'at least '}{counted(missing, 'job')} without room"


def environment_verdicts(left: CapacityLeft, standing: Iterable[Want], untold: Mapping[str, Reason]) -> dict[str, Verdict]:
    """Say of the environments in trouble what stands against more workers of them."""
    found: dict[str, list[Reason]] = {name: [reason] for name, reason in untold.items()}
    for name in sorted(left.facts.environments):
        environment = left.facts.environments[name]
        flying = left.booting[name, environment.version]
        reason = image_gate(left.facts.health, environment, flying)[1]
        if reason is not None and (reason.code != "canary" or flying):
            found.setdefault(name, []).append(reason)
    blocked = [(name, reason) for (name, _), reason in left.blocked.items()]
    blocked += [(name, reason) for want in standing if want.missing for name, reason in want.blockers.items()]
    for name, reason in blocked:
        reasons = found.setdefault(name, [])
        if all(reason.code != known.code for known in reasons):
            reasons.append(reason)
    for name, environment in left.facts.environments.items():
        trouble = failing(left.facts.health, (name, environment.version))
        if trouble is not None and all("failures" not in known.numbers for known in found.get(name, ())):
            found.setdefault(name, []).append(trouble)
    return {name: Verdict(name, tuple(reasons)) for name, reasons in sorted(found.items())}


def host_verdicts(left: CapacityLeft) -> dict[str, Verdict]:
    """Say of the hosts on which nothing is placed why not."""
    return {name: Verdict(name, (reason,)) for name, reason in left.capacity.closed.items()}


def worker_verdicts(orders: Orders) -> dict[str, Verdict]:
    """Say of every worker that something was decided about why, and of those kept against a rule what keeps them."""
    verdicts = {name: Verdict(name, (reason,)) for name, reason in orders.kept.items()}
    for action in (*orders.cancelled.values(), *orders.drains, *orders.ends):
        verdicts[action.machine] = Verdict(action.machine, (action.reason,))
    return verdicts
