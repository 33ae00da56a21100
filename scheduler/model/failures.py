"""Why a boot failed, as whoever knows it says: the connector that asked, or the look that waited in vain."""

from __future__ import annotations

from enum import StrEnum


class FailureCause(StrEnum):
    """What a source erred of; the values stand in the journal."""

    UNKNOWN = "unknown"
    IMAGE = "image"
    """The host does not find the image where its definition says."""
    NETWORK = "network"
    STORAGE = "storage"
    """The storage pool is not there, or not active."""
    STOCK_OUT = "stock-out"
    """No memory, no disk space, no address left at that moment."""
    UNREACHABLE = "unreachable"
    """The host could not be asked."""
    NO_ANSWER = "no-answer"
    """The host took the order and did not say in time what became of it: the image may be what it hangs on."""
    BATCH_SYSTEM = "batch-system"
    """The batch system did not enrol the worker, so no host was asked."""
    UNREGISTERED = "unregistered"
    """The worker ran, and its batch system never saw it."""

    @property
    def spares_image(self) -> bool:
        """Whether it says something of the host at that moment, and nothing of the image."""
        return self in {FailureCause.STOCK_OUT, FailureCause.UNREACHABLE}
