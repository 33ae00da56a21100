"""Request clusters of a real schedd: its groups, both by requirements and by autocluster, against each job alone."""

import itertools
from collections import Counter

import pytest

from environments.environment import Environment
from tests.real.htcondor_pool import ATLAS_OLD, connected, only, rows, wait_until, worker_of
from tests.real.test_htcondor import how

pytestmark = pytest.mark.real
SMALL = Environment(
    name="small", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=2300, provides={"Lane": "lxc"}, default=True,
    network={"kind": "host"},
)  # fmt: skip
BIG = Environment(
    name="big",
    vo="atlas",
    virtualization="qemu",
    vcpus=8,
    memory_mib=18000,
    provides={"Lane": "qemu"},
    network={"kind": "host"},
)
ENVIRONMENTS = (SMALL, BIG, ATLAS_OLD)
NOTHING_SAID = {"request_memory": "", "request_disk": "", "request_cpus": ""}
"""What the lab's submit descriptions say, taken back: HTCondor's own defaults."""


@pytest.fixture
def system(session_pool):
    with connected(session_pool) as system:
        yield system


def retry(pool, cluster, kib, process=0):
    """Let a job look as if it had run before and used so much."""
    pool.tool("condor_qedit", f"{cluster}.{process}", "ResidentSetSize", str(kib), user="alice")
    pool.tool("condor_qedit", f"{cluster}.{process}", "MemoryUsage", "((ResidentSetSize + 1023) / 1024)", user="alice")


def plain(pool, count=1, **words):
    """Submit jobs without any amounts of their own."""
    description = {
        "executable": "/bin/sleep",
        "transfer_executable": "false",
        "should_transfer_files": "yes",
        "arguments": "0",
        "initialdir": pool.jobs,
        "accounting_group": "group_atlas",
        "accounting_group_user": "alice",
    }
    return pool.submit({**description, **words}, count=count)


def by_memory(reading):
    return {row.requirements.memory_mib: (row.idle, row.requirements.accepts) for row in reading.clusters}


ALL = frozenset({"small", "big", "atlas-slc6"})


def test_one_large_retried_job_does_not_make_the_fresh_ones_large(pool, system):
    fresh = plain(pool, count=20)
    retry(pool, plain(pool), 22_500_000)
    reading = system.read(ENVIRONMENTS, cheap=False)
    assert by_memory(reading) == {1: (20, ALL), 21973: (1, frozenset())}
    assert by_memory(system.read(ENVIRONMENTS, cheap=True)) == by_memory(reading)
    job = system.job(f"{fresh}.7", ENVIRONMENTS)
    assert (job.memory_mib, job.cluster_key) == (1, next(row.key for row in reading.clusters if row.idle == 20))


NEVER_TRUE = ("MY.Requirements", " && ".join(["true"] * 1000), "Rank2 || Rank2")


def test_jobs_that_nobody_can_evaluate_hide_no_other(pool, system):
    plain(pool, count=3)
    for expression in NEVER_TRUE:
        cluster = plain(pool)
        pool.tool("condor_qedit", f"{cluster}.0", "Rank2", "MY.Rank2", user="alice")
        pool.tool("condor_qedit", f"{cluster}.0", "Requirements", expression, user="alice")
    reading = system.read(ENVIRONMENTS, cheap=False)
    found = Counter({(row.requirements.accepts, row.problem): row.idle for row in reading.clusters})
    assert found[ALL, ""] == 3
    assert sum(row.idle for row in reading.clusters if not row.requirements.accepts) == len(NEVER_TRUE)


def test_nor_where_the_schedd_knows_them_by_autocluster(pool, system):
    with worker_of(system, ATLAS_OLD):
        fresh = plain(pool, count=20, requirements="TARGET.Never =?= true")
        retry(pool, plain(pool, requirements="TARGET.Never =?= true"), 22_500_000)
        longer = plain(pool, count=2, requirements="TARGET.Never =?= true && MaxRuntime > 5", **{"+MaxRuntime": "600"})
        plain(pool, count=3, requirements="TARGET.Never =?= true", **{"+Likes": "1"})
        wait_until(lambda: all("AutoClusterId" in job for job in pool.queue()), "the schedd gave autocluster ids")
        system.read(ENVIRONMENTS, cheap=False)
        reading = system.read(ENVIRONMENTS, cheap=False)
        assert how(system) == "by-autocluster"
        told = Counter({(row.requirements.memory_mib, row.requirements.walltime_seconds): row.idle for row in reading.clusters})
        assert told == {(1, None): 23, (21973, None): 1, (1, 600): 2}
        reading = system.read(ENVIRONMENTS, cheap=False)
        for cluster, memory_mib in ((fresh, 1), (longer, 1)):
            job = system.job(f"{cluster}.0", ENVIRONMENTS)
            (row,) = (row for row in reading.clusters if row.key == job.cluster_key)
            assert row.requirements.memory_mib == memory_mib
        retry(pool, fresh, 5_000_000, process=3)
        idle = [(row.requirements.memory_mib, row.idle) for row in system.read(ENVIRONMENTS, cheap=False).clusters]
        assert sorted(idle) == [(1, 2), (1, 22), (4883, 1), (21973, 1)]


