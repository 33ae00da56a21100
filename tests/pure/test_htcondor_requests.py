"""Request clusters: whatever is put into one row, each of its jobs alone would be told the same."""

import inspect
import re
from collections import Counter
from dataclasses import asdict, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from connectors.htcondor import wire
from connectors.htcondor.bindings import classad2
from connectors.htcondor.companion_server import CompanionServer
from connectors.htcondor.expressions import vo_attributes, vo_expression, walltime_expression
from connectors.htcondor.matching import Judge
from connectors.htcondor.messages import Located, QueueAnswer, Setting
from connectors.htcondor.options import HTCondorOptions, VORule
from connectors.htcondor.queue import Queue
from connectors.htcondor.schedds import KnownSchedds
from connectors.htcondor.slots import ATTRIBUTES, slot_of
from connectors.htcondor.worker import prototype_of
from environments.environment import Disk, Environment
from environments.matching import Catalogue, misfit
from environments.requirements import Amounts, Chooser
from scheduler.decide.submit import in_submit_file
from scheduler.model.ports import WrongNameError
from scheduler.model.queues import RequestCluster

OPTIONS = HTCondorOptions(collector="x")
SMALL = Environment(
    name="small", vo="atlas", virtualization="lxc", vcpus=2, memory_mib=2300, provides={"Lane": "lxc"}, default=True
)
BIG = Environment(
    name="big",
    vo="atlas",
    virtualization="qemu",
    vcpus=8,
    memory_mib=20000,
    disk=Disk(mode="overlay", size_gib=50),
    provides={"Lane": "qemu", "GPUs": 1},
)
CMS = Environment(name="cms", vo="cms", virtualization="lxc", vcpus=4, memory_mib=4000)
ENVIRONMENTS = (SMALL, BIG, CMS)
SETTING = Setting(
    collector="x",
    timeout_seconds=1,
    vo_expression=vo_expression(OPTIONS.vo),
    vo_attributes=vo_attributes(OPTIONS.vo),
    walltime_expression=walltime_expression(OPTIONS.walltime),
    walltime_attributes=tuple(OPTIONS.walltime),
    history_seconds=60,
)
FRESH = {
    "AcctGroup": '"group_atlas"',
    "AccountingGroup": '"group_atlas.alice"',
    "RequestCpus": "1",
    "RequestMemory": "ifthenelse(MemoryUsage isnt undefined,MemoryUsage,(ImageSize + 1023) / 1024)",
    "RequestDisk": "DiskUsage",
    "DiskUsage": "45",
    "ImageSize": "45",
    "JobStatus": "1",
    "Requirements": '(TARGET.Arch == "X86_64") && (TARGET.Disk >= RequestDisk) && (TARGET.Memory >= RequestMemory)',
}


def judge():
    one = Judge(SETTING)
    one.know(tuple(prototype_of(environment, OPTIONS, "$CondorVersion: 23.9.6 $") for environment in ENVIRONMENTS))
    return one


def an_ad(**texts):
    ad = classad2.ClassAd()
    for name, text in {**FRESH, **texts}.items():
        if text is not None:
            ad[name] = classad2.ExprTree(text)
    return ad


def rows(*ads):
    """Return the rows that a queue makes of these jobs, each a group of its own, as its schedd might tell them."""
    queue = Queue(judge())
    for number, ad in enumerate(ads):
        ad["JobCount"], ad["JobIds"] = 1, f"{number}.0"
    return queue.rows(queue.alike(ads))


def asked(**texts):
    (row,) = rows(an_ad(**texts))
    assert not row.problem, row.problem
    return row.requirements


# --- the cases of the field ---------------------------------------------------------------------------------------------


def test_a_job_that_once_used_much_is_not_one_row_with_fresh_ones():
    retried = {"ResidentSetSize": "22500000", "MemoryUsage": "((ResidentSetSize + 1023) / 1024)"}
    found = rows(an_ad(**retried), *(an_ad() for _ in range(20)))
    assert {(row.requirements.memory_mib, row.idle) for row in found} == {(21973, 1), (1, 20)}
    assert {row.requirements.accepts for row in found} == {frozenset(), frozenset({"small", "big"})}


