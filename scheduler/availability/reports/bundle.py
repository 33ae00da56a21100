"""A report bundle: everything a report was computed from and the report itself, as bytes that anybody can compute again.

A bundle is an uncompressed tar file: its bytes depend on nothing but what is in it. Every file in it is canonical JSON.
It is written and read event by event: what it takes grows with the objects and windows, hardly with the events.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from scheduler.availability.files import streamed
from scheduler.availability.reports.publication import Version, version_data
from scheduler.availability.timelines.algebra import of_group

if TYPE_CHECKING:
    from scheduler.availability.history import History, Result
    from scheduler.availability.timelines.prepared import Prepared

FORMAT = "ambienti-report-bundle-1"
FILES = ("history.json", "report.json", "versions.json")
MANIFEST = "manifest.json"

Compute = Callable[["Prepared", Mapping[str, Any]], Any]
"""From a history made ready and the report's parameters (windows, profiles, zone) to the report as plain data."""


class BundleError(ValueError):
    """This is no bundle, or one of another format."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What became of a bundle that was computed again."""

    identical: bool
    """The whole bundle came out the same, byte for byte."""
    differences: tuple[str, ...]
    parameters: Mapping[str, Any]
    digest: str
    """SHA-256 of the bundle that was given."""


def canonical(data: object) -> bytes:
    """Write plain data as JSON in one way only: sorted keys, no white space, UTF-8, an LF at the end, no floating point."""
    text = streamed.canonical_text(data)
    if _PERHAPS_FLOAT.search(text):
        refuse_floats(data, ())
    return (text + "\n").encode()


_PERHAPS_FLOAT = re.compile(r"(?:^|[:,\[])-?\d+[.eE]")
"""In JSON without white space: a number that is not whole, or a text that has one in it."""


def refuse_floats(data: object, path: tuple[object, ...]) -> None:
    """Refuse a floating-point number, however deep: it is no exact figure, and is not written alike everywhere."""
    if isinstance(data, float):
        raise TypeError(f"{'.'.join(map(str, path)) or 'the data'} is a floating-point number: {data!r}")
    if isinstance(data, Mapping):
        for key, inner in data.items():
            refuse_floats(inner, (*path, key))
    elif isinstance(data, (list, tuple)):
        for index, inner in enumerate(data):
            refuse_floats(inner, (*path, index))


def write(
    target: BinaryIO,
    history: History,
    events: Iterable[Result],
    parameters: Mapping[str, Any],
    compute: Compute,
    *,
    versions: Sequence[Version] = (),
) -> str:
    """Write the bundle of a report on a history with these events; return its SHA-256."""
    # Without a number the newest version is meant, and that may be another where the bundle is read.
    groups = tuple(replace(group, algebra=of_group(group).name) for group in history.groups)
    digest = hashlib.sha256()
    with tempfile.TemporaryFile() as whole:
        for block in streamed.write(replace(history, groups=groups), events):
            whole.write(block)
            digest.update(block)
        whole.seek(0)
        # The report is computed from what is in the bundle, as its reader will do.
        report = canonical(compute(streamed.read(whole, FILES[0]), parameters))
        told = canonical([version_data(one) for one in versions])
        digests = {FILES[0]: digest.hexdigest(), FILES[1]: _digest(report), FILES[2]: _digest(told)}
        manifest = canonical({"format": FORMAT, "parameters": dict(parameters), "sha256": digests})
        sink = _Sink(target)
        contents: list[BinaryIO] = [io.BytesIO(manifest), whole, io.BytesIO(report), io.BytesIO(told)]
        _pack(sink, dict(zip((MANIFEST, *FILES), contents, strict=True)))
    return sink.digest.hexdigest()


