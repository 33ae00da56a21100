"""Debian packages fetched into the lab by a private apt: the host's sources, lists and packages stay as they are."""

import functools
import os
import re
import subprocess
from pathlib import Path

from tests.lab.paths import lab_path, locked

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
_CONFIGURATION = """\
Dir::Etc::SourceList "{root}/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::State::Lists "{root}/lists";
Dir::State::status "{root}/status";
Dir::Cache "{root}/cache";
Dir::Cache::pkgcache "pkgcache.bin";
Dir::Cache::srcpkgcache "srcpkgcache.bin";
Acquire::Languages "none";
Acquire::Retries "3";
APT::Sandbox::User "";
"""


def host_mirror() -> str:
    """Return the Debian mirror that this host uses itself."""
    directory = Path("/etc/apt/sources.list.d")
    for path in [*sorted(directory.glob("*.sources")), Path("/etc/apt/sources.list"), *sorted(directory.glob("*.list"))]:
        if not path.is_file():
            continue
        for line in path.read_text().splitlines():
            found = re.match(r"(?:URIs:\s*|deb\s+(?:\[[^]]*\]\s*)?)((?:https?|file)://\S+)", line)
            if found and "security" not in found[1] and "debian" in found[1].rstrip("/").rsplit("/", 1)[-1]:
                return found[1]
    raise RuntimeError("no Debian mirror found in the host's apt sources")


def apt_environment(suite: str) -> dict[str, str]:
    """Return the environment in which apt-get sees one Debian suite and nothing of the host; the lists are fetched once."""
    root = lab_path("apt", suite)
    configuration = root / "apt.conf"
    environment = {**os.environ, "APT_CONFIG": str(configuration), "LC_ALL": "C"}
    with locked(f"apt-{suite}"):
        if not (root / "updated").exists():
            for directory in ("lists/partial", "cache/archives/partial", "debs"):
                (root / directory).mkdir(parents=True, exist_ok=True)
            (root / "status").touch()
            (root / "sources.list").write_text(f"deb [signed-by={KEYRING}] {host_mirror()} {suite} main\n")
            configuration.write_text(_CONFIGURATION.format(root=root))
            _apt(["apt-get", "-q", "update"], environment, root)
            (root / "updated").touch()
    return environment


def fetch(suite: str, packages: list[str]) -> list[Path]:
    """Download packages of a suite (not their dependencies) and return the .deb files; those already here are not fetched again."""
    environment = apt_environment(suite)
    debs = lab_path("apt", suite, "debs")
    with locked(f"apt-{suite}"):
        missing = [package for package in packages if not list(debs.glob(f"{package}_*.deb"))]
        if missing:
            _apt(["apt-get", "-q", "download", *missing], environment, debs)
    return [max(debs.glob(f"{package}_*.deb")) for package in packages]


def available(suite: str, wanted: list[str]) -> list[str]:
    """Return those of the wanted packages that the suite has."""
    names = _apt(["apt-cache", "pkgnames"], apt_environment(suite), Path("/"))
    return sorted(set(wanted) & set(names.split()))


@functools.cache
def dependencies(suite: str, package: str) -> list[str]:
    """Return the direct dependencies of a package, by name."""
    text = _apt(["apt-cache", "depends", "--important", package], apt_environment(suite), Path("/"))
    return re.findall(r"^ *\|?(?:Pre)?Depends: ([a-z0-9][a-z0-9+.-]+)$", text, re.MULTILINE)


def unpack(debs: list[Path], into: Path) -> None:
    """Unpack packages below a directory; nothing is configured, no script runs."""
    into.mkdir(parents=True, exist_ok=True)
    for deb in debs:
        subprocess.run(["dpkg-deb", "-x", str(deb), str(into)], check=True, timeout=300)


def _apt(arguments: list[str], environment: dict[str, str], directory: Path) -> str:
    done = subprocess.run(
        arguments, env=environment, cwd=directory, capture_output=True, text=True, timeout=600, stdin=subprocess.DEVNULL
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.strip()[-2000:]}")
    return done.stdout
