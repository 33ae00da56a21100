"""A report bundle: everything a report was computed from and the report itself, as bytes that anybody can compute again.

A bundle is an uncompressed tar file: its bytes depend on nothing but what is in it. Every file in it is canonical JSON.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from scheduler.availability.files import plain
from scheduler.availability.files.reading import history_of_text
from scheduler.availability.reports.publication import version_data
from scheduler.availability.timelines.algebra import of_group

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scheduler.availability.history import History
    from scheduler.availability.reports.publication import Version

FORMAT = "ambienti-report-bundle-1"
FILES = ("history.json", "report.json", "versions.json")
MANIFEST = "manifest.json"

Compute = Callable[["History", Mapping[str, Any]], Any]
"""From a history and the report's parameters (windows, profiles, zone) to the report as plain data."""


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
    text = json.dumps(data, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    floats: list[str] = []
    json.loads(text, parse_float=floats.append)
    if floats:
        refuse_floats(data, ())
    return (text + "\n").encode()


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


def bundle(history: History, parameters: Mapping[str, Any], compute: Compute, versions: Sequence[Version] = ()) -> bytes:
    """Return the bundle of a report; `parameters` may hold text, whole numbers, booleans, lists and mappings of them."""
    # Without a number the newest version is meant, and that may be another where the bundle is read.
    groups = tuple(replace(group, algebra=of_group(group).name) for group in history.groups)
    written = canonical(plain.history(replace(history, groups=groups)))
    # The report is computed from what is in the bundle, as its reader will do.
    report = compute(history_of_text(written, FILES[0]), parameters)
    contents = dict(zip(FILES, (written, canonical(report), canonical([version_data(one) for one in versions])), strict=True))
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    manifest = {"format": FORMAT, "parameters": dict(parameters), "sha256": digests}
    return _packed({MANIFEST: canonical(manifest), **contents})


def verify(content: bytes, compute: Compute) -> Verified:
    """Compute a bundle again from its own events and definitions, and compare it byte by byte."""
    files = unpacked(content)
    manifest = json.loads(files[MANIFEST])
    parameters = manifest["parameters"]
    differences = [
        f"{name} is not what was bundled (SHA-256 differs)"
        for name in FILES
        if hashlib.sha256(files[name]).hexdigest() != manifest["sha256"].get(name)
    ]
    report = compute(history_of_text(files[FILES[0]], FILES[0]), parameters)
    again = canonical(report)
    if again != files[FILES[1]]:
        try:
            differences += different(json.loads(files[FILES[1]]), json.loads(again))
        except ValueError as error:
            differences.append(f"{FILES[1]} is not JSON: {error}")
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in FILES} | {FILES[1]: hashlib.sha256(again).hexdigest()}
    remade = canonical({"format": FORMAT, "parameters": parameters, "sha256": digests})
    packed = _packed({MANIFEST: remade, **{name: files[name] for name in FILES}, FILES[1]: again})
    if packed != content and not differences:
        differences.append("the bundle's files are the same, but it was packed by other means")
    return Verified(packed == content, tuple(differences), parameters, hashlib.sha256(content).hexdigest())


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


def unpacked(content: bytes) -> dict[str, bytes]:
    """Return the files of a bundle; nothing is written anywhere."""
    try:
        with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
            members = [(member.name, archive.extractfile(member)) for member in archive.getmembers()]
            files = {name: inner.read() for name, inner in members if inner is not None}
    except tarfile.TarError as error:
        raise BundleError(f"is no bundle: {error}") from error
    missing = [name for name in (MANIFEST, *FILES) if name not in files]
    if missing:
        raise BundleError(f"is no bundle: {', '.join(missing)} missing")
    try:
        manifest = json.loads(files[MANIFEST])
    except ValueError as error:
        raise BundleError(f"is no bundle: its {MANIFEST} is not JSON: {error}") from error
    keys = {"format": str, "parameters": dict, "sha256": dict}
    wrong = [key for key in keys if not isinstance(manifest, dict) or not isinstance(manifest.get(key), keys[key])]
    if wrong:
        raise BundleError(f"is no bundle: its {MANIFEST} does not say {', '.join(wrong)}")
    if manifest["format"] != FORMAT:
        raise BundleError(f"is a bundle of another format: {manifest['format']}, not {FORMAT}")
    return files


def _packed(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(content), 0, 0o644
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()