@pytest.mark.parametrize("expression", ["TARGET.TotalCpus ?: JobCpus", "ifThenElse(isUndefined(TotalCpus), 1, TotalCpus)"])
def test_an_amount_that_depends_on_the_worker_is_told_of_each(expression):
    found = asked(RequestCpus=expression)
    assert {name: found.of(name).cpus for name in ("small", "big")} == {"small": 2, "big": 8}


def test_an_amount_without_a_value_anywhere_is_a_malformed_job_and_not_one_core():
    for name, text in {"RequestCpus": "TARGET.NoSuch", "RequestMemory": "undefined", "RequestDisk": None}.items():
        (row,) = rows(an_ad(**{name: text}))
        assert row.problem.startswith(name)


@pytest.mark.parametrize(
    ("texts", "problem"),
    [
        ({"RequestMemory": '"2048"'}, 'RequestMemory is "2048", not an amount'),
        ({"RequestMemory": "-5"}, "RequestMemory is -5, not an amount"),
        ({"RequestMemory": "1E+300"}, "RequestMemory is 1.000000000000000E+300, not an amount"),
        ({"RequestDisk": "9223372036854775807"}, "RequestDisk is 9223372036854775807, not an amount"),
        ({"RequestCpus": "{ 1,2 }"}, "RequestCpus is { 1, 2 }, not an amount"),
        ({"WantEnvironment": '{ "big","small" }'}, 'WantEnvironment is { "big", "small" }, not the name of an environment'),
        # A worker takes a job that names nothing only where the attribute is not set at all.
        ({"WantEnvironment": '""'}, "WantEnvironment is empty, not the name of an environment"),
        ({"wantenvironment": "strcat()"}, "WantEnvironment is empty, not the name of an environment"),
    ],
)
def test_what_no_worker_could_ever_take_is_told_as_malformed_in_one_line(texts, problem):
    (row,) = rows(an_ad(**texts))
    assert (row.problem, row.requirements.accepts) == (problem, None)


_NEVER_EVALUATED = {
    "looks at itself": {"A": "MY.A"},
    "goes in a circle": {"A": "B", "B": "C || true", "C": "A"},
    "is too deep": {"A": " && ".join(["true"] * 500)},
    "is a sum too deep": {"A": "+".join(["1"] * 3000)},
}
_LOOKED_AT = ("Requirements", "RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs", "WantEnvironment")
_LOOKED_AT += ("AllowedJobDuration", "AcctGroup", "AccountingGroup")


@pytest.mark.parametrize("texts", _NEVER_EVALUATED.values(), ids=_NEVER_EVALUATED)
@pytest.mark.parametrize("name", _LOOKED_AT)
@pytest.mark.parametrize("direct", [True, False])
def test_a_job_that_nobody_can_evaluate_spoils_no_other(name, texts, direct):
    hostile = {**texts, name: texts["A"].replace("A", name) if direct else "A"}
    good, bad = rows(an_ad(RequestDisk="46"), an_ad(RequestDisk="47")), rows(an_ad(), an_ad(**hostile), an_ad())
    assert [row.idle for row in good] == [2]
    assert sum(row.idle for row in bad) == 3
    assert good[0].key in {row.key for row in bad}


def test_a_job_whose_requirements_come_back_to_themselves_is_told_so():
    (row,) = rows(an_ad(Requirements="MY.Requirements"))
    assert row.requirements.refusals == {"small": "MY.Requirements", "big": "MY.Requirements"}


_NO_AMOUNTS = {
    "no number": 'real("NaN")',
    "infinite": 'real("INF")',
    "huge": "1e308",
    "negative": "-5",
    "looks at itself": "MY.Cpus",
    "too deep": "+".join(["1"] * 3000),
}


