"""Bundles in memory."""

import io
import tarfile

from scheduler.availability.reports.bundle import write


def bundle(history, parameters, compute, versions=()):
    target = io.BytesIO()
    write(target, history, history.results, parameters, compute, versions=versions)
    return target.getvalue()


def unpacked(content):
    """Return the files of a bundle; nothing is written anywhere."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive.getmembers()}
