"""What can go wrong with a simulated farm, and what its people do to it: one function for each deed, which returns its end."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from scheduler.model.ports import EventKind
from simulations.scenario import Deed, FaultLines

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulations.farm import SimulatedFarm


def schedule(farm: SimulatedFarm) -> None:
    """Let the faults of the farm's scenario happen when their time comes."""
    for fault in farm.scenario.faults:
        farm.agenda.after(fault.at, partial(befall, farm, fault))


def befall(farm: SimulatedFarm, fault: FaultLines) -> None:
    """Let a fault begin; it ends by itself after `lasts`."""
    farm.tell("fault", describe(fault))
    farm.disturbed_at = farm.agenda.monotonic()
    end = DEEDS[fault.do](farm, fault)
    if end is None:
        return
    ending, mark = end, len(farm.endings)
    farm.faults_active.add(mark)

    def over() -> None:
        if mark in farm.faults_active:
            farm.faults_active.discard(mark)
            farm.tell("fault", f"{describe(fault)}: over")
            farm.disturbed_at = farm.agenda.monotonic()
            ending()

    farm.endings.append(over)
    if fault.lasts is not None:
        farm.agenda.after(fault.lasts, over)


def mend_everything(farm: SimulatedFarm) -> None:
    """End all faults, and see to it that a daemon runs."""
    farm.knife.cut_after = None
    for over in farm.endings:
        over()
    if not any(daemon.alive for daemon in farm.daemons):
        farm.start_daemon()


def describe(fault: FaultLines) -> str:
    """Name a fault and what it befalls."""
    subject = fault.host or fault.worker or fault.environment or fault.vo
    if fault.do is Deed.WORKER_MIGRATES:
        subject = f"{fault.worker} to {fault.host}"
    if fault.do is Deed.CLOCK_JUMP:
        subject = f"by {fault.seconds} s"
    if fault.do is Deed.CHANGE:
        subject += " to " + ", ".join(f"{key} {value}" for key, value in fault.to.items())
    return f"{fault.do.value} {subject}".strip()


def _impose(farm: SimulatedFarm, thing: object, attribute: str, value: Any) -> Callable[[], None]:
    """Set a fault; where several of a kind overlap, the last one to end takes it back."""
    key = (id(thing), attribute)
    farm.imposed[key] += 1
    setattr(thing, attribute, value)

    def take_back() -> None:
        farm.imposed[key] -= 1
        if not farm.imposed[key]:
            setattr(thing, attribute, getattr(type(thing)(), attribute))

    return take_back


def _queue(attribute: str, value: Any = True) -> Callable[[SimulatedFarm, FaultLines], Callable[[], None]]:
    return lambda farm, _fault: _impose(farm, farm.queue.faults, attribute, value)


def _host(attribute: str, value: Any = True) -> Callable[[SimulatedFarm, FaultLines], Callable[[], None]]:
    return lambda farm, fault: _impose(farm, farm.plant.hosts[fault.host].faults, attribute, value)


