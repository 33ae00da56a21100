"""Which environments a request may run in, and why not in the others."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from environments.environment import VO, Environment, Image, Virtualization
from environments.matching import Catalogue, Requirements, match, misfit
from environments.names import nearest
from environments.requirements import Amounts, Chooser, Unmapped


def environment(name, vo="atlas", **fields):
    image = Image(path="/srv/root")
    return Environment(name=name, vo=vo, virtualization=Virtualization.LXC, image=image, **fields)


def catalogue(*environments, vos=("atlas", "cms", "theory")):
    return Catalogue({e.name: e for e in environments}, {name: VO(name=name) for name in vos})


FARM = catalogue(
    environment("small", vcpus=1, memory_mib=2048),
    environment("large", vcpus=8, memory_mib=16384),
    environment("usual", vcpus=4, memory_mib=8192, default=True),
    environment("cms-el8", vo="cms", vcpus=2, memory_mib=4096, shared_with=("atlas",)),
    environment("cms-own", vo="cms", vcpus=2, memory_mib=4096),
)


def test_the_default_comes_first_then_small_workers_before_large_ones():
    assert match(Requirements(), "atlas", FARM).environments == ("usual", "small", "cms-el8", "large")


def test_what_the_job_names_is_taken_alone():
    assert match(Requirements(wanted="large"), "atlas", FARM).environments == ("large",)


def test_where_one_is_named_every_environment_of_the_vo_has_its_verdict_and_who_chose_is_known():
    asked = Requirements(wanted="large", memory_mib=3000, accepts=frozenset({"large", "usual", "small"}))
    found = match(asked, "atlas", FARM)
    assert (found.environments, found.chosen_by) == (("large",), Chooser.JOB)
    assert {name: reason.sentence for name, reason in found.refused.items()} == {
        "small": "the job names large; besides, asks for 3000 MiB, a worker of small has 1844 MiB for jobs",
        "usual": "the job names large; usual would fit as well",
        "cms-el8": "the job names large; besides, its requirements do not accept cms-el8",
    }
    assert match(asked, "atlas", FARM, others=False).refused == {}


def test_a_named_environment_that_does_not_fit_points_to_one_that_does():
    problem = match(Requirements(wanted="small", cpus=4), "atlas", FARM).problem
    assert problem.sentence == "asks for 4 cores, a worker of small has 1"
    assert problem.remedy.endswith("; or name usual, which fits")


def test_a_default_that_the_submit_hook_gave_is_told_as_its_choice():
    asked = Requirements(wanted="usual", chosen_by=Chooser.HOOK)
    found = match(asked, "atlas", FARM)
    assert (found.environments, found.chosen_by) == (("usual",), Chooser.HOOK)
    assert found.refused["large"].sentence.startswith("the submit hook gave the job usual, the default of its VO")
    gone = match(Requirements(wanted="old", chosen_by=Chooser.HOOK), "atlas", FARM).problem
    assert (gone.code, "submit hooks" in gone.remedy) == ("unknown-environment", True)


def test_who_chooses_where_nothing_was_named():
    assert match(Requirements(), "atlas", FARM).chosen_by is Chooser.DEFAULT
    assert match(Requirements(), "cms", FARM).chosen_by is Chooser.SIZE
    assert match(Requirements(cpus=6), "atlas", FARM).chosen_by is Chooser.REQUIREMENTS


def test_amounts_that_depend_on_the_worker_are_those_of_each_environment():
    asked = Requirements(cpus=8, by_environment={"small": Amounts(cpus=1), "usual": Amounts(cpus=4, memory_mib=9000)})
    assert match(asked, "atlas", FARM).environments == ("small", "large")


def test_a_gpu_that_no_worker_has_is_told_in_one_sentence():
    problem = match(Requirements(gpus=1), "atlas", FARM).problem
    assert problem.sentence == "asks for 1 GPU, no worker of VO atlas has one"
    assert "request_gpus" in problem.remedy
    gpu = environment("gpu", provides={"GPUs": 2})
    assert match(Requirements(gpus=2), "atlas", catalogue(gpu)).environments == ("gpu",)


def test_more_disk_than_a_worker_has_is_told_with_both_numbers():
    large = FARM.environments["large"]
    reason = misfit(Requirements(disk_mib=9000), large)
    assert (reason.code, reason.numbers) == ("larger-than-worker", {"asked_disk_mib": 9000, "worker_disk_mib": 8192})
    assert (
        misfit(Requirements(disk_mib=9000), environment("disk", disk={"mode": "overlay", "pool": "p", "size_gib": 10})) is None
    )


def test_jobs_of_no_vo_are_told_what_was_looked_at_the_rules_the_nearest_vo_and_what_to_write():
    lines = {vo: f"accounting_group = group_{vo}" for vo in ("atlas", "cms")}
    asked = Requirements(unmapped=Unmapped({"AcctGroup": '"grp_atls.prod"'}, ("an accounting group like x",), lines))
    problem = match(asked, "", FARM).problem
    assert problem.sentence == (
        'No rule of the site maps these jobs to a VO: AcctGroup is "grp_atls.prod". The rules are: an accounting group like x. '
        "Did you mean 'atlas'?"
    )
    assert problem.remedy == "write `accounting_group = group_atlas` in the submit file"
    nothing = Requirements(unmapped=Unmapped({"AcctGroup": ""}, (), lines))
    problem = match(nothing, "", FARM).problem
    assert "AcctGroup is not set" in problem.sentence
    assert problem.remedy == (
        "write `accounting_group = group_atlas` in the submit file, or for another VO `accounting_group = group_cms`"
    )
    near = Requirements(unmapped=Unmapped({"AcctGroup": '"theory"'}, (), lines))
    assert match(near, "", FARM).problem.remedy.startswith("ask the farm's administrators for a rule")


def test_a_vo_that_the_farm_does_not_serve_is_told_from_what():
    asked = Requirements(unmapped=Unmapped({"AcctGroup": '"group_atls"'}, (), {"atlas": "accounting_group = atlas"}))
    problem = match(asked, "atls", FARM).problem
    assert problem.sentence == """The farm serves no VO called 'atls' (AcctGroup is "group_atls"). Did you mean 'atlas'?"""
    assert problem.remedy == "write `accounting_group = atlas` in the submit file"
    far = match(replace(asked, unmapped=replace(asked.unmapped, looked_at={})), "xyz", FARM).problem
    assert far.remedy == "write `accounting_group = atlas` in the submit file; or ask the farm's administrators to add VO xyz"


def test_a_shared_environment_is_open_to_the_other_vo():
    assert match(Requirements(wanted="cms-el8"), "atlas", FARM).environments == ("cms-el8",)


def test_an_environment_that_is_not_shared_is_refused_with_what_may_be_used():
    found = match(Requirements(wanted="cms-own"), "atlas", FARM)
    assert (found.environments, found.problem.code) == ((), "not-allowed")
    assert "cms-el8" in found.problem.remedy


def test_an_unknown_environment_is_answered_with_the_nearest_name():
    problem = match(Requirements(wanted="usaul"), "atlas", FARM).problem
    assert (problem.code, problem.sentence) == (
        "unknown-environment",
        "No environment is called 'usaul'. Did you mean 'usual'?",
    )


def test_an_unknown_vo_is_answered_with_the_nearest_name():
    problem = match(Requirements(), "atlsa", FARM).problem
    assert problem.code == "unknown-vo"
    assert "Did you mean 'atlas'?" in problem.sentence


def test_jobs_that_no_rule_maps_are_told_so():
    assert match(Requirements(), "", FARM).problem.code == "no-vo"


def test_a_vo_without_environments_is_told_so():
    assert match(Requirements(), "theory", FARM).problem.code == "no-environment"


def test_too_many_cores_too_much_memory_and_too_much_time_are_told_with_both_numbers():
    large = FARM.environments["large"]
    reasons = [
        misfit(Requirements(cpus=9), large),
        misfit(Requirements(memory_mib=99_999), large),
        misfit(Requirements(walltime_seconds=999_999), large),
    ]
    assert [r.code for r in reasons] == ["larger-than-worker", "larger-than-worker", "longer-than-lifetime"]
    assert reasons[0].numbers == {"asked_cpus": 9, "worker_cpus": 8}
    assert reasons[1].numbers == {"asked_memory_mib": 99_999, "worker_memory_mib": large.slot_memory_mib}
    assert all(r.remedy for r in reasons)


def test_the_clause_that_refused_is_shown():
    requirements = Requirements(accepts=frozenset({"small"}), refusals={"usual": 'OpSysAndVer == "AlmaLinux8"'})
    found = match(requirements, "atlas", FARM)
    assert found.environments == ("small",)
    assert 'OpSysAndVer == "AlmaLinux8"' in found.refused["usual"].sentence


def test_when_nothing_fits_the_worker_that_comes_closest_is_the_one_that_is_shown():
    many_cores = match(Requirements(cpus=16), "atlas", FARM)
    assert many_cores.problem.sentence == (
        "None of the 4 environments of VO atlas fits: asks for 16 cores, a worker of large has 8"
    )
    refused = Requirements(cpus=2, accepts=frozenset({"small"}))
    told = match(
        refused, "theory", catalogue(environment("small", vo="theory", vcpus=1), environment("big", vo="theory", vcpus=8))
    )
    assert "asks for 2 cores, a worker of small has 1" in told.problem.sentence


def test_when_nothing_fits_the_first_reason_is_shown_with_the_count():
    problem = match(Requirements(cpus=100), "atlas", FARM).problem
    assert problem.code == "no-match"
    assert problem.numbers["environments"] == 4


names = st.sampled_from(["small", "large", "usual", "cms-el8", "cms-own", "nobody", ""])
requests = st.builds(
    Requirements,
    wanted=names,
    cpus=st.integers(0, 20),
    memory_mib=st.integers(0, 40_000),
    walltime_seconds=st.none() | st.integers(0, 400_000),
    accepts=st.none() | st.frozensets(names),
)


@given(requests, st.sampled_from(["atlas", "cms", "theory", "other", ""]))
def test_a_match_fits_and_everything_else_has_a_reason(requirements, vo):
    found = match(requirements, vo, FARM)
    assert bool(found.environments) != (found.problem is not None)
    assert not set(found.environments) & set(found.refused)
    for name in found.environments:
        assert vo in FARM.environments[name].vos
        assert misfit(requirements, FARM.environments[name]) is None
    for reason in found.refused.values():
        assert reason.code
        assert reason.remedy
    if not requirements.wanted and vo in FARM.vos:
        assert set(found.environments) | set(found.refused) == {e.name for e in FARM.usable_by(vo)}


@given(requests, st.integers(0, 5), st.integers(0, 5000))
def test_asking_for_less_never_loses_an_environment(requirements, cpus, memory_mib):
    less = Requirements(
        requirements.wanted,
        max(0, requirements.cpus - cpus),
        max(0, requirements.memory_mib - memory_mib),
        requirements.walltime_seconds,
        requirements.accepts,
    )
    assert set(match(requirements, "atlas", FARM).environments) <= set(match(less, "atlas", FARM).environments)


@given(st.text(), st.lists(st.text(max_size=20), max_size=20))
def test_the_nearest_name_is_a_known_one_or_none(name, known):
    assert nearest(name, known) in {*known, ""}


def test_one_wrong_letter_is_always_found():
    for name in FARM.environments:
        for position in range(len(name)):
            assert nearest(name[:position] + "_" + name[position + 1 :], FARM.environments) == name