@pytest.mark.parametrize("text", _NO_AMOUNTS.values(), ids=_NO_AMOUNTS)
@pytest.mark.parametrize("name", [*ATTRIBUTES, "Requirements"])
def test_a_worker_that_tells_nonsense_of_itself_hides_no_other(name, text):
    """Whoever is root in a worker may have it advertise anything."""
    ad = classad2.ClassAd()
    ad["AmbientiWorker"], ad["Cpus"], ad["Memory"], ad["JobId"] = "w-1", 2, 1000, "1.0"
    ad[name] = classad2.ExprTree(text)
    slot = slot_of(ad, judge())
    amounts = [value for value in (asdict(slot) if slot else {}).values() if isinstance(value, int | float)]
    assert all(0 <= value < 2**63 for value in amounts)


def test_a_walltime_without_end_is_longer_than_any_worker_lives_and_can_be_read():
    assert asked(MaxRuntime="1E+300").walltime_seconds == 10**15


def test_an_amount_that_has_a_value_in_some_environments_only_is_a_refusal_of_the_others():
    found = asked(RequestCpus='ifThenElse(TARGET.Lane == "qemu", 4, undefined)')
    assert found.accepts == {"big"}
    assert found.of("big").cpus == 4
    assert found.refusals["small"].startswith("RequestCpus is ifThenElse")


def test_what_submission_writes_by_itself_is_understood():
    found = asked()
    assert found.amounts == Amounts(cpus=1, memory_mib=1, disk_mib=1, gpus=0, walltime_seconds=None)


def test_jobs_that_say_the_same_in_other_words_are_one_row():
    words = ({"RequestCpus": "2"}, {"RequestCpus": "1 + 1"}, {"RequestCpus": "JobCpus", "JobCpus": "2"})
    (row,) = rows(*(an_ad(**one) for one in words))
    assert (row.idle, row.requirements.cpus) == (3, 2)


def test_disk_and_gpus_are_amounts():
    found = asked(RequestGPUs="2", RequestDisk="5 * 1024 * 1024 + 1")
    assert (found.gpus, found.disk_mib) == (2, 5121)


# What condor_submit of HTCondor 23 makes of `require_gpus = Capability >= 8.0` and `gpus_minimum_memory = 20G`.
GPU_JOB = {
    "RequestGPUs": "1",
    "RequireGPUs": "Capability >= 8.0 && GlobalMemoryMb >= 20480",
    "Requirements": "(countMatches(MY.RequireGPUs,TARGET.AvailableGPUs) >= RequestGPUs) && (TARGET.Memory >= RequestMemory)",
}


@pytest.mark.parametrize(
    ("provides", "says"),
    [
        ({"GPUs": 1, "GPUs_Capability": 8.6, "GPUs_GlobalMemoryMb": 24576}, ""),
        ({"GPUs": 2, "gpus_capability": 8.6, "GPUs_GlobalMemoryMb": 24576}, ""),
        ({"GPUs": 1, "GPUs_Capability": 7.5, "GPUs_GlobalMemoryMb": 24576}, "the environment tells Capability = 7.5, GlobalMemoryMb = 24576"),
        ({"GPUs": 1, "GPUs_Capability": 8.6}, "the environment tells Capability = 8.6"),
        ({"GPUs": 1}, "the environment tells nothing of its GPUs"),
        ({"GPUs_Capability": 8.6, "GPUs_GlobalMemoryMb": 24576}, "the environment tells nothing of its GPUs"),
        ({}, "the environment tells nothing of its GPUs"),
    ],
)  # fmt: skip
def test_what_gpus_a_job_requires_is_matched_with_what_an_environment_tells_of_its_gpus(provides, says):
    environment = BIG.model_copy(update={"provides": provides})
    judged = Judge(SETTING)
    judged.know((prototype_of(environment, OPTIONS, "$CondorVersion: 23.9.6 $"),))
    found = judged.judge(judged.ask(an_ad(**GPU_JOB))).requirements
    if not says:
        assert (found.accepts, found.refusals, found.gpus) == (frozenset({"big"}), {}, 1)
        return
    assert found.accepts == frozenset()
    asked_for = "require_gpus asks for Capability >= 8 && GlobalMemoryMb >= 20480"
    assert found.refusals["big"] == f"{asked_for}, {says}"


