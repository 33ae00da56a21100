"""What libvirt's errors are about: by their codes, and by their words where many things share one code (internal error)."""

from __future__ import annotations

import re

import libvirt

from scheduler.model.failures import FailureCause

_CODES = {
    libvirt.VIR_ERR_NO_NETWORK: FailureCause.NETWORK,
    libvirt.VIR_ERR_NO_STORAGE_POOL: FailureCause.STORAGE,
    libvirt.VIR_ERR_NO_STORAGE_VOL: FailureCause.IMAGE,
    libvirt.VIR_ERR_NO_MEMORY: FailureCause.STOCK_OUT,
    libvirt.VIR_ERR_NO_CONNECT: FailureCause.UNREACHABLE,
}
_WORDS = (
    (
        FailureCause.STOCK_OUT,
        r"no space|not enough|cannot allocate|out of memory|insufficient|quota|no free|exhausted|stock-out",
    ),
    (FailureCause.UNREACHABLE, r"unreachable|connection refused|did not answer|deadline|host lost"),
    (FailureCause.NETWORK, r"\b(network|bridge|vlan|interface|tap device|mac address|mtu|vif)s?\b"),
    (FailureCause.IMAGE, r"no such (file|volume)|not exist|cannot access storage|not found|is missing"),
)
"""The first that fits: a network that is not found is no image that is missing."""


def cause_of(error: Exception, words: str) -> FailureCause:
    """Return what an error is about, as far as it says."""
    code = error.get_error_code() if isinstance(error, libvirt.libvirtError) else None
    if code in _CODES:
        return _CODES[code]
    return next((cause for cause, pattern in _WORDS if re.search(pattern, words, re.IGNORECASE)), FailureCause.UNKNOWN)