def verify(content: bytes | BinaryIO, compute: Compute) -> Verified:
    """Compute a bundle again from its own events and definitions, and compare it byte by byte."""
    source = io.BytesIO(content) if isinstance(content, bytes) else content
    with _opened(source) as files:
        manifest = _manifest(files)
        parameters = manifest["parameters"]
        digests = {name: _digest_of(files[name]) for name in FILES}
        differences = [
            f"{name} is not what was bundled (SHA-256 differs)"
            for name in FILES
            if digests[name] != manifest["sha256"].get(name)
        ]
        again = canonical(compute(streamed.read(files[FILES[0]], FILES[0]), parameters))
        if _digest(again) != digests[FILES[1]]:
            try:
                differences += different(json.load(files[FILES[1]]), json.loads(again))
            except ValueError as error:
                differences.append(f"{FILES[1]} is not JSON: {error}")
        remade = canonical({"format": FORMAT, "parameters": parameters, "sha256": digests | {FILES[1]: _digest(again)}})
        sink = _Sink(None)
        _pack(sink, {MANIFEST: io.BytesIO(remade), **{name: files[name] for name in FILES}, FILES[1]: io.BytesIO(again)})
    digest = _digest_of(source)
    identical = sink.digest.hexdigest() == digest
    if not identical and not differences:
        differences.append("the bundle's files are the same, but it was packed by other means")
    return Verified(identical, tuple(differences), parameters, digest)


def different(before: object, after: object, path: str = "report") -> Iterator[str]:
    """Yield in words what differs between two sets of plain data."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in sorted({*before, *after}):
            yield from different(before.get(key), after.get(key), f"{path}.{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from different(one, other, f"{path}[{index}]")
    elif before != after:
        yield f"{path}: {_short(before)} in the bundle, {_short(after)} computed"


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else f"{text[:77]}..."


@contextmanager
def _opened(source: BinaryIO) -> Iterator[dict[str, BinaryIO]]:
    """Open the files of a bundle, each at its beginning."""
    source.seek(0)
    try:
        with tarfile.open(fileobj=source, mode="r:") as archive:
            members = [(member.name, archive.extractfile(member)) for member in archive.getmembers()]
            files: dict[str, Any] = {name: inner for name, inner in members if inner is not None}
            missing = [name for name in (MANIFEST, *FILES) if name not in files]
            if missing:
                raise BundleError(f"is no bundle: {', '.join(missing)} missing")
            yield files
    except tarfile.TarError as error:
        raise BundleError(f"is no bundle: {error}") from error


def _manifest(files: Mapping[str, BinaryIO]) -> dict[str, Any]:
    try:
        manifest: dict[str, Any] = json.loads(files[MANIFEST].read())
    except ValueError as error:
        raise BundleError(f"is no bundle: its {MANIFEST} is not JSON: {error}") from error
    keys = {"format": str, "parameters": dict, "sha256": dict}
    wrong = [key for key in keys if not isinstance(manifest, dict) or not isinstance(manifest.get(key), keys[key])]
    if wrong:
        raise BundleError(f"is no bundle: its {MANIFEST} does not say {', '.join(wrong)}")
    if manifest["format"] != FORMAT:
        raise BundleError(f"is a bundle of another format: {manifest['format']}, not {FORMAT}")
    files[MANIFEST].seek(0)
    return manifest


class _Sink:
    """A file that is written in one go, and its SHA-256."""

    def __init__(self, target: BinaryIO | None) -> None:
        self.target = target
        self.digest = hashlib.sha256()
        self.written = 0

    def write(self, content: bytes) -> int:
        """Write; without a target only the digest is kept."""
        self.digest.update(content)
        self.written += len(content)
        if self.target is not None:
            self.target.write(content)
        return len(content)

    def tell(self) -> int:
        """Return how much was written."""
        return self.written


def _pack(sink: _Sink, files: Mapping[str, BinaryIO]) -> None:
    with tarfile.open(fileobj=cast("BinaryIO", sink), mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, file in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = file.seek(0, io.SEEK_END), 0, 0o644
            file.seek(0)
            archive.addfile(entry, file)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digest_of(file: BinaryIO) -> str:
    """Return the SHA-256 of a whole file, and go back to its beginning."""
    file.seek(0)
    digest = hashlib.sha256()
    while block := file.read(streamed.BLOCK):
        digest.update(block)
    file.seek(0)
    return digest.hexdigest()
