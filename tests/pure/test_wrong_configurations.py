"""Twenty and more wrong configurations, as a VO manager or an administrator would write them: each gives a message to act on."""

import json
import os
from dataclasses import dataclass, field

import pytest

from scheduler.commands.cli import main

SITE = """\
site: perugia
timezone: Europe/Rome
batch_systems:
  - name: pool
    kind: htcondor
hosts:
  - name: xen[01-40]
    uri: xen+ssh://ambienti@{host}.example.org/system
    labels: {rack: a}
vos:
  atlas: {share: {weight: 3}}
  cms:
"""
ATLAS = """\
vo: atlas
environments:
  atlas-el9:
    virtualization: xen-pv
    image: {kernel: /srv/vmlinuz, initrd: /srv/initrd.img}
    memory_mib: 4 GiB
"""
CMS = """\
vo: cms
environments:
  cms-el8:
    virtualization: qemu
    image: {path: /srv/el8.qcow2}
    disk: {mode: overlay, pool: workers}
"""
GOOD = {"site.yaml": SITE, "vos/atlas.yaml": ATLAS, "vos/cms.yaml": CMS}


def changed(text, old, new):
    assert old in text
    return text.replace(old, new)


@dataclass(frozen=True)
class Wrong:
    """What is written, and what the message must hold."""

    name: str
    files: dict = field(hash=False)
    place: str
    """file:line that must be shown."""
    key: str
    says: tuple
    """Fragments of the sentence: what is wrong and what was expected."""
    nearest: str = ""


