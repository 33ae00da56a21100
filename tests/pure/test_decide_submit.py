"""What to change in the submit file: one sentence, and what it says fits."""

import pytest

from environments.codes import CODES
from environments.environment import Disk, DiskMode
from environments.matching import match
from environments.reason import Reason
from environments.requirements import Unmapped
from scheduler.decide.submit import in_submit_file
from tests.pure.builders import a_cluster, a_policy, an_environment

LARGE = an_environment("large", vcpus=8, memory_mib=20480)
HOUR = 3600


def told(*environments, vo="atlas", **asked):
    cluster, catalogue = a_cluster(vo=vo, **asked), a_policy(*environments).catalogue
    return in_submit_file(match(cluster.requirements, cluster.vo, catalogue).problem, cluster, catalogue)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"cpus": 16}, "Write `request_cpus = 8` or less: that fits large."),
        ({"memory_mib": 30000}, "Write `request_memory = 18432 MB` or less: that fits large."),
        ({"cpus": 9, "memory_mib": 20000}, "Write `request_cpus = 8` or less and `request_memory = 18432 MB` or less: that fits large."),
        ({"gpus": 1}, "Write no `request_gpus`: that fits el9."),
        ({"walltime_seconds": 60 * HOUR}, "Write `allowed_job_duration = 172200` or less: that fits el9."),
        ({"wanted": "el-9"}, 'Write `+WantEnvironment = "el9"`, or leave that line out.'),
        ({"wanted": "win11"}, "Leave `+WantEnvironment` out, or name one that your VO may use: el9, large."),
        (
            {"accepts": frozenset(), "refusals": {"el9": "HasCVMFS", "large": "HasCVMFS"}},
            "Change `requirements`, which no environment of your VO meets: `HasCVMFS`.",
        ),
        (
            {"cpus": 9, "accepts": frozenset(), "refusals": {"large": "TARGET.Cpus >= RequestCpus", "el9": 'OpSys == "SLC6"'}},
            "Write `request_cpus = 8` or less: that fits large.",
        ),
    ],
    ids=str,
)  # fmt: skip
def test_the_smallest_change_that_fits_is_named(asked, sentence):
    assert told(an_environment(), LARGE, **asked) == sentence


def test_a_job_that_named_too_small_an_environment_is_told_the_one_that_fits():
    assert told(an_environment(), LARGE, wanted="el9", cpus=4) == 'Write `+WantEnvironment = "large"`: that fits large.'


def test_disk_counts_where_a_worker_has_one():
    small = an_environment(disk=Disk(mode=DiskMode.OVERLAY, size_gib=10, pool="p"))
    assert told(small, disk_mib=20000) == "Write `request_disk = 10240 MB` or less: that fits el9."


def test_what_is_said_to_fit_fits():
    catalogue = a_policy(an_environment(), LARGE).catalogue
    for cpus in (1, 2, 5, 8, 9, 64):
        for memory_mib in (1000, 4000, 18432, 18433, 90000):
            cluster = a_cluster(cpus=cpus, memory_mib=memory_mib)
            found = match(cluster.requirements, "atlas", catalogue)
            if found.problem is None:
                continue
            sentence = in_submit_file(found.problem, cluster, catalogue)
            smaller = a_cluster(cpus=min(cpus, 8), memory_mib=min(memory_mib, 18432))
            assert "that fits large" in sentence
            assert match(smaller.requirements, "atlas", catalogue).problem is None


def test_a_job_of_no_vo_is_told_the_line_to_write():
    unmapped = Unmapped({"AccountingGroup": '"group_atls"'}, (), {"atlas": "accounting_group = group_atlas.NAME"})
    sentence = told(vo="", unmapped=unmapped)
    assert sentence.startswith("Write `accounting_group = group_atlas.NAME` in the submit file")


def test_every_code_of_a_waiting_job_has_a_sentence_for_the_submit_file():
    catalogue = a_policy().catalogue
    for code in CODES:
        sentence = in_submit_file(Reason(code, "a sentence"), a_cluster(), catalogue)
        assert sentence.endswith("."), code
        assert sentence[0].isupper(), code
    assert in_submit_file(Reason("farm-full", ""), a_cluster(), catalogue) == "Nothing has to change in the submit file: wait."
    assert in_submit_file(Reason("no-environment", "", {}, "Define one."), a_cluster(), catalogue).endswith(
        "can help: Define one."
    )
