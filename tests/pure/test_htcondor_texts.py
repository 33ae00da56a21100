"""The pure parts of the HTCondor connector: clauses, rules for VOs, workers' configuration, hooks, nodes, rows, options."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.htcondor import hooks
from connectors.htcondor.advice import missing_programs
from connectors.htcondor.bindings import classad2
from connectors.htcondor.expressions import (
    clauses,
    config_quoted,
    quoted,
    requirement_quoted,
    vo_expression,
    walltime_expression,
)
from connectors.htcondor.messages import ClusterRow, EndedRun, Slot
from connectors.htcondor.nodes import Idleness, nodes_of, quick_failures
from connectors.htcondor.options import HTCondorOptions, VORule
from connectors.htcondor.rows import merged
from connectors.htcondor.rules import examples, in_words, line
from connectors.htcondor.worker import parameters_of, prototype_of, start_expression, worker_config
from environments.environment import Environment, Network
from environments.requirements import Requirements

OPTIONS = HTCondorOptions(collector="cm.example.org:9618")
ATLAS = Environment(
    name="atlas-el9", vo="atlas", virtualization="xen-pv", vcpus=4, memory_mib=8192, lifetime_seconds=3600, shared_with=("theory",),
    provides={"OpSysAndVer": "AlmaLinux9", "HasCVMFS": True, "Scale": 1.5}, default=True,
)  # fmt: skip

# --- clauses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ("a",)),
        ("(a)", ("a",)),
        ("a && b", ("a ", " b")),
        ("(a && b) && c", ("a ", " b", " c")),
        ("((a) && (b))", ("a", "b")),
        ("a || b && c", ("a || b && c",)),
        ("(a || b) && c", ("a || b", " c")),
        ("a && b ? c : d", ("a && b ? c : d",)),
        ('x == "a && b" && y', ('x == "a && b" ', " y")),
        ('x == "quote \\" && ( still" && y', ('x == "quote \\" && ( still" ', " y")),
        ("f(a && b, {c && d}) && e", ("f(a && b, {c && d}) ", " e")),
    ],
)
def test_requirements_are_split_where_every_part_must_hold(text, parts):
    assert [part.strip() for part in clauses(text)] == [part.strip() for part in parts]


@given(st.text(alphabet="ab()&|?:\"'\\ {}[]", max_size=40))
def test_no_text_confuses_the_splitting(text):
    parts = clauses(text)
    assert parts
    assert len("".join(parts)) <= len(text)


# --- expressions ------------------------------------------------------------------------------------------------------


@given(st.text(max_size=30))
def test_a_quoted_text_cannot_end_its_quotes(text):
    inside = quoted(text)[1:-1]
    assert '"' not in inside.replace("\\\\", "").replace('\\"', "")


def test_the_configuration_keeps_backslashes_as_they_are():
    assert (quoted(r"\d+"), config_quoted(r"\d+")) == (r'"\\d+"', r'"\d+"')


RULES = (
    VORule(group=r"group_([a-z-]+)(\..*)?"),
    VORule(group="babar", vo="BaBar"),
    VORule(group=r"dune\.prod", vo="dune"),
    VORule(owner="(virgo)[0-9]+"),
    VORule(attribute="Community"),
)


@pytest.mark.parametrize(
    ("ad", "vo"),
    [
        ({"AcctGroup": "group_atlas", "AccountingGroup": "group_atlas.alice"}, "atlas"),
        ({"AcctGroup": "group_atlas"}, "atlas"),
        ({"AcctGroup": "group_atlas", "AccountingGroup": "group_atlas.alice.b"}, "atlas"),
        ({"AcctGroup": "Group_Atlas.prod", "AccountingGroup": "group_atlas.PROD.alice"}, "atlas"),
        ({"AcctGroup": "group_atlas", "AccountingGroup": "group_cms.alice"}, "cms"),
        ({"AccountingGroup": "group_cmshi.alice"}, "cmshi"),
        ({"AccountingGroup": "group_cmshi.alice@example.org"}, "cmshi"),
        ({"AccountingGroup": "GROUP_CMSHI"}, "cmshi"),
        ({"AccountingGroup": "babar.alice"}, "babar"),
        ({"AccountingGroup": "Babar"}, "babar"),
        ({"AcctGroup": "babar", "AccountingGroup": "babar.b.c"}, "babar"),
        ({"AccountingGroup": "babarian.alice"}, ""),
        ({"AccountingGroup": "dune.prod.alice"}, "dune"),
        ({"AccountingGroup": "dune.alice"}, ""),
        ({"AcctGroup": 5, "Owner": "virgo12"}, "virgo"),
        ({"Owner": "VIRGO12"}, ""),
        ({"AccountingGroup": "other.alice", "Community": "Ligo"}, "ligo"),
        ({}, ""),
    ],
)
@pytest.mark.parametrize("scope", ["", "TARGET."])
def test_the_first_rule_that_fits_tells_the_vo_of_the_group_the_negotiator_goes_by(ad, vo, scope):
    job, other = classad2.ClassAd(), classad2.ClassAd()
    for name, value in ad.items():
        job[name] = value
    tree = classad2.ExprTree(vo_expression(RULES, scope))
    assert (tree.eval(scope=other, target=job) if scope else tree.eval(scope=job)) == vo


def test_the_rules_are_told_in_words_with_the_line_of_a_submit_file():
    assert in_words((*RULES[:2], RULES[3], VORule(vo="theory"))) == (
        r"an accounting group like group_([a-z-]+)(\..*)? is the VO that stands in its first parentheses",
        "an accounting group like babar is VO babar",
        "an Owner like (virgo)[0-9]+ is the VO that stands in its first parentheses",
        "all others are of VO theory",
    )
    assert [line(*one) for one in examples(RULES, "dune")] == [
        "accounting_group = group_dune", "accounting_group = dune.prod", '+Community = "dune"',
    ]  # fmt: skip
    assert list(examples((VORule(owner="(a)"), VORule(group="(?:x)(y)"), VORule(group="(a).+")), "atlas")) == []


def test_the_first_walltime_attribute_that_is_set_counts():
    expression = walltime_expression({"A": 60, "B": 1}, otherwise="0")
    assert expression == "ifThenElse(isInteger(A) || isReal(A), A * 60, ifThenElse(isInteger(B) || isReal(B), B * 1, 0))"


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({"group": "(", "vo": "a"}, "not a regular expression"),
        ({"group": "a", "owner": "b"}, "cannot stand in one rule"),
        ({}, "needs a vo without a reference"),
        ({"attribute": "no such name"}, "should match pattern"),
        ({"grp": "a"}, "Extra inputs"),
    ],
)
def test_a_wrong_rule_is_refused_in_words(rule, message):
    with pytest.raises(ValidationError, match=message):
        HTCondorOptions(collector="x", vo=[rule])


# --- workers ----------------------------------------------------------------------------------------------------------


def test_a_worker_is_told_what_it_is_and_when_it_retires():
    text = worker_config("atlas-el9-7", ATLAS, OPTIONS, requested_at=1000.4, trust_domain="example.org")
    lines = dict(line.split(" = ", 1) for line in text.splitlines())
    assert lines["AmbientiWorker"] == '"atlas-el9-7"'
    assert lines["AmbientiEnvironment"] == '"atlas-el9"'
    assert lines["AmbientiRetiresAt"] == "4600"
    assert (lines["OpSysAndVer"], lines["HasCVMFS"], lines["Scale"]) == ('"AlmaLinux9"', "true", "1.5")
    assert (lines["NUM_CPUS"], lines["MEMORY"]) == ("4", str(ATLAS.slot_memory_mib))
    assert int(lines["MAXJOBRETIREMENTTIME"]) > ATLAS.lifetime_seconds
    assert lines["SEC_USE_FAMILY_SESSION"] == "False"
    assert lines["NETWORK_HOSTNAME"] == "atlas-el9-7.example.org"
    assert "stringListMember(" in lines["START"]
    assert '"atlas,theory"' in lines["START"]
    assert set(lines["STARTD_ATTRS"].split()) >= {"AmbientiWorker", "AmbientiEnvironment", "OpSysAndVer", "HasCVMFS", "Scale"}


def test_the_gpus_of_an_environment_are_expected_of_a_worker_and_told_by_itself():
    environment = ATLAS.model_copy(update={"provides": {"GPUs": 2, "Lane": "a"}})
    assert dict(prototype_of(environment, OPTIONS, "$CondorVersion: 24 $").attributes)["GPUs"] == 2
    text = worker_config("w", environment, OPTIONS, requested_at=0, trust_domain="d")
    assert "Lane" in text
    assert "GPUs" not in text, "all of them would look free for ever, or be there where none is"


def test_no_attribute_of_an_environment_outranks_what_a_worker_must_have():
    environment = ATLAS.model_copy(update={"provides": {"allow_administrator": "*", "num_cpus": 99}})
    text = worker_config("w", environment, OPTIONS, requested_at=0, trust_domain="d")
    last = dict(line.lower().split(" = ", 1) for line in text.splitlines())  # of two lines of one name the last holds
    assert (last["num_cpus"], last["allow_administrator"]) == ("4", "condor@d")


@pytest.mark.parametrize(
    ("kind", "callback", "through_the_collector"),
    [("user", "auto", True), ("libvirt", "auto", True), ("bridge", "auto", False), ("host", "auto", False), ("bridge", "always", True), ("user", "never", False)],
)  # fmt: skip
def test_workers_on_private_networks_are_reached_through_the_collector(kind, callback, through_the_collector):
    environment = ATLAS.model_copy(update={"network": Network(kind=kind)})
    options = OPTIONS.model_copy(update={"callback": callback})
    text = worker_config("w", environment, options, requested_at=0, trust_domain="d")
    assert ("CCB_ADDRESS" in text) is through_the_collector


def test_further_lines_of_the_site_come_last():
    options = OPTIONS.model_copy(update={"worker_config": "SINGULARITY = /usr/bin/apptainer"})
    text = worker_config("w", ATLAS, options, requested_at=0, trust_domain="d")
    assert text.endswith("SINGULARITY = /usr/bin/apptainer\n")


def test_a_prototype_and_its_worker_promise_the_same():
    prototype = dict(prototype_of(ATLAS, OPTIONS, "$CondorVersion: 24 $").attributes)
    assert (prototype["Cpus"], prototype["Memory"]) == (ATLAS.vcpus, ATLAS.slot_memory_mib)
    assert prototype["OpSysAndVer"] == "AlmaLinux9"


@pytest.mark.parametrize(
    ("named", "starts"),
    [({}, True), ({"WantEnvironment": "atlas-el9"}, True), ({"WantEnvironment": "Atlas-EL9"}, False), ({"WantEnvironment": "cms"}, False)],
)  # fmt: skip
def test_a_worker_takes_the_jobs_that_named_its_environment_to_the_letter_as_the_decision_does(named, starts):
    start = f"Requirements = {start_expression(ATLAS, OPTIONS)}"  # in the old syntax, as a configuration has it
    worker = classad2.parseOne(start, classad2.ParserType.Old)
    worker.update({"AmbientiEnvironment": ATLAS.name, "AmbientiRetiresAt": 2**40})
    job = classad2.ClassAd({"AcctGroup": "group_atlas", **named})
    assert job.matches(worker) is starts


def test_parameters_hold_what_is_known_and_nothing_else():
    assert parameters_of("w", ATLAS, OPTIONS, None) == {
        "worker": "w", "environment": "atlas-el9", "pool": "cm.example.org:9618", "network": "libvirt",
    }  # fmt: skip
    assert parameters_of("w", ATLAS, OPTIONS, "10.0.2.16/24")["address"] == "10.0.2.16/24"


@given(st.text(st.characters(categories=("L", "N", "P", "S", "Zs")) | st.sampled_from("$()[]\\\"'#"), max_size=60))
def test_nothing_in_a_text_is_left_that_the_configuration_of_htcondor_would_expand(text):
    if not text.isprintable():
        with pytest.raises(ValueError, match="cannot stand in HTCondor's configuration"):
            config_quoted(text)
        return
    for written in (config_quoted(text), requirement_quoted(text)):
        assert not re.search(r"\$(\$|\(|\[|[A-Za-z0-9_]+\()", written)
        assert "\n" not in written
    if not re.search(r"\$.|\\$", text):
        escaped = text.replace('"', '\\"')
        assert config_quoted(text) == f'"{escaped}"', "what means nothing to it stays a literal"


@pytest.mark.parametrize("name", ["if", "ENDIF", "use", "Error", "target"])
def test_an_attribute_may_not_be_called_like_a_word_of_the_configuration(name):
    with pytest.raises(ValidationError, match="is a word of the language"):
        Environment(name="a", vo="atlas", virtualization="lxc", provides={name: 1})


# --- hooks ------------------------------------------------------------------------------------------------------------


def test_hooks_are_the_same_for_the_same_site_whatever_the_order():
    other = Environment(name="cms-el8", vo="cms", virtualization="lxc")
    options = {"collector": "x"}
    assert hooks(options, (ATLAS, other), ("atlas", "cms")) == hooks(options, (other, ATLAS), ("cms", "atlas"))


def test_hooks_of_a_site_without_environments_refuse_every_name():
    text = hooks({"collector": "x"}, (), ("atlas",))
    assert 'MY.AmbientiEnvironments, ""))' in text


def test_programs_that_will_be_needed_are_looked_for(tmp_path):
    program = tmp_path / "condor_drain"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    options = HTCondorOptions(collector="x", token_create="/no/such/condor_token_create", drain=str(program))
    (said,) = missing_programs(options)
    assert said.startswith("there is no program /no/such/condor_token_create here (token_create in the options")


# --- nodes ------------------------------------------------------------------------------------------------------------


def slot(worker="w", **more):
    values = {
        "worker": worker, "name": f"slot1@{worker}", "machine": worker, "dynamic": False, "state": "Unclaimed", "cpus": 4,
        "memory_mib": 4000, "total_cpus": 4, "total_memory_mib": 4000, "draining": False, "dynamic_slots": 0, "job_starts": 0,
        "recent_job_starts": 0, "started_at": 100.0, "told_at": 200.0, **more,
    }  # fmt: skip
    return Slot(**values)


def test_a_worker_that_never_had_a_job_is_idle_since_its_start():
    (node,), _ = nodes_of([slot()], {}, {}, 500.0)
    assert (node.idle_since, node.registered_at, node.claimed) == (100.0, 100.0, False)


def test_a_worker_that_had_jobs_is_idle_since_it_was_first_seen_so():
    (node,), remembered = nodes_of([slot(job_starts=3)], {}, {}, 500.0)
    assert node.idle_since == 500.0
    (node,), remembered = nodes_of([slot(job_starts=3)], remembered, {}, 600.0)
    assert node.idle_since == 500.0
    (node,), _ = nodes_of([slot(job_starts=4)], remembered, {}, 700.0)
    assert node.idle_since == 700.0, "a job ran in between"


def test_a_claimed_slot_is_work_even_before_its_job_starts():
    claimed = slot(dynamic=True, state="Claimed", cpus=1, memory_mib=500)
    (node,), remembered = nodes_of([slot(cpus=3, dynamic_slots=1), claimed], {"w": Idleness(100.0, 0)}, {}, 500.0)
    assert (node.claimed, node.idle_since, node.jobs, node.free_cpus, node.cpus) == (True, None, (), 3, 4)
    assert remembered == {}


@pytest.mark.parametrize(
    ("told", "lingers"),
    [
        ({"state": "Preempting", "activity": "Vacating", "job": "7.0"}, ("Preempting/Vacating", 400.0, 550.0, "7.0")),
        ({"state": "Preempting", "activity": "Killing", "job": "7.0"}, ("Preempting/Killing", 400.0, 550.0, "7.0")),
        ({"state": "Preempting", "activity": "Vacating", "vacate_seconds": None}, ("Preempting/Vacating", 400.0, 1030.0, "")),
        ({"state": "Claimed", "activity": "Idle"}, ("Claimed/Idle", 400.0, 1600.0, "")),
        ({"state": "Matched", "activity": "Idle"}, ("Matched/Idle", 400.0, 520.0, "")),
        ({"state": "Claimed", "activity": "Busy"}, ("Claimed/Busy", 400.0, None, "")),
        ({"state": "Preempting", "activity": "Vacating", "entered_at": None}, ("Preempting/Vacating", None, None, "")),
    ],
    ids=lambda value: "/".join(str(part) for part in value.values()) if isinstance(value, dict) else "",
)
def test_a_slot_that_is_held_without_a_job_by_right_lingers_until_htcondor_should_have_ended_that(told, lingers):
    values = {"entered_at": 400.0, "vacate_seconds": 120, "dynamic": True, "name": "slot1_1@w", **told}
    (node,), _ = nodes_of([slot(dynamic_slots=1), slot(**values)], {}, {}, 500.0)
    assert (node.jobs, node.claimed, node.idle_since) == ((), True, None)
    (one,) = node.lingering
    assert (one.slot, (one.state, one.since, one.until, one.job)) == ("slot1_1", lingers)


@pytest.mark.parametrize(("activity", "suspended"), [("Busy", False), ("Retiring", False), ("Suspended", True)])
def test_a_job_in_a_claimed_slot_runs_by_right_also_while_it_is_suspended_or_retires(activity, suspended):
    running = slot(dynamic=True, state="Claimed", activity=activity, job="7.0", entered_at=1.0, vacate_seconds=0)
    (node,), _ = nodes_of([slot(dynamic_slots=1), running], {}, {}, 5e9)
    assert ([(job.job, job.suspended) for job in node.jobs], node.lingering) == ([("7.0", suspended)], ())


def test_while_a_dynamic_slot_is_not_told_of_nothing_is_said_to_linger():
    left = slot(dynamic=True, state="Preempting", activity="Vacating", entered_at=1.0)
    (node,), _ = nodes_of([slot(dynamic_slots=2), left], {}, {}, 5e9)
    assert (node.claimed, node.lingering) == (True, ())


def test_dynamic_slots_without_their_machine_are_no_worker():
    nodes, _ = nodes_of([slot(dynamic=True, state="Claimed")], {}, {}, 500.0)
    assert nodes == ()


def test_only_an_unbroken_series_of_quick_failures_counts():
    def run(at, seconds, *, failed, machine="m"):
        return EndedRun(machine, at, seconds, failed)

    assert quick_failures([], 20) == {}
    assert quick_failures([run(1, 1, failed=True), run(2, 1, failed=True)], 20) == {"m": 2}
    assert quick_failures([run(2, 1, failed=True), run(1, 1, failed=False), run(3, 1, failed=True)], 20) == {"m": 2}
    assert quick_failures([run(1, 1, failed=True), run(2, 900, failed=True)], 20) == {"m": 0}
    assert quick_failures([run(1, 1, failed=True), run(2, 1, failed=False, machine="n")], 20) == {"m": 1, "n": 0}


# --- rows -------------------------------------------------------------------------------------------------------------


def row(key="k", **more):
    values = {
        "key": key, "vo": "atlas", "requirements": Requirements(), "idle": 1, "running": 0, "held": 0, "first_job": "1.0", **more,
    }  # fmt: skip
    return ClusterRow(**values)


def test_equal_rows_of_several_schedds_are_added_up():
    (cluster,) = merged(
        "pool", {"a": [row(idle=2, oldest_idle_at=50.0)], "b": [row(idle=3, running=1, oldest_idle_at=40.0, first_job="9.1")]}
    )
    assert (cluster.key, cluster.idle, cluster.running, cluster.oldest_idle_at) == ("pool:k", 5, 1, 40.0)
    assert cluster.example_job == "9.1@b"


def test_with_one_schedd_jobs_are_called_by_their_number_alone():
    (cluster,) = merged("pool", {"a": [row()]})
    assert cluster.example_job == "1.0"
