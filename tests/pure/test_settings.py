"""The site file, and definitions that are kept fresh: what changed is picked up, what is wrong is refused by itself."""

import os

import pytest

from environments.hostnames import expand_hosts
from environments.problems import ConfigurationError, Mark, problem_at
from scheduler.site.definitions import load, refresh
from scheduler.site.settings import Site

SITE = """\
site: perugia
batch_systems: [{name: pool}]
hosts:
  - {name: "xen[08-11,3]", uri: "xen+ssh://{host}/system", labels: {rack: a}, max_boots: 2, cpu_overcommit: 1.5}
  - {name: kvm1, uri: "qemu:///system"}
vos:
  atlas: {share: {weight: 2, guarantee_cpus: 10}}
  cms: {file: other/cms.yaml}
limits: {poll_seconds: 1 min}
"""


def file_of(vo, *fields):
    body = "".join(f"  {one}\n" for one in fields) or f"  {vo}-el9: {{virtualization: lxc, image: {{path: /srv/{vo}}}}}\n"
    return f"vo: {vo}\nenvironments:\n{body}"


class Files:
    """A configuration on disk whose changes are seen however quickly they follow each other."""

    def __init__(self, directory):
        self.directory = directory
        self.tick = 1_700_000_000
        (directory / "vos").mkdir()
        (directory / "other").mkdir()
        self.write("site.yaml", SITE)
        self.write("vos/atlas.yaml", file_of("atlas"))
        self.write("other/cms.yaml", file_of("cms"))

    @property
    def site(self):
        return self.directory / "site.yaml"

    def write(self, name, text):
        path = self.directory / name
        path.write_text(text)
        self.tick += 10
        os.utime(path, (self.tick, self.tick))


@pytest.fixture
def files(tmp_path):
    return Files(tmp_path)


def names(definitions):
    return set(definitions.policy.catalogue.environments)


def test_a_site_becomes_a_policy(files):
    found = load(files.site)
    assert (found.policy.site, found.policy.limits.poll_seconds) == ("perugia", 60)
    assert list(found.policy.hosts) == ["xen08", "xen09", "xen10", "xen11", "xen3", "kvm1"]
    xen3 = found.policy.hosts["xen3"]
    assert (xen3.labels, xen3.max_boots, xen3.cpu_overcommit) == ({"rack": "a"}, 2, 1.5)
    assert found.file.hosts["xen3"].uri == "xen+ssh://xen3/system"
    assert found.policy.catalogue.vos["atlas"].share.guarantee_cpus == 10
    assert names(found) == {"atlas-el9", "cms-el9"}


def test_static_ranges_become_address_pools(files):
    files.write(
        "vos/atlas.yaml",
        file_of("atlas", "e: {virtualization: lxc, image: {path: /x}, network: {addresses: 10.0.2.1-10.0.2.2/24}}"),
    )
    assert load(files.site).policy.address_pools == {"e": ("10.0.2.1/24", "10.0.2.2/24")}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("xen1", ("xen1",)),
        ("node[1-3]", ("node1", "node2", "node3")),
        ("node[001-003]", ("node001", "node002", "node003")),
        ("r1-n[9-10,12].site", ("r1-n9.site", "r1-n10.site", "r1-n12.site")),
    ],
)
def test_a_range_stands_for_its_hosts(text, names):
    assert expand_hosts(text) == names