def test_jobs_that_take_whole_workers_take_whole_workers(pool, system):
    plain(pool, count=8, request_cpus="TARGET.TotalCpus ?: JobCpus")
    found = only(system.read(ENVIRONMENTS, cheap=False))
    assert found.idle == 8
    assert {name: found.requirements.of(name).cpus for name in ALL} == {"small": 2, "big": 8, "atlas-slc6": 1}


def test_a_job_without_an_amount_is_malformed_and_its_ad_is_named(pool, system):
    plain(pool, request_memory="undefined")
    found = only(system.read(ENVIRONMENTS, cheap=False))
    assert found.problem == "RequestMemory is not set, and HTCondor starts no job without it"


WAYS = {
    "request_cpus": ("1", "TARGET.TotalCpus ?: 1", "ifThenElse(isUndefined(TARGET.Lane), 3, 2)"),
    "request_memory": (None, "500", "ifThenElse(isUndefined(MemoryUsage), 100, MemoryUsage * 3 / 2)", "2000 * RequestCpus"),
    "requirements": (None, "TARGET.Lane == MY.Likes", "TARGET.Machine =!= LastRemoteHost && (NumJobStarts < 2 || ProcId > 0)"),
    "+Likes": (None, '"qemu"'),
}


def test_every_job_of_the_queue_is_in_the_row_that_it_would_be_alone(pool, system):
    clusters = []
    for choice in itertools.product(*WAYS.values()):
        words = {name: text for name, text in zip(WAYS, choice, strict=True) if text is not None}
        clusters.append(plain(pool, count=2, **words))
    for number, cluster in enumerate(clusters):
        if number % 3 == 0:
            retry(pool, cluster, 1_000_000 * (1 + number % 4), process=1)
        if number % 5 == 0:
            pool.tool("condor_qedit", f"{cluster}.0", "NumJobStarts", "3", user="alice")
            pool.tool("condor_qedit", f"{cluster}.0", "LastRemoteHost", '"slot1@worker"', user="alice")
    reading = system.read(ENVIRONMENTS, cheap=False)
    alone = Counter(system.job(f"{cluster}.{process}", ENVIRONMENTS).cluster_key for cluster in clusters for process in (0, 1))
    assert {row.key: row.idle for row in reading.clusters} == alone
    assert len(alone) > 15


# --- VOs --------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "vo"),
    [
        ({"+AccountingGroup": '"group_cmshi.alice"'}, "cmshi"),
        ({"+AccountingGroup": '"group_cmshi"'}, "cmshi"),
        ({"accounting_group": "Group_Atlas.prod"}, "atlas"),
        ({"accounting_group": "GROUP_ATLAS"}, "atlas"),
        ({"accounting_group": "group_atlas", "accounting_group_user": "alice.b.smith"}, "atlas"),
        ({"accounting_group": "group_atlas", "+AccountingGroup": '"group_cms.alice"'}, "cms"),
    ],
)
def test_the_vo_is_that_of_the_group_by_which_the_negotiator_goes(pool, system, words, vo):
    base = {"accounting_group": "", "accounting_group_user": ""}
    plain(pool, **{**base, **words})
    assert only(system.read(ENVIRONMENTS, cheap=False)).vo == vo


def test_a_job_of_no_vo_is_told_what_was_looked_at_by_which_rules_and_what_to_write(pool, system):
    plain(pool, accounting_group="grp_atlas.prod", accounting_group_user="bob")
    plain(pool, accounting_group="other")
    found = {row.requirements.unmapped.looked_at["AcctGroup"]: row for row in rows(system.read(ENVIRONMENTS, cheap=False), "")}
    told = found['"grp_atlas.prod"'].requirements.unmapped
    assert told.looked_at == {"AccountingGroup": '"grp_atlas.prod.bob"', "AcctGroup": '"grp_atlas.prod"'}
    assert told.lines == {"atlas": "accounting_group = group_atlas"}
    assert set(found) == {'"grp_atlas.prod"', '"other"'}