CASES = [
    Wrong(
        "a typo in a key of an environment",
        {"vos/atlas.yaml": changed(ATLAS, "memory_mib:", "memry_mib:")},
        "vos/atlas.yaml:6",
        "environments.atlas-el9.memry_mib",
        ("is not a known key",),
        "memory_mib",
    ),
    Wrong(
        "a key one level too high",
        {"vos/atlas.yaml": ATLAS + "    kernel: /srv/other\n"},
        "vos/atlas.yaml:7",
        "environments.atlas-el9.kernel",
        ("is not a known key",),
        "image.kernel",
    ),
    Wrong(
        "a key that resembles nothing",
        {"site.yaml": SITE + "xyzzy: 1\n"},
        "site.yaml:13",
        "xyzzy",
        ("is not a known key", "expected one of: site, timezone, batch_systems"),
    ),
    Wrong(
        "a word for a number",
        {"vos/atlas.yaml": ATLAS + "    vcpus: four\n"},
        "vos/atlas.yaml:7:12",
        "environments.atlas-el9.vcpus",
        ("'four' is not accepted", "expected a whole number"),
    ),
    Wrong(
        "an amount in unknown units",
        {"vos/atlas.yaml": changed(ATLAS, "4 GiB", "4 gigs")},
        "vos/atlas.yaml:6:17",
        "environments.atlas-el9.memory_mib",
        ("'4 gigs' is not an amount", "4 GiB"),
    ),
    Wrong(
        "a version that YAML takes for a number",
        {"vos/atlas.yaml": ATLAS + "    version: 1.10\n"},
        "vos/atlas.yaml:7:14",
        "environments.atlas-el9.version",
        ('expected text in quotes: "1.10"',),
    ),
    Wrong(
        "an unknown virtualization",
        {"vos/atlas.yaml": changed(ATLAS, "xen-pv", "xen-vp")},
        "vos/atlas.yaml:4:21",
        "environments.atlas-el9.virtualization",
        ("'xen-vp' is not accepted", "expected one of: xen-pv, xen-pvh, xen-hvm, qemu, kvm, lxc"),
        "xen-pv",
    ),
    Wrong(
        "a missing field",
        {"site.yaml": changed(SITE, "    uri: xen+ssh://ambienti@{host}.example.org/system\n", "")},
        "site.yaml:7",
        "hosts[0].uri",
        ("is missing", "libvirt URI"),
    ),
    Wrong(
        "a list where a mapping belongs",
        {"vos/cms.yaml": changed(CMS, "image: {path: /srv/el8.qcow2}", "image: [/srv/el8.qcow2]")},
        "vos/cms.yaml:5:12",
        "environments.cms-el8.image",
        ("is a list of 1", "expected a mapping"),
    ),
    Wrong(
        "a name with a space",
        {"vos/atlas.yaml": changed(ATLAS, "atlas-el9:", "Atlas EL9:")},
        "vos/atlas.yaml:3:3",
        "environments.Atlas EL9",
        ("is not accepted as a key", "lower-case letters"),
    ),
    Wrong(
        "a VO without its file",
        {"site.yaml": changed(SITE, "  cms:", "  cmss:"), "vos/cms.yaml": CMS},
        "site.yaml:12:3",
        "vos.cmss",
        ("VO cmss has no file",),
        "cms.yaml",
    ),
    Wrong(
        "the file of another VO",
        {"vos/cms.yaml": changed(CMS, "vo: cms", "vo: cmss")},
        "vos/cms.yaml:1:5",
        "vo",
        ("this is the file of VO 'cms'", "expected vo: cms"),
    ),
    Wrong(
        "shared with a VO nobody knows",
        {"vos/atlas.yaml": ATLAS + "    shared_with: [cmz]\n"},
        "vos/atlas.yaml:7:19",
        "environments.atlas-el9.shared_with[0]",
        ("no VO is called 'cmz'", "expected one of the site's VOs: atlas, cms"),
        "cms",
    ),
    Wrong(
        "an unknown time zone",
        {"site.yaml": changed(SITE, "Europe/Rome", "Europe/Roma")},
        "site.yaml:2:11",
        "timezone",
        ("no time zone is called 'Europe/Roma'", "expected an IANA zone"),
        "Europe/Rome",
    ),
    Wrong(
        "an unknown connector",
        {"site.yaml": changed(SITE, "kind: htcondor", "kind: htcondr")},
        "site.yaml:5:11",
        "batch_systems[0].kind",
        ("no connector for batch systems is called 'htcondr'", "expected one of: htcondor"),
        "htcondor",
    ),
    Wrong(
        "forty hosts behind one connection",
        {"site.yaml": changed(SITE, "xen+ssh://ambienti@{host}.example.org/system", "xen+ssh://xen01/system")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("40 hosts would share one connection", "expected {host}"),
    ),
    Wrong(
        "a typo in the placeholder of a URI",
        {"site.yaml": changed(SITE, "{host}", "{hots}")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("{hots} stands for nothing",),
        "{host}",
    ),
    Wrong(
        "a range that ends before it begins",
        {"site.yaml": changed(SITE, "xen[01-40]", '"xen[40-01]"')},
        "site.yaml:7:11",
        "hosts[0].name",
        ("'40-01' in 'xen[40-01]' is not a range", "expected first-last"),
    ),
    Wrong(
        "a host named twice",
        {"site.yaml": changed(SITE, "vos:", "  - {name: xen07, uri: 'qemu:///system'}\nvos:")},
        "site.yaml:10:12",
        "hosts[1].name",
        ("host xen07 is named twice: first in line 7", "expected each host once"),
    ),
    Wrong(
        "extends what nobody defined",
        {"vos/atlas.yaml": ATLAS + "  atlas-big: {extends: atlas-el8, memory_mib: 8192}\n"},
        "vos/atlas.yaml:7:24",
        "environments.atlas-big.extends",
        ("no definition is called 'atlas-el8'",),
        "atlas-el9",
    ),
    Wrong(
        "a circle of extends",
        {"vos/atlas.yaml": ATLAS + "  one: {extends: two}\n  two: {extends: three}\n  three: {extends: one}\n"},
        "vos/atlas.yaml:9",
        "environments.three.extends",
        ("extend each other in a circle: one -> two -> three -> one",),
    ),
    Wrong(
        "a circle of includes",
        {
            "vos/atlas.yaml": changed(ATLAS, "vo: atlas\n", "vo: atlas\ninclude: [base.yaml]\n"),
            "vos/base.yaml": "include: [atlas.yaml]\nenvironments: {}\n",
        },
        "vos/base.yaml:1:11",
        "include[0]",
        ("include each other in a circle: atlas.yaml -> base.yaml -> atlas.yaml",),
    ),
    Wrong(
        "an include that is not there",
        {
            "vos/atlas.yaml": changed(ATLAS, "vo: atlas\n", "vo: atlas\ninclude: [bsae.yaml]\n"),
            "vos/base.yaml": "environments: {}\n",
        },
        "vos/atlas.yaml:2:11",
        "include[0]",
        ("there is no file", "expected a file relative to this one"),
        "base.yaml",
    ),
    Wrong(
        "one name in the files of two VOs",
        {"vos/cms.yaml": changed(CMS, "cms-el8", "atlas-el9")},
        "vos/cms.yaml:3:3",
        "environments.atlas-el9",
        ("defined twice: first in", "vos/atlas.yaml:3", "expected names that are unique in the farm"),
    ),
    Wrong(
        "one key twice in a mapping",
        {"vos/atlas.yaml": ATLAS + "    memory_mib: 8 GiB\n"},
        "vos/atlas.yaml:7:5",
        "environments.atlas-el9.memory_mib",
        ("stands here twice: first in line 6", "expected each key once"),
    ),
    Wrong(
        "two defaults of one VO",
        {"vos/atlas.yaml": ATLAS + "    default: true\n  atlas-big: {extends: atlas-el9, default: true}\n"},
        "vos/atlas.yaml:8:44",
        "environments.atlas-big.default",
        ("atlas-el9 is it already", "expected default: true in at most one"),
    ),
    Wrong(
        "a Xen worker with nothing to boot from",
        {"vos/atlas.yaml": changed(ATLAS, "image: {kernel: /srv/vmlinuz, initrd: /srv/initrd.img}", "image: {}")},
        "vos/atlas.yaml:5",
        "environments.atlas-el9.image",
        ("nothing to boot from", "expected image.kernel and image.initrd, or a bootable image"),
    ),
    Wrong(
        "a kernel command line that Xen would cut",
        {
            "vos/atlas.yaml": changed(
                ATLAS, "initrd: /srv/initrd.img}", "initrd: /srv/initrd.img, cmdline: '" + "x" * 960 + "'}"
            )
        },
        "vos/atlas.yaml:5",
        "environments.atlas-el9.image.cmdline",
        ("is 960 bytes long, and 97 more", "expected a shorter one: Xen PV cuts it at 1023"),
    ),
    Wrong(
        "a container without a root directory",
        {
            "vos/cms.yaml": changed(
                changed(CMS, "qemu", "lxc"), "    image: {path: /srv/el8.qcow2}\n    disk: {mode: overlay, pool: workers}\n", ""
            )
        },
        "vos/cms.yaml:3",
        "environments.cms-el8.image.path",
        ("a container needs its root directory", "expected image.path"),
    ),
    Wrong(
        "an overlay of nothing",
        {"vos/cms.yaml": changed(CMS, "image: {path: /srv/el8.qcow2}", "image: {kernel: /srv/k, initrd: /srv/i}")},
        "vos/cms.yaml:6:18",
        "environments.cms-el8.disk.mode",
        ("overlay of what?", "expected image.path, or image.pool and image.volume"),
    ),
    Wrong(
        "an alias of itself",
        {"vos/atlas.yaml": ATLAS + "  atlas-big: &big\n    extends: atlas-el9\n    image: *big\n"},
        "vos/atlas.yaml:7:14",
        "environments.atlas-big.image",
        ("contains itself, through an alias",),
    ),
    Wrong(
        "more memory than there is in the world",
        {"vos/atlas.yaml": changed(ATLAS, "4 GiB", "9" * 400 + " GiB")},
        "vos/atlas.yaml:6:17",
        "environments.atlas-el9.memory_mib",
        ("is not accepted", "expected at most 1073741824"),
    ),
    Wrong(
        "a number with too many digits to be one",
        {"vos/atlas.yaml": ATLAS + "    idle_seconds: " + "9" * 5000 + "\n"},
        "vos/atlas.yaml:7:19",
        "environments.atlas-el9.idle_seconds",
        ("is not accepted", "expected at most 3000000000"),
    ),
    Wrong(
        "a bridge without a name",
        {"vos/atlas.yaml": ATLAS + "    network: {kind: bridge, source: ''}\n"},
        "vos/atlas.yaml:7:37",
        "environments.atlas-el9.network.source",
        ("has no name", "expected the name of the bridge on the host"),
    ),
    Wrong(
        "a kernel beside the file",
        {"vos/atlas.yaml": changed(ATLAS, "/srv/vmlinuz", "vmlinuz")},
        "vos/atlas.yaml:5:21",
        "environments.atlas-el9.image.kernel",
        ("'vmlinuz' is not a path on the host", "expected the whole path"),
    ),
    Wrong(
        "true where a number belongs",
        {"vos/atlas.yaml": ATLAS + "    idle_seconds: true\n"},
        "vos/atlas.yaml:7:19",
        "environments.atlas-el9.idle_seconds",
        ("'true' is not",),
    ),
    Wrong(
        "an attribute with a space in its name",
        {"vos/atlas.yaml": ATLAS + "    provides: {Op Sys: EL9}\n"},
        "vos/atlas.yaml:7:16",
        "environments.atlas-el9.provides.Op Sys",
        ("'Op Sys' is not accepted as a key", "letters, digits and underscores"),
    ),
    Wrong(
        "an attribute that would be two lines of a worker's configuration",
        {"vos/atlas.yaml": ATLAS + '    provides: {OpSys: "EL9\\nSTART = True"}\n'},
        "vos/atlas.yaml:7:23",
        "environments.atlas-el9.provides.OpSys",
        ("expected true or false or a whole number or a number or text in one line",),
    ),
    Wrong(
        "an attribute that contradicts the worker's size",
        {"vos/atlas.yaml": ATLAS + "    provides: {memory: 99999}\n"},
        "vos/atlas.yaml:7:24",
        "environments.atlas-el9.provides.memory",
        ("the worker itself tells this attribute",),
    ),
    Wrong(
        "a number of GPUs in words",
        {"vos/atlas.yaml": ATLAS + "    provides: {GPUs: one}\n"},
        "vos/atlas.yaml:7:22",
        "environments.atlas-el9.provides.GPUs",
        ("'one' is no number of GPUs", "expected a whole number: GPUs: 1"),
    ),
    Wrong(
        "a typo in the driver of a URI",
        {"site.yaml": changed(SITE, "xen+ssh", "xne+ssh")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("'xne' is no driver of libvirt", "expected one of: xen, qemu, lxc, test"),
        "xen",
    ),
    Wrong(
        "a password in a URI",
        {"site.yaml": changed(SITE, "ambienti@{host}", "ambienti:secret@{host}")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("a password stands in it", "expected the user alone: libvirt takes passwords from its auth.conf on this machine"),
    ),
    Wrong(
        "the checksum of an image that is not named",
        {"vos/atlas.yaml": changed(ATLAS, "image: {", "image: {sha256: " + "a" * 64 + ", ")},
        "vos/atlas.yaml:5:21",
        "environments.atlas-el9.image.sha256",
        ("the checksum of what?", "expected image.path, or image.pool and image.volume"),
    ),
    Wrong(
        "an address range across networks",
        {"vos/atlas.yaml": ATLAS + "    network: {addresses: 10.0.2.16-10.0.3.40/24}\n"},
        "vos/atlas.yaml:7:26",
        "environments.atlas-el9.network.addresses",
        ("10.0.3.40 is not in the network 10.0.2.0/24", "expected a range like 10.0.2.16-10.0.2.40/24"),
    ),
    Wrong(
        "more memory for jobs than the worker has",
        {"vos/atlas.yaml": ATLAS + "    job_memory_mib: 8 GiB\n"},
        "vos/atlas.yaml:7:21",
        "environments.atlas-el9.job_memory_mib",
        ("8192 MiB for jobs in a worker of 4096 MiB", "expected less than memory_mib"),
    ),
    Wrong(
        "a label that no host carries",
        {"vos/atlas.yaml": ATLAS + "    labels: {rakc: a}\n"},
        "vos/atlas.yaml:7",
        "environments.atlas-el9.labels.rakc",
        ("no host of the site carries the label rakc: a",),
        "rack",
    ),
    Wrong(
        "a tab for indentation",
        {"vos/atlas.yaml": "vo: atlas\nenvironments:\n\tatlas-el9: {}\n"},
        "vos/atlas.yaml:3:1",
        "",
        ("is not YAML", "indent with spaces"),
    ),
    Wrong(
        "a bracket never closed",
        {"vos/cms.yaml": "vo: cms\nenvironments: {cms-el8: {virtualization: qemu\n"},
        "vos/cms.yaml:2:25",
        "",
        ("is not YAML: this brace is not closed",),
    ),
    Wrong("an empty file", {"vos/cms.yaml": ""}, "vos/cms.yaml:1", "", ("the file is empty", "expected a mapping")),
    Wrong("only comments", {"vos/cms.yaml": "# later\n"}, "vos/cms.yaml:1", "", ("comments only", "expected a mapping")),
    Wrong("a list at the top", {"vos/cms.yaml": "- vo: cms\n"}, "vos/cms.yaml:1:1", "", ("is a list", "expected a mapping")),
    Wrong(
        "Latin-1 text",
        {"vos/cms.yaml": "vo: cms\n# qualità\n".encode("latin-1")},
        "vos/cms.yaml:2:9",
        "",
        ("byte 0xe0 is not UTF-8", "expected UTF-8"),
    ),
    Wrong(
        "UTF-16 text", {"vos/cms.yaml": CMS.encode("utf-16")}, "vos/cms.yaml:1:1", "", ("looks like UTF-16", "expected UTF-8")
    ),
    Wrong(
        "an address without a port",
        {"site.yaml": SITE + "daemon: {listen: localhost}\n"},
        "site.yaml:13:18",
        "daemon.listen",
        ("'localhost' is not an address", "expected host:port"),
    ),
    Wrong(
        "a port beyond the last one",
        {"site.yaml": SITE + "daemon: {listen: '127.0.0.1:99999'}\n"},
        "site.yaml:13:18",
        "daemon.listen",
        ("'99999' is not a port", "expected a number from 1 to 65535"),
    ),
    Wrong(
        "a port that nobody could know",
        {"site.yaml": SITE + "daemon: {listen: '[::1]:0'}\n"},
        "site.yaml:13:18",
        "daemon.listen",
        ("'0' is not a port", "expected a number from 1 to 65535"),
    ),
    Wrong(
        "an address of no machine",
        {"site.yaml": SITE + "daemon: {listen: 'farm..example.org:9620'}\n"},
        "site.yaml:13:18",
        "daemon.listen",
        ("has an empty part", "expected host:port"),
    ),
    Wrong(
        "an address in the clear",
        {"site.yaml": SITE + "daemon: {url: 'http://farm.example'}\n"},
        "site.yaml:13:15",
        "daemon.url",
        ("a token is not sent over the network in the clear", "expected an https address"),
    ),
    Wrong(
        "an address of no scheme",
        {"site.yaml": SITE + "daemon: {url: 'htps://farm.example'}\n"},
        "site.yaml:13:15",
        "daemon.url",
        ("is not the address of a daemon",),
        nearest="https",
    ),
    Wrong(
        "a further name that stands twice",
        {"site.yaml": SITE + "daemon: {names: [farm.example, FARM.example]}\n"},
        "site.yaml:13:17",
        "daemon.names",
        ("'FARM.example' stands here twice",),
    ),
    Wrong(
        "a further name with a part that is too long",
        {"site.yaml": SITE + f"daemon: {{names: [{'x' * 64}.example]}}\n"},
        "site.yaml:13:18",
        "daemon.names[0]",
        ("a part of 64 characters",),
    ),
    Wrong(
        "a journal at no port",
        {"site.yaml": SITE + "daemon: {journal: 'postgresql+psycopg://a:se/cr@db:99999/ambienti'}\n"},
        "site.yaml:13:19",
        "daemon.journal",
        ("the host or the port of the URL cannot be one",),
    ),
    Wrong(
        "a hypervisor at no port",
        {"site.yaml": changed(SITE, "@{host}.example.org/", "@{host}.example.org:99999/")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("'99999' is not a port", "expected a number from 1 to 65535"),
    ),
    Wrong(
        "a hypervisor with two dots in its name",
        {"site.yaml": changed(SITE, "@{host}.example.org/", "@{host}..example.org/")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("is not the name of a machine: it has an empty part",),
    ),
    Wrong(
        "a hypervisor with a space in its name",
        {"site.yaml": changed(SITE, "@{host}.example.org/", "@{host} .example.org/")},
        "site.yaml:8:10",
        "hosts[0].uri",
        ("is not the name of a machine: it holds ' '",),
    ),
    Wrong(
        "a host by a name that is too long",
        {"site.yaml": changed(SITE, "xen[01-40]", "x" * 62 + "[01-40]")},
        "site.yaml:7:11",
        "hosts[0].name",
        ("is not a host name: it has a part of 64 characters",),
    ),
    Wrong(
        "a collector at no port",
        {"site.yaml": changed(SITE, "kind: htcondor", "options: {collector: 'cm.example.org:96180'}")},
        "site.yaml:5:26",
        "batch_systems[0].options.collector",
        ("'96180' is not a port", "expected a number from 1 to 65535"),
    ),
    Wrong(
        "a collector with an underscore",
        {"site.yaml": changed(SITE, "kind: htcondor", "options: {collector: cm_1.example.org}")},
        "site.yaml:5:26",
        "batch_systems[0].options.collector",
        ("has an underscore in 'cm_1'",),
    ),
    Wrong(
        "a collector that stands twice",
        {"site.yaml": changed(SITE, "kind: htcondor", "options: {collector: 'cm1:9618, CM1:9618'}")},
        "site.yaml:5:26",
        "batch_systems[0].options.collector",
        ("'CM1:9618' stands here twice",),
    ),
    Wrong(
        "a name server at no port",
        {
            "site.yaml": changed(SITE, "kind: htcondor", "options: {collector: cm}")
            + "discover:\n  - {name: dns, kind: dns, hosts: {uri: 'xen+ssh://{host}/system'},\n"
            + "     options: {record: _libvirt._tcp.example.org, servers: ['192.0.2.1:99999']}}\n"
        },
        "site.yaml:15:61",
        "discover[0].options.servers[0]",
        ("'192.0.2.1:99999' is not the address of a name server",),
    ),
    Wrong(
        "a bridge that no kernel would make",
        {"vos/atlas.yaml": ATLAS + "    network: {kind: bridge, source: the-bridge-of-rack-a}\n"},
        "vos/atlas.yaml:7:37",
        "environments.atlas-el9.network.source",
        ("'the-bridge-of-rack-a' cannot be a bridge", "at most 15 characters"),
    ),
    Wrong(
        "a journal in an unknown database",
        {"site.yaml": SITE + "daemon: {journal: 'postgressql://db/ambienti'}\n"},
        "site.yaml:13:19",
        "daemon.journal",
        ("'postgressql' holds no journal", "expected sqlite:///ambienti.db or postgresql"),
        "postgresql",
    ),
    Wrong(
        "a guarantee above the ceiling",
        {"site.yaml": changed(SITE, "{weight: 3}", "{guarantee_cpus: 20, ceiling_cpus: 10}")},
        "site.yaml:11:35",
        "vos.atlas.share.guarantee_cpus",
        ("20 is more than ceiling_cpus (10)", "expected at most 10"),
    ),
    Wrong(
        "a weight of nothing",
        {"site.yaml": changed(SITE, "weight: 3", "weight: 0")},
        "site.yaml:11:27",
        "vos.atlas.share.weight",
        ("'0' is not accepted", "expected a number greater than 0"),
    ),
    Wrong(
        "a weight without end",
        {"site.yaml": changed(SITE, "weight: 3", "weight: .inf")},
        "site.yaml:11:27",
        "vos.atlas.share.weight",
        ("'.inf' is not accepted", "expected a finite number"),
    ),
    Wrong(
        "two batch systems of one name",
        {"site.yaml": changed(SITE, "hosts:", "  - name: pool\nhosts:")},
        "site.yaml:6:11",
        "batch_systems[1].name",
        ("'pool' is named twice", "expected each batch system once"),
    ),
    Wrong(
        "a batch system named like a host",
        {"site.yaml": changed(SITE, "hosts:", "  - name: xen07\nhosts:")},
        "site.yaml:6:11",
        "batch_systems[1].name",
        ("'xen07' is the name of a host too", "expected a name of its own"),
    ),
    Wrong(
        "readings that are stale before the next look",
        {"site.yaml": SITE + "limits: {poll_seconds: 10 min, stale_seconds: 5 min}\n"},
        "site.yaml:13:47",
        "limits.stale_seconds",
        ("stale_seconds (300 s) is less than poll_seconds (600 s)", "expected at least 600"),
    ),
    Wrong(
        "readings that are stale before the next look, by the one key that is written",
        {"site.yaml": SITE + "limits: {poll_seconds: 10 h}\n"},
        "site.yaml:13:24",
        "limits.poll_seconds",
        ("is less than poll_seconds (36000 s)", "expected at most"),
    ),
    Wrong(
        "a virtualization that no host may run",
        {"site.yaml": changed(SITE, "    labels: {rack: a}", "    virtualizations: [xen-pv]")},
        "vos/cms.yaml:4:21",
        "environments.cms-el8.virtualization",
        ("no host of the site may run qemu", "expected one of: xen-pv"),
    ),
    Wrong(
        "no hosts at all",
        {"site.yaml": SITE[: SITE.index("hosts:")] + "hosts: []\n" + SITE[SITE.index("vos:") :]},
        "site.yaml:6:8",
        "hosts",
        ("there are no hosts", "expected at least one, or `discover`"),
    ),
    Wrong(
        "an environment with nothing below its name",
        {"vos/cms.yaml": "vo: cms\nenvironments:\n  cms-el8:\n"},
        "vos/cms.yaml:3",
        "environments.cms-el8",
        ("has no value", "expected a mapping"),
    ),
    Wrong(
        "a definition that extends itself",
        {"vos/atlas.yaml": ATLAS + "    extends: atlas-el9\n"},
        "vos/atlas.yaml:7:14",
        "environments.atlas-el9.extends",
        ("extend each other in a circle: atlas-el9 -> atlas-el9",),
    ),
    Wrong(
        "a mixture of address families",
        {"vos/atlas.yaml": ATLAS + "    network: {addresses: '10.0.2.16-fd00::1/24'}\n"},
        "vos/atlas.yaml:7:26",
        "environments.atlas-el9.network.addresses",
        ("mixes IPv4 and IPv6",),
    ),
    Wrong(
        "a tag of another program",
        {"vos/cms.yaml": "vo: !!python/object:os.system cms\nenvironments: {}\n"},
        "vos/cms.yaml:1:5",
        "vo",
        ("the tag !!python/object:os.system is not used here", "expected a plain value"),
    ),
]


def write(directory, files):
    (directory / "vos").mkdir()
    for name, content in {**GOOD, **files}.items():
        (directory / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(list(arguments))
    return left.value.code, capsys.readouterr()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_message_names_place_key_expectation_and_nearest_name(case, tmp_path, capsys, monkeypatch):
    write(tmp_path, case.files)
    monkeypatch.chdir(tmp_path)
    code, printed = run(capsys, "check")
    shown = printed.out
    assert code == 2
    head = next((line for line in shown.splitlines() if line.startswith((f"{case.place}:", f"{case.place} "))), "")
    assert head, f"{case.place} is not named in: {shown}"
    assert f" {case.key}: " in head if case.key else ": " in head
    for fragment in case.says:
        assert fragment in head
    if case.nearest:
        assert f"did you mean {case.nearest}?" in head
    else:
        assert "did you mean" not in head
    assert "Traceback" not in shown + printed.err
    assert len(shown.splitlines()) <= 25


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_wrong_file_gives_one_problem_and_not_a_cascade(case, tmp_path, capsys, monkeypatch):
    write(tmp_path, case.files)
    monkeypatch.chdir(tmp_path)
    code, printed = run(capsys, "check", "--json")
    problems = json.loads(printed.out)["problems"]
    assert code == 2
    assert len(problems) == 1, problems
    assert problems[0]["nearest"] == case.nearest


def test_all_errors_of_all_files_are_shown_at_once(tmp_path, capsys, monkeypatch):
    wrong = [CASES[0], CASES[2], CASES[8]]
    write(tmp_path, {name: text for case in wrong for name, text in case.files.items()})
    monkeypatch.chdir(tmp_path)
    _, printed = run(capsys, "check")
    for case in wrong:
        assert case.place in printed.out
    assert "3 problems in 3 files." in printed.out


def test_a_hundred_errors_still_fit_one_screen(tmp_path, capsys, monkeypatch):
    write(tmp_path, {"vos/cms.yaml": CMS + "".join(f"    wrong{n}: 1\n" for n in range(100))})
    monkeypatch.chdir(tmp_path)
    _, printed = run(capsys, "check")
    assert len(printed.out.splitlines()) <= 25
    assert "more (check --json lists all)" in printed.out
    _, printed = run(capsys, "check", "--json")
    assert len(json.loads(printed.out)["problems"]) == 100


def test_the_source_line_stands_below_with_a_caret_under_the_place(tmp_path, capsys, monkeypatch):
    write(tmp_path, {"vos/atlas.yaml": ATLAS + "    vcpus: four\n"})
    monkeypatch.chdir(tmp_path)
    _, printed = run(capsys, "check")
    assert "      7 |     vcpus: four\n        |            ^^^^\n" in printed.out


def test_without_a_site_file_the_places_looked_at_are_named(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("AMBIENTI_SITE", raising=False)
    code, printed = run(capsys, "check")
    assert code == 2
    assert "neither site.yaml nor /etc/ambienti/site.yaml" in printed.out
    assert "AMBIENTI_SITE" in printed.out


def test_a_site_file_that_is_not_there_names_its_neighbour(tmp_path, capsys, monkeypatch):
    write(tmp_path, {})
    monkeypatch.chdir(tmp_path)
    code, printed = run(capsys, "check", "--site", "sit.yaml")
    assert code == 2
    assert "sit.yaml: there is no such file; did you mean site.yaml?" in printed.out


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda path: path.mkdir(), "cannot be read: Is a directory"),
        (lambda path: path.symlink_to(path.name), "cannot be read: Too many levels of symbolic links"),
        (lambda path: path.symlink_to("nothing"), "there is no such file"),
        (os.mkfifo, "cannot be read: it is a pipe, not a plain file"),
        (lambda path: path.symlink_to("/dev/zero"), "cannot be read: it is a device, not a plain file"),
    ],
    ids=["a directory", "a link to itself", "a link to nothing", "a pipe", "a device"],
)
@pytest.mark.parametrize("file", ["site.yaml", "vos/cms.yaml"])
def test_what_stands_in_place_of_a_file_is_told(tmp_path, capsys, monkeypatch, file, make, says):
    write(tmp_path, {})
    (tmp_path / file).unlink()
    make(tmp_path / file)
    monkeypatch.chdir(tmp_path)
    code, printed = run(capsys, "check")
    assert (code, f"{file}: {says}" in printed.out) == (2, True)


def test_other_commands_refuse_a_wrong_configuration_in_the_same_words(tmp_path, capsys, monkeypatch):
    write(tmp_path, CASES[0].files)
    monkeypatch.chdir(tmp_path)
    code, printed = run(capsys, "env", "list")
    assert code == 2
    assert "did you mean memory_mib?" in printed.err
    assert "Traceback" not in printed.err


def all_wrong(tmp_path, capsys, **files):
    for name, text in (GOOD | files).items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert main_code("check", "--site", str(tmp_path / "site.yaml"), "--json") == 2
    return {problem["key"]: problem["message"] for problem in json.loads(capsys.readouterr().out)["problems"]}


def main_code(*words):
    with pytest.raises(SystemExit) as caught:
        main(list(words))
    return caught.value.code


ONCALL = """\
people: {ann: {name: Ann}}
rotations: {first: {layers: [{people: [anna], start: 2026-01-05, colour: red}]}}
escalation: {levels: [{notify: first}]}
"""


def test_what_is_wrong_in_one_file_hides_nothing_of_another(tmp_path, capsys):
    wrong = changed(ATLAS, "memory_mib:", "memry_mib:") + "    shared_with: [cmss]\n  b: {extends: atlas-el8}\n"
    told = all_wrong(
        tmp_path,
        capsys,
        **{"site.yaml": SITE + "limits: {pol_seconds: 5}\n", "vos/atlas.yaml": wrong, "oncall.yaml": ONCALL},
    )
    assert told == {
        "limits.pol_seconds": "is not a known key",
        "environments.atlas-el9.memry_mib": "is not a known key",
        "environments.atlas-el9.shared_with[0]": "no VO is called 'cmss'",
        "environments.b.extends": "no definition is called 'atlas-el8'",
        "rotations.first.layers[0].colour": "is not a known key",
        "rotations.first.layers[0].people[0]": "there is no person 'anna'",
    }


def test_a_wrong_key_hides_no_name_that_services_do_not_know(tmp_path, capsys):
    services = "groups: [{name: g, operator: any, members: [pol, workers/atlas-el9], weigth: 1}]\n"
    wrong = changed(ATLAS, "memory_mib:", "memry_mib:")
    told = all_wrong(tmp_path, capsys, **{"vos/atlas.yaml": wrong, "services.yaml": services})
    assert told == {
        "environments.atlas-el9.memry_mib": "is not a known key",
        "groups[0].weigth": "is not a known key",
        "groups[0].members[0].name": "no object or group is called 'pol'",
    }


def test_a_key_that_is_misspelt_is_taken_for_the_one_that_was_meant(tmp_path, capsys):
    told = all_wrong(tmp_path, capsys, **{"site.yaml": changed(SITE, "hosts:", "hostss:")})
    assert told == {"hostss": "is not a known key"}
    wrong = changed(CMS, "virtualization:", "virtualisation:") + "    minimum_workers: 5\n    maximum_workers: 3\n"
    told = all_wrong(tmp_path, capsys, **{"vos/cms.yaml": wrong})
    assert told == {
        "environments.cms-el8.virtualisation": "is not a known key",
        "environments.cms-el8.minimum_workers": "5 is more than maximum_workers (3)",
    }