@pytest.mark.parametrize(
    ("provides", "gpus", "says"),
    [
        ({"GPUs": 1, "GPUs_Capability": 7.5}, "1", "Change `require_gpus`, which no environment of your VO meets: `require_gpus asks for "),
        ({"GPUs": 2, "GPUs_Capability": 8.6, "GPUs_GlobalMemoryMb": 24576}, "4", "Write `request_gpus = 2` or less: that fits big."),
    ],
)  # fmt: skip
def test_why_says_which_line_of_the_submit_file_asks_for_other_gpus(provides, gpus, says):
    environment = BIG.model_copy(update={"provides": provides})
    judged = Judge(SETTING)
    judged.know((prototype_of(environment, OPTIONS, "$CondorVersion: 23.9.6 $"),))
    found = judged.judge(judged.ask(an_ad(**GPU_JOB | {"RequestGPUs": gpus}))).requirements
    cluster = RequestCluster("c", "pool", "atlas", found, idle=1)
    assert in_submit_file(misfit(found, environment), cluster, Catalogue({"big": environment}, {})).startswith(says)


def test_a_job_that_avoids_its_last_machine_is_judged_with_it():
    found = rows(
        *(an_ad(Requirements="TARGET.Machine =!= LastRemoteHost", LastRemoteHost=host) for host in (None, '"a"', '"b"')),
        an_ad(Requirements="LastRemoteHost =?= undefined", LastRemoteHost='"a"'),
    )
    assert sorted((row.idle, len(row.requirements.accepts)) for row in found) == [(1, 0), (3, 2)]


def test_what_changes_with_the_clock_is_judged_at_every_look():
    one = judge()
    ask = one.ask(an_ad(Requirements="time() > 100 && TARGET.Cpus > 2"))
    assert ask.moving
    assert one.judge(ask).requirements.accepts == {"big"}


# --- who chose ----------------------------------------------------------------------------------------------------------


def test_the_others_are_judged_as_if_they_had_been_named():
    found = asked(
        WantEnvironment='"small"', Requirements="TARGET.AmbientiEnvironment =?= MY.WantEnvironment && TARGET.Cpus > 4"
    )
    assert (found.wanted, found.chosen_by, found.accepts) == ("small", Chooser.JOB, {"big"})


def test_a_default_of_the_hook_is_known_as_one_and_one_that_was_outgrown_is_none():
    mark = "RequestMemory <= 2070"
    given = asked(WantEnvironment='"small"', AmbientiDefault=mark)
    outgrown = asked(WantEnvironment='"small"', AmbientiDefault=mark, RequestMemory="4000")
    assert (given.wanted, given.chosen_by) == ("small", Chooser.HOOK)
    assert (outgrown.wanted, outgrown.chosen_by, outgrown.accepts) == ("", None, {"big"})


# --- each row against each of its jobs alone --------------------------------------------------------------------------------


def either(*texts):
    return st.sampled_from(texts)


