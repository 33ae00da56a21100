"""Where on a host images may lie: whoever writes an environment names files that its workers can read, or run as their root."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from environments.environment import Environment

OF_THE_HOST = (
    "/dev", "/etc", "/home", "/proc", "/root", "/run", "/sys", "/var/cache", "/var/lib/condor", "/var/lib/libvirt/dnsmasq",
    "/var/lib/libvirt/qemu", "/var/lib/libvirt/secrets", "/var/lib/private", "/var/log", "/var/mail", "/var/run", "/var/spool",
)  # fmt: skip
"""What belongs to the host itself; unless a site says where images lie, they lie anywhere else."""
KEYS = ("path", "kernel", "initrd")


def outside(
    environment: Environment, roots: Sequence[str] | None, resolve: Callable[[str], str] = posixpath.normpath
) -> Iterator[tuple[str, str, str]]:
    """Return which of an environment's paths lie outside the roots: (key, what is wrong, what is expected).

    `resolve` follows symbolic links where that can be done. Volumes of pools are not concerned: administrators make pools.
    """
    for key in KEYS:
        path = getattr(environment.image, key)
        if path is None or not path.startswith("/"):
            continue
        if against := why_outside(path, roots) or why_outside(resolve(path), roots, path):
            expected = f"a path below {' or '.join(roots)}" if roots else "`image_roots` in the site file, if it is meant"
            yield key, against, expected


def why_outside(path: str, roots: Sequence[str] | None, written: str = "") -> str:
    """Say why a path is not one of an image; "" when it may be."""
    real = "/" + posixpath.normpath(path).strip("/")
    leads = f"{written!r} leads to {real}, which" if written and real != written else f"{path!r}"
    if roots is not None:
        return "" if any(is_below(real, root) for root in roots) else f"{leads} is outside the site's image_roots"
    if any(is_below(real, one) or is_below(one, real) for one in OF_THE_HOST):
        return f"{leads} belongs to the host itself"
    return ""


def is_below(path: str, root: str) -> bool:
    """Whether a path is a root or lies below it."""
    root = posixpath.normpath(root).rstrip("/")
    return path == root or path.startswith(f"{root}/")
