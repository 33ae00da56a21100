"""The files of the VOs: includes, inheritance, templates, sharing, and what each environment must be sound in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from environments import addresses
from environments.catalogue import join, load_vo
from environments.environment import VO, Environment, Virtualization

BOOTABLE = "virtualization: xen-pv, image: {kernel: /k, initrd: /i}"


def vos(*names):
    return {name: VO(name=name) for name in names}


@pytest.fixture
def load(tmp_path):
    def write_and_load(vo, text, **others):
        for name, content in others.items():
            (tmp_path / f"{name}.yaml").write_text(content)
        path = tmp_path / f"{vo}.yaml"
        path.write_text(text)
        return load_vo(path, vo)

    return write_and_load


def environment(definitions, name):
    assert definitions.problems == ()
    return definitions.environments[name].environment


def test_an_environment_knows_its_name_and_its_owner(load):
    found = environment(load("atlas", f"vo: atlas\nenvironments:\n  el9: {{{BOOTABLE}}}\n"), "el9")
    assert (found.name, found.vo, found.vos) == ("el9", "atlas", ("atlas",))


def test_a_list_of_environments_with_names_is_the_same_as_a_mapping(load):
    listed = load("atlas", f"vo: atlas\nenvironments:\n- {{name: el9, {BOOTABLE}}}\n- {{name: el8, extends: el9, vcpus: 4}}\n")
    assert environment(listed, "el8").vcpus == 4


def test_amounts_are_written_with_units(load):
    text = f"vo: a\nenvironments:\n  e: {{{BOOTABLE}, memory_mib: 1.5 GiB, idle_seconds: 10 min, lifetime_seconds: 2 d}}\n"
    found = environment(load("a", text), "e")
    assert (found.memory_mib, found.idle_seconds, found.lifetime_seconds) == (1536, 600, 172800)


def test_extending_overrides_value_by_value_at_any_depth(load):
    text = """
vo: a
environments:
  base:
    virtualization: qemu
    image: {path: /el9.qcow2, kernel: /k, initrd: /i, cmdline: console=ttyS0}
    disk: {mode: overlay, pool: fast, size_gib: 20}
    provides: {OpSysAndVer: AlmaLinux9, HasCVMFS: true}
  big:
    extends: base
    image: {cmdline: quiet}
    disk: {size_gib: 80}
    provides: {HasCVMFS: ~, HasGPU: true}
  bigger: {extends: big, vcpus: 64, maximum_workers: 3}
  biggest: {extends: bigger, maximum_workers: ~}