ADS = st.fixed_dictionaries(
    {},
    optional={
        "RequestCpus": either(
            "1", "4", "2.5", "JobCpus", "TARGET.TotalCpus ?: JobCpus", "ifThenElse(isUndefined(TARGET.TotalCpus), 1, TotalCpus)",
            "undefined", "NumJobStarts + 1", '"two"', "-1",
        ),
        "RequestMemory": either(
            "500", "4000", "2000 * RequestCpus", "TARGET.TotalMemory / 2", "ifThenElse(isUndefined(MemoryUsage), 100, MemoryUsage * 3 / 2)",
            "undefined", None,
        ),
        "RequestDisk": either("1000", "20000000", "DiskUsage * 2", "TARGET.NoSuch ?: DiskUsage"),
        "RequestGPUs": either("0", "1", "undefined", "TARGET.GPUs"),
        "MemoryUsage": either("((ResidentSetSize + 1023) / 1024)"),
        "ResidentSetSize": either("1000", "1250000", "22500000"),
        "DiskUsage": either("10", "12500000"),
        "ImageSize": either("100", "3000000", None),
        "JobCpus": either("2", "8"),
        "NumJobStarts": either("0", "3"),
        "LastRemoteHost": either('"slot1@a"', '"slot1@b"'),
        "ProcId": either("0", "1", "2"),
        "Likes": either('"lxc"', '"qemu"'),
        "MaxRuntime": either("3600", "600 * NumJobStarts", '"long"'),
        "WantEnvironment": either('"small"', '"big"', '"none"', "undefined", "5"),
        "AmbientiDefault": either("RequestMemory <= 2070", "false"),
        "AcctGroup": either('"group_cms"', '"group_nobody"', None),
        "AccountingGroup": either('"group_cms.alice"', '"group_atlas.bob"', None),
        "Owner": either('"alice"', '"bob"'),
        "JobStatus": either("1", "2", "5"),
        "Requirements": either(
            "true", "TARGET.Lane == MY.Likes", "Lane == Likes", "ProcId % 2 == 0", "TARGET.Machine =!= LastRemoteHost && TARGET.Cpus >= RequestCpus",
            "isUndefined(LastRemoteHost) || NumJobStarts < 2", "TARGET.AmbientiEnvironment =?= MY.WantEnvironment && TARGET.Memory > 1000",
            "TARGET.Disk >= RequestDisk && MemoryUsage =?= undefined", None,
        ),
    },
)  # fmt: skip


def alone(texts):
    """Judge one job by evaluating its whole ad: VO, problem or not, named environment, amounts and verdict in each environment."""
    ad, slots = an_ad(**texts), {}
    for environment in ENVIRONMENTS:
        slots[environment.name] = classad2.ClassAd()
        for name, value in (
            *prototype_of(environment, OPTIONS, "$CondorVersion: 23.9.6 $").attributes,
            ("AmbientiEnvironment", environment.name),
        ):
            slots[environment.name][name] = value
    named = ad.get("WantEnvironment")
    let_go = "AmbientiDefault" in ad and ad.eval("AmbientiDefault") is False
    named = 5 if named == 5 else named if isinstance(named, str) and not let_go else ""
    vo = str(re.sub(r"^group_([a-z]+).*", r"\1", str(ad.get("AccountingGroup") or ad.get("AcctGroup") or "")))
    if named == 5:
        return vo, "bad"
    told = {}
    for environment in ENVIRONMENTS:
        if vo not in environment.vos and environment.name != named:
            continue
        job, slot = classad2.ClassAd(str(ad)), slots[environment.name]
        if named:
            job["WantEnvironment"] = environment.name
        amounts = [
            classad2.ExprTree(name).eval(scope=job, target=slot) for name in ("RequestCpus", "RequestMemory", "RequestDisk", "RequestGPUs")
        ]  # fmt: skip
        numbers = [value if type(value) in (int, float) and value >= 0 else None for value in amounts]
        accepted = "Requirements" not in job or slot.matches(job)
        told[environment.name] = None if None in numbers[:3] else (tuple(numbers), accepted)
    return vo, named, told


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(ADS, min_size=1, max_size=8))
def test_every_job_of_a_row_would_be_told_the_same_alone(jobs):
    found = rows(*(an_ad(**texts) for texts in jobs))
    one = judge()
    members = Counter()
    for texts in jobs:
        judged = one.judge(one.ask(an_ad(**texts)))
        (row,) = (row for row in found if row.key == judged.key)
        members[row.key] += 1
        assert (row.vo, row.requirements, row.problem) == (judged.vo, judged.requirements, judged.problem)
        truth = alone(texts)
        assert row.vo == truth[0]
        if truth[1] == "bad":
            assert row.problem
            continue
        if row.problem:
            assert not any(truth[2].values())
            continue
        assert row.requirements.wanted == truth[1]
        for name, expected in truth[2].items():
            if expected is None:
                assert name not in row.requirements.accepts
                continue
            (cpus, memory, disk, gpus), accepted = expected
            assert (name in row.requirements.accepts) == accepted
            told = row.requirements.of(name)
            assert told.cpus - 1 < max(1, cpus) <= told.cpus
            assert told.memory_mib - 1 < max(1, memory) <= told.memory_mib
            assert told.disk_mib - 1 < disk / 1024 <= told.disk_mib
            assert told.gpus == (gpus or 0)
    assert members == {row.key: row.idle + row.running + row.held for row in found}