@pytest.mark.parametrize("text", ["", "node[", "node[a-b]", "node[3-1]", "node[1-99999]", "no de", "node[1-2][3-4]"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(ValueError, match=r"host|range"):
        expand_hosts(text)


def test_nothing_changed_gives_the_same_object(files):
    found = load(files.site)
    assert refresh(found) is found


def test_a_file_written_again_with_the_same_content_keeps_the_environments(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", file_of("atlas"))
    assert refresh(found).policy == found.policy


def test_a_changed_file_is_picked_up(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", file_of("atlas", "new: {virtualization: lxc, image: {path: /x}}"))
    assert names(refresh(found)) == {"new", "cms-el9"}


def test_a_changed_include_is_picked_up(files):
    files.write("vos/base.yaml", "environments:\n  base: {abstract: true, virtualization: lxc, image: {path: /one}}\n")
    files.write("vos/atlas.yaml", "vo: atlas\ninclude: [base.yaml]\nenvironments:\n  e: {extends: base}\n")
    found = load(files.site)
    files.write("vos/base.yaml", "environments:\n  base: {abstract: true, virtualization: lxc, image: {path: /two}}\n")
    assert refresh(found).policy.catalogue.environments["e"].image.path == "/two"


def test_a_wrong_file_is_refused_and_the_last_good_one_stays_in_force(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", file_of("atlas", "new: {virtualization: lxd}"))
    after = refresh(found)
    assert after.policy == found.policy
    assert [(p.line, p.nearest) for p in after.problems] == [(3, "lxc")]
    assert refresh(after) is after


def test_the_broken_file_of_one_vo_does_not_hold_up_another(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", "vo: [")
    files.write("other/cms.yaml", file_of("cms", "newer: {virtualization: lxc, image: {path: /x}}"))
    after = refresh(found)
    assert names(after) == {"atlas-el9", "newer"}
    assert {p.file for p in after.problems} == {str(files.directory / "vos/atlas.yaml")}


def test_a_refused_file_is_taken_once_it_is_right(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", "vo: [")
    broken = refresh(found)
    files.write("vos/atlas.yaml", file_of("atlas", "new: {virtualization: lxc, image: {path: /x}}"))
    after = refresh(broken)
    assert (names(after), after.problems) == ({"new", "cms-el9"}, ())


def test_a_name_taken_by_another_vo_is_refused_and_the_owner_keeps_it(files):
    found = load(files.site)
    files.write("other/cms.yaml", file_of("cms", "atlas-el9: {virtualization: lxc, image: {path: /x}}"))
    after = refresh(found)
    assert after.policy.catalogue.environments["atlas-el9"].vo == "atlas"
    assert "defined twice" in after.problems[0].message


def test_an_environment_that_moves_from_one_vo_to_another_is_followed(files):
    found = load(files.site)
    files.write("vos/atlas.yaml", file_of("atlas", "one: {virtualization: lxc, image: {path: /x}}"))
    files.write("other/cms.yaml", file_of("cms", "atlas-el9: {virtualization: lxc, image: {path: /x}}"))
    after = refresh(found)
    assert after.problems == ()
    assert after.policy.catalogue.environments["atlas-el9"].vo == "cms"


def test_a_file_that_vanished_is_reported_and_found_again(files):
    found = load(files.site)
    (files.directory / "other/cms.yaml").unlink()
    gone = refresh(found)
    assert gone.policy == found.policy
    assert "has no file" in gone.problems[0].message
    files.write("other/cms.yaml", file_of("cms", "back: {virtualization: lxc, image: {path: /x}}"))
    assert names(refresh(gone)) == {"atlas-el9", "back"}


def test_a_wrong_site_file_leaves_the_old_one_in_force_while_the_vos_files_go_on(files):
    found = load(files.site)
    files.write("site.yaml", SITE.replace("poll_seconds", "pol_seconds"))
    files.write("vos/atlas.yaml", file_of("atlas", "new: {virtualization: lxc, image: {path: /x}}"))
    after = refresh(found)
    assert after.site == found.site
    assert names(after) == {"new", "cms-el9"}
    assert [p.nearest for p in after.problems] == ["poll_seconds"]


def test_a_new_vo_with_a_broken_file_does_not_change_the_site(files):
    found = load(files.site)
    files.write("vos/theory.yaml", "vo: theory\nenvironments: 5\n")
    files.write("site.yaml", SITE.replace("  cms:", "  theory:\n  cms:"))
    after = refresh(found)
    assert set(after.policy.catalogue.vos) == {"atlas", "cms"}
    assert after.problems


def test_a_changed_share_and_a_new_host_are_picked_up(files):
    found = load(files.site)
    files.write("site.yaml", SITE.replace("weight: 2", "weight: 5").replace("kvm1", "kvm2"))
    after = refresh(found)
    assert after.policy.catalogue.vos["atlas"].share.weight == 5
    assert "kvm2" in after.policy.hosts


def test_every_mistake_of_site_and_vos_is_told_together(files):
    files.write("site.yaml", SITE + "colour: red\n")
    files.write("vos/atlas.yaml", "")
    with pytest.raises(ConfigurationError) as caught:
        load(files.site)
    assert [(p.file.rpartition("/")[2], p.line) for p in caught.value.problems] == [("site.yaml", 10), ("atlas.yaml", 1)]


def test_every_field_of_the_site_file_is_described():
    def models(model):
        yield model
        for field in model.model_fields.values():
            for inner in [field.annotation, *getattr(field.annotation, "__args__", ())]:
                if isinstance(inner, type) and hasattr(inner, "model_fields"):
                    yield from models(inner)

    for model in models(Site):
        for name, field in model.model_fields.items():
            assert field.description, f"{model.__name__}.{name}"


# --- names that belong to others ------------------------------------------------------------------------------------------

OTHERS = """\
site: perugia
batch_systems: [{name: pool, options: {collector: cm.example.org}}]
hosts: [{name: Xen1.Example.ORG, uri: test:///default}]
vos: {vo.cta.in2p3.fr: {file: cta.yaml}, Atlas: {file: atlas.yaml}}
"""
CTA = """\
vo: VO.CTA.in2p3.fr
environments:
  cta-el9:
    virtualization: kvm
    image: {pool: VMs, volume: el9.qcow2}
    disk: {mode: overlay, pool: g_1}
    network: {kind: libvirt, source: Farm_Net.2}
    shared_with: [ATLAS]
"""


def test_names_that_belong_to_others_follow_their_owners_rules(files):
    files.write("site.yaml", OTHERS)
    files.write("cta.yaml", CTA)
    files.write("atlas.yaml", "vo: ATLAS\nenvironments: {}\n")
    catalogue = load(files.site).policy.catalogue
    assert set(catalogue.vos) == {"vo.cta.in2p3.fr", "atlas"}
    environment = catalogue.environments["cta-el9"]
    assert (environment.vos, environment.image.pool, environment.disk.pool, environment.network.source) == (
        ("vo.cta.in2p3.fr", "atlas"), "VMs", "g_1", "Farm_Net.2",
    )  # fmt: skip


def test_a_vo_that_stands_twice_in_other_capitals_is_told(files):
    files.write("site.yaml", OTHERS.replace("vo.cta.in2p3.fr: {file: cta.yaml}", "atlas: {file: atlas.yaml}"))
    files.write("atlas.yaml", "vo: atlas\nenvironments: {}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(files.site)
    assert "VO Atlas stands here as atlas already: capitals do not count" in str(caught.value)


def test_a_pool_with_a_slash_is_no_pool(files):
    files.write("site.yaml", OTHERS)
    files.write("cta.yaml", CTA.replace("g_1", "a/b"))
    files.write("atlas.yaml", "vo: atlas\nenvironments: {}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(files.site)
    assert "the name of a storage pool" in str(caught.value)


def test_the_line_of_a_wrong_journal_is_shown_without_its_password_and_with_its_port():
    for line, shown in {
        "journal: postgrsql://me:se/cret@db:5432/x": "journal: postgrsql://me:*******@db:5432/x",
        'journal: "mysql://db:3306/x?password=abc&y=1"': 'journal: "mysql://db:3306/x?password=***&y=1"',
    }.items():
        assert problem_at(Mark("site.yaml", 1, 1, line), "journal", "wrong").source == shown
