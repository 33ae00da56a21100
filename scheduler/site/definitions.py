"""The site file and the files of the VOs, together and kept fresh: what is in force, and what was refused since."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from environments import addresses
from environments.catalogue import Owned, VODefinitions, join, load_vo
from environments.environment import VO, Environment
from environments.names import can_be_read, nearest, nearest_file, one_of
from environments.problems import ConfigurationError, Problem, ordered, problem_at
from environments.reader import read_content
from environments.roots import outside
from scheduler.model.hosts import Host
from scheduler.model.policy import Policy
from scheduler.site.discovered import FarmList, list_path, remembered
from scheduler.site.site_file import HostEntry, SiteFile, read_site

if TYPE_CHECKING:
    from environments.nodes import YamlNode
    from scheduler.site.settings import Site

Stamp = tuple[int, int, str]
"""Time of change in ns, size, checksum of the content; (0, 0, "") for a file that cannot be read."""


@dataclass(frozen=True, slots=True)
class Definitions:
    """What is in force, and what was refused at the last look."""

    file: SiteFile
    policy: Policy
    vos: Mapping[str, VODefinitions]
    """In force, by VO."""
    latest: Mapping[str, VODefinitions]
    """As the files stand now, right or wrong."""
    stamps: Mapping[Path, Stamp]
    discovered: Mapping[str, FarmList] = field(default_factory=dict)
    """What is known of each discovery."""
    problems: tuple[Problem, ...] = ()
    """Why the newest state of some file is not in force."""

    @property
    def site(self) -> Site:
        """The checked site file."""
        return self.file.site


def load(path: Path) -> Definitions:
    """Read everything; a ConfigurationError holds all problems of all files."""
    problems: list[Problem] = []
    found = read_onward(path, problems)
    if found is None or problems:
        raise ConfigurationError(problems)
    return found


def read_onward(path: Path, problems: list[Problem]) -> Definitions | None:
    """Read everything, and add to `problems` what is wrong; what is understood of it, for further checks of what depends on it.

    None where something could not be understood at all: what names it would be blamed for that.
    """
    file, node = read_site(path, problems, onward=True)
    latest = {vo: missing or load_vo(where, vo, path) for vo, where, missing in _vo_files(path, node)}
    problems += [problem for one in latest.values() for problem in one.problems]
    if file is None:
        return None
    discovered = {one.name: remembered(list_path(file.directory, one.name)) for one in file.site.discover}
    file = with_discovered(file, discovered)
    policy, between = assemble(file, latest)
    problems += between
    if not all(one.whole for one in latest.values()) or set(latest) != set(file.site.vos):
        return None
    return Definitions(file, policy, latest, latest, _stamps(path, latest, {}), discovered)


def rehosted(last: Definitions, discovered: Mapping[str, FarmList]) -> Definitions:
    """Take up what the discoveries say; the policy stays the very same object while they name the same hosts."""
    before = {name: known.hosts for name, known in last.discovered.items()}
    if before == {name: known.hosts for name, known in discovered.items()}:
        return last if last.discovered == discovered else replace(last, discovered=dict(discovered))
    file = with_discovered(last.file, discovered)
    policy, problems = assemble(file, last.vos)
    if problems:  # between the files of the VOs: what was found of these is known and told
        policy = replace(last.policy, hosts=policy.hosts)
    return replace(last, file=file, policy=policy, discovered=dict(discovered))


def with_discovered(file: SiteFile, discovered: Mapping[str, FarmList]) -> SiteFile:
    """Add the hosts that discoveries name.

    Where names meet, the site file comes first, then its first discovery that names the host still.
    """
    hosts = {name: entry for name, entry in file.hosts.items() if not entry.discovery}
    taken = {one.name for one in file.site.batch_systems}
    named = {name.lower() for name in hosts}  # names of hosts have no case
    for left in (False, True):
        for index, settings in enumerate(file.site.discover):
            known = discovered.get(settings.name, FarmList()).hosts
            for name in sorted(known.keys() - hosts.keys() - taken):
                if name.lower() in named:
                    continue
                host = known[name]
                if (host.leaving_since is not None) is left:
                    uri = settings.hosts.uri.replace("{host}", name).replace("{port}", str(host.found.port))
                    labels = {**settings.hosts.labels, **host.found.labels}
                    hosts[name] = HostEntry(name, uri, settings.hosts, index, labels, settings.name, left)
                    named.add(name.lower())
    return replace(file, hosts=hosts)


def refresh(last: Definitions, discovered: Mapping[str, FarmList] | None = None) -> Definitions:
    """Look at the files again, and take up what discoveries say; the same object when nothing changed.

    What is wrong is refused and the last good stays in force: each VO's file by itself, so that the broken file of one VO
    does not hold up another's change.
    """
    if discovered is not None:
        last = rehosted(last, discovered)
    stamps = _stamps(last.file.path, last.latest, last.stamps)
    if stamps == last.stamps:
        return last
    problems: list[Problem] = []
    file, node = read_site(last.file.path, problems)
    if file is None:
        file, node = last.file, last.file.node
    file = with_discovered(file, last.discovered)
    latest = dict(_latest(last, file, node, stamps))
    file, vos = _acceptable(last, file, latest, problems)
    policy, _ = assemble(file, vos)
    return Definitions(file, policy, vos, latest, _stamps(file.path, latest, stamps), last.discovered, ordered(problems))


def assemble(file: SiteFile, definitions: Mapping[str, VODefinitions]) -> tuple[Policy, list[Problem]]:
    """Make the policy of a site file and the definitions of its VOs; the problems are those between the files."""
    vos = {name: VO(name=name, share=settings.share) for name, settings in file.site.vos.items()}
    catalogue, problems = join((definitions[name] for name in vos if name in definitions), vos)
    for one in definitions.values():
        for owned in one.environments.values():
            problems += _placeable(owned, file)
            problems += _rooted(owned, file)
    hosts = {
        name: Host(
            *(name, entry.labels, entry.settings.max_boots, entry.settings.cpu_overcommit, entry.settings.machine_percent),
            left=entry.discovery if entry.left else "",
        )
        for name, entry in file.hosts.items()
    }
    wrong = problems or any(one.problems for one in definitions.values())
    pools = {} if wrong else _address_pools(catalogue.environments)
    return Policy(file.site.site, catalogue, hosts, file.site.limits, pools, file.site.timezone), problems


def _address_pools(environments: Mapping[str, Environment]) -> dict[str, tuple[str, ...]]:
    return {
        name: addresses.expand(environment.network.addresses)
        for name, environment in environments.items()
        if environment.network.addresses
    }


def _placeable(owned: Owned, file: SiteFile) -> Iterator[Problem]:
    """Say which labels or virtualization no host of the site offers."""
    environment = owned.environment
    key = f"environments.{environment.name}"
    hosts = [*file.site.hosts, *(one.hosts for one in file.site.discover)]
    if not hosts:
        return  # that is told already
    if not file.site.discover:  # hosts that are discovered may bring labels of their own: `check --live` looks at these
        yield from unlabelled(owned, [host.labels for host in hosts])
    allowed = {one for host in hosts for one in host.virtualizations}
    if environment.virtualization not in allowed and all(host.virtualizations for host in hosts):
        place = owned.node.problem(("virtualization",), f"no host of the site may run {environment.virtualization}")
        yield replace(place, key=f"{key}.{place.key}", expected=f"one of: {', '.join(sorted(allowed))}")


def _rooted(owned: Owned, file: SiteFile) -> Iterator[Problem]:
    """Say which paths of an image lie where the site keeps none."""
    for key, message, expected in outside(owned.environment, file.site.image_roots):
        place = owned.node.problem(("image", key), message, expected)
        yield replace(place, key=f"environments.{owned.environment.name}.{place.key}")


def unlabelled(owned: Owned, hosts: Sequence[Mapping[str, str]]) -> Iterator[Problem]:
    """Say which labels that an environment asks for no host carries."""
    for label, value in owned.environment.labels.items():
        offered = sorted({host[label] for host in hosts if label in host})
        if value not in offered:
            place = owned.node.problem(("labels", label), f"no host of the site carries the label {label}: {value}")
            labels = sorted({one for host in hosts for one in host})
            expected = one_of(offered or labels) if offered or labels else "hosts with labels in the site file"
            near = nearest(value, offered) if offered else nearest(label, labels)
            yield replace(place, key=f"environments.{owned.environment.name}.{place.key}", expected=expected, nearest=near)


def _vo_files(site_path: Path, node: YamlNode | None) -> Iterator[tuple[str, Path, VODefinitions | None]]:
    """Return the file of each VO, also when other parts of the site file are wrong; for one that is missing: the problem."""
    vos = node.items.get("vos") if node else None
    seen: dict[str, str] = {}
    for written, entry in vos.items.items() if vos else ():
        vo = written.lower()
        file = entry.items.get("file")
        given = file if file is not None and isinstance(file.value, str) else None
        path = site_path.parent / (str(given.value) if given else f"vos/{written}.yaml")
        if vo in seen:
            twice = f"VO {written} stands here as {seen[vo]} already: capitals do not count"
            yield (
                vo,
                path,
                VODefinitions(vo, {}, (path,), (problem_at(entry.key_place, f"vos.{written}", twice, "each VO once"),)),
            )
            continue
        seen[vo] = written
        if can_be_read(path):
            yield vo, path, None
            continue
        message, expected = f"VO {vo} has no file {path}", "a file with its environments, relative to the site file"
        place, key = (given.mark, f"vos.{vo}.file") if given else (entry.key_place, f"vos.{vo}")
        problem = problem_at(place, key, message, expected, nearest_file(path))
        yield vo, path, VODefinitions(vo, {}, (path,), (problem,), whole=False)


# --- what changed -----------------------------------------------------------------------------------------------------


def _latest(
    last: Definitions, file: SiteFile, node: YamlNode | None, stamps: Mapping[Path, Stamp]
) -> Iterator[tuple[str, VODefinitions]]:
    """Read again the VOs of which some file changed."""
    for vo, path, missing in _vo_files(file.path, node):
        known = last.latest.get(vo)
        if missing is not None:
            yield vo, missing
        elif (
            known is not None
            and known.files[:1] == (path,)
            and all(one in stamps and stamps[one] == last.stamps.get(one) for one in known.files)
        ):
            yield vo, known
        else:
            yield vo, load_vo(path, vo, file.path)


def _acceptable(
    last: Definitions, file: SiteFile, latest: Mapping[str, VODefinitions], problems: list[Problem]
) -> tuple[SiteFile, dict[str, VODefinitions]]:
    """Return the newest state that is right as a whole: all that changed, else each change that agrees with the rest."""
    problems += [problem for one in latest.values() for problem in one.problems]
    good = {vo: one if not one.problems else last.vos.get(vo) for vo, one in latest.items()}
    vos = {vo: one for vo, one in good.items() if one is not None}
    if set(vos) == set(file.site.vos):
        _, between = assemble(file, vos)
        if not between:
            return file, vos
        problems += between
    accepted = dict(last.vos)
    waiting = [vo for vo in accepted if vo in vos and vos[vo] is not accepted[vo]]
    while waiting:
        fitting = [vo for vo in waiting if not assemble(last.file, {**accepted, vo: vos[vo]})[1]]
        if not fitting:
            break
        accepted[fitting[0]] = vos[fitting[0]]
        waiting.remove(fitting[0])
    return last.file, accepted


def _stamps(site: Path, definitions: Mapping[str, VODefinitions], known: Mapping[Path, Stamp]) -> dict[Path, Stamp]:
    paths = dict.fromkeys([site, *(path for one in definitions.values() for path in one.files)])
    return {path: stamp_of(path, known.get(path)) for path in paths}


def stamp_of(path: Path, known: Stamp | None = None) -> Stamp:
    """Return what tells a file's content from another; of a file that has the time and size known, without reading it."""
    try:
        found = path.stat()
        if known is not None and known[:2] == (found.st_mtime_ns, found.st_size):
            return known
        return found.st_mtime_ns, found.st_size, hashlib.sha256(read_content(path)).hexdigest()
    except (OSError, ConfigurationError):
        return 0, 0, ""
