"""One worker on one host: boot it, power it off, remove what was made for it. Every act may be repeated."""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

import libvirt

from connectors.libvirt.checking import missing_images
from connectors.libvirt.enrolment import make_config, make_directory, remove_directory
from connectors.libvirt.line import no_such
from connectors.libvirt.reading import is_remnant, read_identity
from connectors.libvirt.storage import make_disk, remove_volumes
from environments.domain import DomainPieces, Driver, domain_xml
from scheduler.model.failures import FailureCause
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from connectors.libvirt.line import Talk
    from connectors.libvirt.options import LibvirtOptions
    from scheduler.model.ports import WorkerOrder

_POLL_SECONDS = 0.1


def boot(talk: Talk, order: WorkerOrder, options: LibvirtOptions) -> None:
    """Make the worker's storage and start its domain; one that runs already is success."""
    if _runs(talk, order.worker, order.uuid):
        return
    if talk.driver is Driver.LXC:  # libvirt would make the missing directory and fail in it
        _refuse_missing(talk, order)
    try:
        _start(talk, order, _pieces(talk, order, options))
    except SourceError:
        if not talk.cancelled.is_set():
            with contextlib.suppress(SourceError):  # what stays is found again by `clean_up`; the first error tells more
                if not _runs(talk, order.worker, order.uuid):
                    _remove_storage(talk, order.worker, order.uuid, options)
        raise


def power_off(talk: Talk, worker: str, uuid: str, site: str, graceful_seconds: float) -> None:
    """Destroy the domain if it is ours; gone already is success."""
    asked = f"power off {worker}"
    handle = find(talk, worker)
    if handle is None or handle.UUIDString() != uuid:
        return
    with talk.asking(asked):
        identity = read_identity(handle)
    if identity is None or identity.site != site or identity.machine != worker:
        raise SourceError(talk.host, asked, "left alone: the domain of that name and UUID does not carry our identity")
    if graceful_seconds:
        _shut_down(talk, handle, asked, graceful_seconds)
    with talk.asking(asked), _gone_is_success():
        if handle.isActive():
            handle.destroy()
        if handle.isPersistent():
            handle.undefine()


def clean_up(talk: Talk, worker: str, uuid: str, options: LibvirtOptions) -> None:
    """Remove the volumes and directories of a worker whose domain is gone."""
    if _runs(talk, worker, uuid, ours_only=True):
        raise SourceError(talk.host, f"clean up after {worker}", "its domain is still there")
    _remove_storage(talk, worker, uuid, options)


def find(talk: Talk, worker: str) -> Any | None:
    """Return the handle of the domain of that name."""
    with talk.asking(f"look for domain {worker}"):
        try:
            handle = talk.connection.lookupByName(worker)
        except libvirt.libvirtError as error:
            if no_such(error):
                return None
            raise
        return None if is_remnant(handle) else handle


def parameters_of(order: WorkerOrder) -> dict[str, str]:
    """Return what a worker is told beside its secrets; what the batch system says wins."""
    network, identity = order.environment.network, order.identity
    own = {
        "worker": order.worker,
        "environment": order.environment.name,
        "vo": identity.vo,
        "site": identity.site,
        "network": network.kind.value,
    }
    if identity.address:
        own["address"] = identity.address
        own["gateway"] = network.gateway or ""
    return {**own, **order.enrolment.parameters}


def _runs(talk: Talk, worker: str, uuid: str, *, ours_only: bool = False) -> bool:
    """Whether this very domain is there. Raises SourceError when another has its name, unless only ours matters."""
    handle = find(talk, worker)
    if handle is None:
        return False
    with talk.asking(f"look at domain {worker}"), contextlib.suppress(libvirt.libvirtError):
        if handle.UUIDString() == uuid:
            return bool(handle.isActive())
        if not ours_only:
            answer = f"left alone: another domain has that name ({handle.UUIDString()})"
            raise SourceError(talk.host, f"boot {worker}", answer)
    return False


def _pieces(talk: Talk, order: WorkerOrder, options: LibvirtOptions) -> DomainPieces:
    """Make the worker's storage and gather what its domain is made of."""
    parameters = parameters_of(order)
    container = talk.driver is Driver.LXC
    disk = None if container else make_disk(talk, order, options)
    config = (make_directory if container else make_config)(talk, order, options, parameters)
    directory = options.console_directory
    return DomainPieces(
        uuid=order.uuid,
        environment=order.environment,
        identity=order.identity,
        parameters=parameters,
        disk=disk,
        config=config,
        console_log=f"{directory.rstrip('/')}/{order.worker}.log" if directory else None,
    )


def _start(talk: Talk, order: WorkerOrder, pieces: DomainPieces) -> None:
    asked = f"start domain {order.worker}"
    try:
        xml = domain_xml(pieces, talk.driver)
    except ValueError as error:
        raise SourceError(talk.host, asked, str(error)) from error
    try:
        with talk.asking(asked):
            talk.connection.createXML(xml, 0)
    except SourceError as error:
        with contextlib.suppress(SourceError):
            if _runs(talk, order.worker, order.uuid):
                return
        missing: tuple[str, ...] = ()
        with contextlib.suppress(SourceError):
            missing = tuple(missing_images(talk, order.environment))
        if missing:
            raise SourceError(talk.host, asked, "; ".join((*missing, error.answer)), FailureCause.IMAGE) from error
        raise


def _refuse_missing(talk: Talk, order: WorkerOrder) -> None:
    missing = tuple(missing_images(talk, order.environment))
    if missing:
        raise SourceError(talk.host, f"boot {order.worker}", "; ".join(missing), FailureCause.IMAGE)


def _shut_down(talk: Talk, handle: Any, asked: str, seconds: float) -> None:
    """Ask the guest to end and wait; one that cannot be asked, or does not end, is destroyed after."""
    until = time.monotonic() + seconds
    with talk.asking(asked), contextlib.suppress(libvirt.libvirtError):
        handle.shutdown()
        if talk.driver is Driver.LXC:  # what asks an init by its pipe reports success where none listens
            handle.shutdownFlags(libvirt.VIR_DOMAIN_SHUTDOWN_SIGNAL)
        while handle.isActive() and time.monotonic() < until and not talk.cancelled.is_set():
            time.sleep(_POLL_SECONDS)


@contextlib.contextmanager
def _gone_is_success() -> Any:
    try:
        yield
    except libvirt.libvirtError as error:
        if not no_such(error) and error.get_error_code() != libvirt.VIR_ERR_OPERATION_INVALID:
            raise


def _remove_storage(talk: Talk, worker: str, uuid: str, options: LibvirtOptions) -> None:
    if talk.driver is Driver.LXC:
        remove_directory(talk, worker, uuid, options)
    else:
        remove_volumes(talk, worker, uuid)
