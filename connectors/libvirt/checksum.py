"""Whether the image on a host is the one that its environment names: all of it is read, through libvirt's own stream."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

import libvirt

from connectors.libvirt.storage import with_base
from environments.domain import Driver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from connectors.libvirt.line import Talk
    from environments.environment import Environment

_CHUNK = 262_144


def other_content(talk: Talk, environment: Environment) -> Iterator[str]:
    """Say that the image is not the one with the checksum of its definition. The test driver's volumes hold nothing."""
    image = environment.image
    if not image.sha256 or talk.driver in {Driver.TEST, Driver.LXC}:
        return
    found = with_base(talk, environment, lambda volume: sha256_of(talk, volume))
    if found != image.sha256:
        yield f"image.sha256: the image on the host has {found}"


def sha256_of(talk: Talk, volume: Any) -> str:
    """Return the checksum of a volume's bytes, as they lie on the storage."""
    digest = hashlib.sha256()
    with talk.asking(f"read volume {volume.name()}"):
        stream = talk.connection.newStream(0)
        volume.download(stream, 0, 0, 0)
        try:
            while chunk := stream.recv(_CHUNK):
                digest.update(chunk)
                if talk.cancelled.is_set():
                    stream.abort()
                    return ""
            stream.finish()
        except libvirt.libvirtError:
            with contextlib.suppress(libvirt.libvirtError):
                stream.abort()
            raise
    return digest.hexdigest()