# --- jobs of no VO ------------------------------------------------------------------------------------------------------


def test_the_line_that_says_a_vo_is_tried_by_the_rules_themselves():
    rules = (VORule(group=r"group_([a-z-]+)(\..*)?"), VORule(group=r"dotted", vo="vo.cta.in2p3.fr"))
    one = Judge(replace(SETTING, vo_expression=vo_expression(rules), vo_rules=rules))
    vos = ("atlas", "vo.cta.in2p3.fr", "vo.other.fr")
    one.know(tuple(prototype_of(an_environment(f"e{n}", vo), OPTIONS, "") for n, vo in enumerate(vos)))
    told = one.judge(one.ask(an_ad(AcctGroup='"grp_atlas"', AccountingGroup='"grp_atlas.alice"'))).requirements.unmapped
    assert told.lines == {"atlas": "accounting_group = group_atlas", "vo.cta.in2p3.fr": "accounting_group = dotted"}
    assert told.looked_at == {"AccountingGroup": '"grp_atlas.alice"', "AcctGroup": '"grp_atlas"'}
    assert told.rules[1] == "an accounting group like dotted is VO vo.cta.in2p3.fr"


def an_environment(name, vo):
    return Environment(name=name, vo=vo, virtualization="lxc")


def test_what_a_companion_is_told_and_what_it_answers_pass_the_line_unchanged():
    setting = replace(SETTING, vo_rules=OPTIONS.vo)
    assert wire.read_setting(wire.write(setting)) == setting
    found = rows(
        an_ad(WantEnvironment='"small"', RequestCpus="TARGET.TotalCpus ?: 1"),
        an_ad(AcctGroup='"x"', AccountingGroup='"x.alice"'),
    )
    answer = QueueAnswer(tuple(found), exact=True, how="by-autocluster")
    assert wire.read_answer("queue", wire.write_answer(answer)) == answer


def test_everything_that_a_companion_can_be_asked_can_pass_the_line():
    functions = {name: one for name, one in vars(CompanionServer).items() if not name.startswith("_")}
    assert set(functions) == set(wire.ANSWERS)
    asked = {name for one in functions.values() for name in inspect.signature(one).parameters} - {"self"}
    assert asked == set(wire.ARGUMENTS)


def test_a_job_of_a_schedd_that_nobody_knows_is_asked_for_by_a_wrong_name(tmp_path):
    known = KnownSchedds("pool", tmp_path / "schedds.json", ())
    alma, nova = Located("alma", ""), Located("nova", "")
    assert known.sort_named([alma, nova], 1.0, "nova", "look for job 1.0@nova") == ([nova], [])
    assert known.sort_named([nova], 2.0, "alma", "look for job 1.0@alma") == ([], ["alma"]), "it was heard of: it is missed"
    for name, says in (("novae", "did you mean nova?"), ("x", "one of: nova, alma")):
        with pytest.raises(WrongNameError) as found:
            known.sort_named([nova], 3.0, name, f"look for job 1.0@{name}")
        assert found.value.answer == f"no schedd is called {name!r}; {says}"
    assert (known.knows("alma"), known.knows("nix")) == (True, False)