"""
    found = load("a", text)
    bigger = environment(found, "bigger")
    assert (bigger.image.kernel, bigger.image.cmdline, bigger.disk.pool, bigger.disk.size_gib) == ("/k", "quiet", "fast", 80)
    assert bigger.provides == {"OpSysAndVer": "AlmaLinux9", "HasGPU": True}
    assert (bigger.vcpus, bigger.virtualization) == (64, Virtualization.QEMU)
    assert environment(found, "biggest").maximum_workers is None


def test_a_template_is_no_environment_and_may_lack_anything(load):
    text = "vo: a\nenvironments:\n  base: {abstract: true, vcpus: 8}\n  el9: {extends: base, " + BOOTABLE + "}\n"
    found = load("a", text)
    assert set(found.environments) == {"el9"}
    assert environment(found, "el9").vcpus == 8


def test_a_mistake_in_a_template_is_reported_once_and_in_its_own_line(load):
    text = (
        "vo: a\nenvironments:\n  base: {abstract: true, vcpus: x, "
        + BOOTABLE
        + "}\n  one: {extends: base}\n  two: {extends: base}\n"
    )
    (problem,) = load("a", text).problems
    assert (problem.line, problem.key) == (3, "environments.base.vcpus")


def test_being_the_default_or_a_template_is_not_inherited(load):
    text = f"vo: a\nenvironments:\n  one: {{{BOOTABLE}, default: true}}\n  two: {{extends: one}}\n"
    found = load("a", text)
    assert environment(found, "one").default
    assert not environment(found, "two").default


def test_templates_of_an_included_file_can_be_extended(load, tmp_path):
    common = "environments:\n  base: {abstract: true, " + BOOTABLE + "}\n"
    found = load("a", "vo: a\ninclude: [common.yaml]\nenvironments:\n  el9: {extends: base}\n", common=common)
    assert environment(found, "el9").image.kernel == "/k"
    assert found.files == (tmp_path / "a.yaml", tmp_path / "common.yaml")


def test_a_file_is_included_from_below_the_own_directory_or_that_of_the_site_only(tmp_path):
    outside, site, own = tmp_path / "secret.yaml", tmp_path / "site/site.yaml", tmp_path / "site/vos/a/a.yaml"
    own.parent.mkdir(parents=True)
    for path in (outside, site.parent / "common.yaml", own.parent / "base.yaml"):
        path.write_text("environments:\n  " + path.stem + ": {abstract: true, " + BOOTABLE + "}\n")
    (own.parent / "link.yaml").symlink_to(outside)
    (own.parent / "loop.yaml").symlink_to("loop.yaml")
    own.write_text("vo: a\ninclude: [base.yaml, ../../common.yaml]\nenvironments:\n  el9: {extends: common}\n")
    assert load_vo(own, "a", site).problems == ()
    for name in ("../../../secret.yaml", str(outside), "link.yaml", "/etc/shadow", "/no/such/file"):
        own.write_text(f"vo: a\ninclude: [{name}]\n")
        (problem,) = load_vo(own, "a", site).problems
        assert (problem.line, problem.key) == (2, "include[0]")
        assert problem.message == f"{own.parent / name} lies elsewhere: it is not read"
    own.write_text("vo: a\ninclude: [loop.yaml]\n")
    assert len(load_vo(own, "a", site).problems) == 1


def test_a_file_included_along_two_ways_is_read_once(load):
    common = "environments:\n  base: {abstract: true, " + BOOTABLE + "}\n"
    middle = "include: [common.yaml]\nenvironments: {}\n"
    text = "vo: a\ninclude: [one.yaml, two.yaml]\nenvironments:\n  el9: {extends: base}\n"
    assert environment(load("a", text, common=common, one=middle, two=middle), "el9").vo == "a"


def test_the_file_of_another_vo_can_be_included_to_extend_its_environments(load, tmp_path):
    atlas = load("atlas", "vo: atlas\nenvironments:\n  el9: {" + BOOTABLE + "}\n")
    cms = load("cms", "vo: cms\ninclude: [atlas.yaml]\nenvironments:\n  cms-el9: {extends: el9, vcpus: 2}\n")
    catalogue, problems = join([atlas, cms], vos("atlas", "cms"))
    assert problems == []
    assert {name: one.vo for name, one in catalogue.environments.items()} == {"el9": "atlas", "cms-el9": "cms"}


def test_two_vos_that_include_one_environment_are_told_to_share_it(load):
    common = "environments:\n  base: {" + BOOTABLE + "}\n"
    one = load("one", "vo: one\ninclude: [common.yaml]\n", common=common)
    two = load("two", "vo: two\ninclude: [common.yaml]\n")
    _, problems = join([one, two], vos("one", "two"))
    assert [(p.line, p.message) for p in problems] == [(2, "two VOs include this environment")]
    assert "shared_with" in problems[0].expected


def test_a_shared_environment_serves_both_vos(load):
    one = load("one", f"vo: one\nenvironments:\n  big: {{{BOOTABLE}, vcpus: 8, shared_with: [two]}}\n")
    two = load("two", f"vo: two\nenvironments:\n  small: {{{BOOTABLE}}}\n")
    catalogue, problems = join([one, two], vos("one", "two"))
    assert problems == []
    assert [e.name for e in catalogue.usable_by("two")] == ["small", "big"]
    assert [e.name for e in catalogue.usable_by("one")] == ["big"]


def test_overlapping_address_ranges_are_refused(load):
    one = load("one", f"vo: one\nenvironments:\n  a: {{{BOOTABLE}, network: {{addresses: 10.0.0.1-10.0.0.9/24}}}}\n")
    two = load("two", f"vo: two\nenvironments:\n  b: {{{BOOTABLE}, network: {{addresses: 10.0.0.9-10.0.0.12/24}}}}\n")
    _, problems = join([one, two], vos("one", "two"))
    assert [p.message for p in problems] == ["10.0.0.9 is also in the range of a"]


@pytest.mark.parametrize(
    ("fields", "key", "message"),
    [
        ("virtualization: xen-pvh, image: {path: /x}, disk: {mode: copy}", "image", "a xen-pvh worker boots a kernel directly"),
        ("virtualization: xen-hvm", "image", "a xen-hvm worker has nothing to boot from"),
        (
            "virtualization: qemu, image: {initrd: /i, path: /x}, disk: {mode: copy}",
            "image.initrd",
            "an initrd without its kernel",
        ),
        ("virtualization: qemu, image: {kernel: /k}", "image.kernel", "a diskless kernel finds no root file system"),
        ("virtualization: qemu, image: {path: /x}", "disk.mode", "workers would all write to the shared image"),
        (
            "virtualization: kvm, image: {path: /x, volume: y, pool: p}, disk: {mode: copy}",
            "image.volume",
            "image.path is given too",
        ),
        (
            "virtualization: kvm, image: {volume: y}, disk: {mode: copy}",
            "image.volume",
            "a volume needs the pool that holds it",
        ),
        ("virtualization: kvm, image: {path: /x}, disk: {mode: lvm}", "disk.mode", "an LVM disk needs its storage pool"),
        ("virtualization: lxc, image: {path: /x, kernel: /k}", "image.kernel", "is not used by lxc"),
        ("virtualization: lxc, image: {path: /x}, disk: {mode: overlay}", "disk.mode", "lxc has no overlay disk"),
        (f"{BOOTABLE}, network: {{kind: host}}", "network.kind", "a xen-pv worker cannot share the host's network"),
        (f"{BOOTABLE}, network: {{kind: user}}", "network.kind", "xen-pv has no user network"),
        (
            "virtualization: lxc, image: {path: /x}, network: {kind: host, vlan: 5}",
            "network.vlan",
            "a host network has no VLAN",
        ),
        (f"{BOOTABLE}, network: {{gateway: 10.0.0.1}}", "network.gateway", "a gateway without addresses is ignored"),
        (
            f"{BOOTABLE}, network: {{addresses: 10.0.0.5-10.0.0.9/24, gateway: 10.0.1.1}}",
            "network.gateway",
            "10.0.1.1 is not in the network 10.0.0.0/24 of the addresses",
        ),
        (
            f"{BOOTABLE}, network: {{addresses: 10.0.0.5-10.0.0.9/24, gateway: 10.0.0.7}}",
            "network.gateway",
            "10.0.0.7 lies within the addresses given to workers",
        ),
        (f"{BOOTABLE}, memory_mib: 64", "memory_mib", "64 MiB leave nothing for jobs"),
        (f"{BOOTABLE}, minimum_workers: 5, maximum_workers: 3", "minimum_workers", "5 is more than maximum_workers (3)"),
        (f"{BOOTABLE}, idle_seconds: 3 d", "idle_seconds", "259200 s of idling is longer than the worker lives (172800 s)"),
        (f"{BOOTABLE}, lifetime_seconds: 500", "lifetime_seconds", "600 s to boot in a life of 500 s"),
        (f"{BOOTABLE}, boot_seconds: 0", "boot_seconds", "0 s to boot in a life of 172800 s"),
    ],
)
def test_fields_that_do_not_fit_each_other_are_refused(load, fields, key, message):
    (problem,) = load("a", f"vo: a\nenvironments:\n  e: {{{fields}}}\n").problems
    assert (problem.key, problem.message, problem.line) == (f"environments.e.{key}", message, 3)
    assert problem.expected or "addresses given" in problem.message


@pytest.mark.parametrize(
    "fields",
    [
        "virtualization: xen-pv, image: {path: /el9.qcow2}, disk: {mode: overlay}",
        "virtualization: xen-pvh, image: {kernel: /k, initrd: /i}",
        "virtualization: lxc, image: {path: /srv/root}, network: {kind: host}",
        "virtualization: qemu, image: {kernel: /k, initrd: /i}, network: {kind: user}",
        "virtualization: kvm, image: {pool: images, volume: el9}, disk: {mode: copy, pool: fast}",
        "virtualization: kvm, image: {path: /el9.raw, format: raw}, disk: {mode: lvm, pool: vg0}",
        "virtualization: qemu, image: {kernel: /k, path: /el9.qcow2}, disk: {mode: overlay}",
    ],
)
def test_every_lane_has_a_sound_environment(load, fields):
    environment(load("a", f"vo: a\nenvironments:\n  e: {{{fields}}}\n"), "e")


def test_an_environment_says_how_many_gpus_its_workers_have(load):
    definitions = load("atlas", f"vo: atlas\nenvironments: {{gpu: {{{BOOTABLE}, provides: {{GPUs: 2}}}}}}\n")
    assert environment(definitions, "gpu").slot_gpus == 2


def test_a_name_or_vo_that_is_repeated_must_not_contradict(load):
    found = load("a", f"vo: a\nenvironments:\n  e: {{{BOOTABLE}, name: f, vo: b}}\n  g: {{{BOOTABLE}, name: g, vo: a}}\n")
    assert [(p.key, p.message) for p in found.problems] == [
        ("environments.e.name", "'f' contradicts its key"),
        ("environments.e.vo", "'b' contradicts its file"),
    ]


def test_all_problems_of_a_file_come_together(load):
    text = "vo: a\nenvironments:\n  one: {extends: nobody, vcpus: x}\n  two: {virtualization: kvn}\n  three: {colour: red}\n"
    keys = [p.key for p in load("a", text).problems]
    assert keys == [
        "environments.one.vcpus",
        "environments.two.virtualization",
        "environments.three.colour",
        "environments.one.extends",
        "environments.three.virtualization",
    ]


def test_a_range_of_addresses_is_expanded_in_order():
    assert addresses.expand("10.0.2.254-10.0.3.1/23") == ("10.0.2.254/23", "10.0.2.255/23", "10.0.3.0/23", "10.0.3.1/23")
    assert addresses.expand("fd00::1-fd00::2/64") == ("fd00::1/64", "fd00::2/64")
    assert addresses.expand("10.0.2.16/24") == ("10.0.2.16/24",)


@given(st.text(max_size=60) | st.from_regex(r"[0-9./:a-f -]{1,40}"))
def test_any_text_as_a_range_is_expanded_or_refused_with_a_sentence(text):
    try:
        found = addresses.expand(text)
    except ValueError as error:
        found = str(error)
    assert found


def test_every_field_of_an_environment_is_described():
    for name, field in Environment.model_fields.items():
        assert field.description, name