def _host_silent(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    host = farm.plant.hosts[fault.host]
    host.fall_silent()
    return host.answer_again


def _host_dead(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    host = farm.plant.hosts[fault.host]
    host.die()
    return host.power_on


def _host_drain(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    farm.drain_host(fault.host)
    return lambda: farm.drain_host(fault.host, back=True)


def _host_forgotten(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.forget_host(fault.host)


def _stranger(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    host, name = farm.plant.hosts[fault.host], fault.worker or "somebody-elses"
    host.add_stranger(name, fault.memory_mib)
    return lambda: host.remove_stranger(name)


def _image(how: str) -> Callable[[SimulatedFarm, FaultLines], Callable[[], None]]:
    def breaks(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
        version = fault.version or farm.policy.catalogue.environments[fault.environment].version
        farm.plant.broken_images[fault.environment, version] = how

        def mend() -> None:
            farm.plant.broken_images.pop((fault.environment, version), None)

        return mend

    return breaks


def _worker_dies(farm: SimulatedFarm, fault: FaultLines) -> None:
    host = farm.plant.where(fault.worker)
    if host is not None:
        host.stop(fault.worker, EventKind.CRASHED, "killed")


def _worker_cut_off(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    farm.queue.cut_off(fault.worker)
    return lambda: farm.queue.cut_off(fault.worker, back=True)


def _worker_migrates(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None] | None:
    source = farm.plant.where(fault.worker)
    return None if source is None else farm.plant.hosts[fault.host].receive(source, fault.worker)


def _black_hole(farm: SimulatedFarm, fault: FaultLines) -> Callable[[], None]:
    farm.queue.faults.black_holes.add(fault.worker)
    return lambda: farm.queue.faults.black_holes.discard(fault.worker)


def _jobs_removed(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.queue.book.remove_idle(fault.vo)


def _jobs_held(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.queue.book.hold_idle(fault.vo, farm.clock.monotonic())


def _change(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.redefine(fault.environment, fault.to)


def _clock_jump(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.clock.jump(fault.seconds or 0)


def _daemon_stops(farm: SimulatedFarm, _fault: FaultLines) -> Callable[[], None]:
    farm.stop_daemon()
    return farm.start_daemon


def _daemon_crashes(farm: SimulatedFarm, fault: FaultLines) -> None:
    farm.restart_seconds = fault.lasts
    if fault.after_steps is None:
        farm.kill_daemon()
    else:
        farm.knife.cut_after = len(farm.knife.steps) + fault.after_steps


def _second_daemon(farm: SimulatedFarm, _fault: FaultLines) -> None:
    farm.start_daemon()


def _journal_lost(farm: SimulatedFarm, _fault: FaultLines) -> None:
    farm.lose_journal()


DEEDS: dict[Deed, Callable[[SimulatedFarm, FaultLines], Callable[[], None] | None]] = {
    Deed.QUEUE_SILENT: _queue("silent"),
    Deed.QUEUE_SLOW: _queue("slow_seconds", 3600.0),
    Deed.QUEUE_PARTIAL: _queue("partial"),
    Deed.QUEUE_EMPTY: _queue("empty"),
    Deed.QUEUE_LAGGING: _queue("lagging"),
    Deed.QUEUE_DEAF: _queue("deaf"),
    Deed.HOST_SILENT: _host_silent,
    Deed.HOST_DEAD: _host_dead,
    Deed.HOST_SLOW: _host("slow_seconds", 3600.0),
    Deed.HOST_PARTIAL: _host("partial"),
    Deed.HOST_MUTE: _host("mute"),
    Deed.HOST_BOOTS_SLOW: _host("boots_slow"),
    Deed.HOST_BOOTS_LONG: _host("boots_seconds", 45.0),
    Deed.HOST_BOOTS_FAIL: _host("boots_fail", "no space left on device"),
    Deed.HOST_BLACK_HOLE: _host("black_hole"),
    Deed.HOST_DRAIN: _host_drain,
    Deed.HOST_FORGOTTEN: _host_forgotten,
    Deed.STRANGER: _stranger,
    Deed.IMAGE_HANGS: _image("hangs"),
    Deed.IMAGE_CRASHES: _image("crashes"),
    Deed.WORKER_DIES: _worker_dies,
    Deed.WORKER_CUT_OFF: _worker_cut_off,
    Deed.WORKER_BLACK_HOLE: _black_hole,
    Deed.WORKER_MIGRATES: _worker_migrates,
    Deed.JOBS_REMOVED: _jobs_removed,
    Deed.JOBS_HELD: _jobs_held,
    Deed.CHANGE: _change,
    Deed.CLOCK_JUMP: _clock_jump,
    Deed.DAEMON_STOPS: _daemon_stops,
    Deed.DAEMON_CRASHES: _daemon_crashes,
    Deed.SECOND_DAEMON: _second_daemon,
    Deed.JOURNAL_LOST: _journal_lost,
}
