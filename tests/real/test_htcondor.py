"""The queue of a real HTCondor pool as the connector reads it."""

import os
import signal
import time

import pytest

from connectors.htcondor.history import Ends
from connectors.htcondor.matching import Judge
from connectors.htcondor.messages import Question, Setting
from environments.requirements import Chooser
from scheduler.model.ports import SourceError
from tests.real.htcondor_pool import ATLAS, ATLAS_OLD, CMS, ENVIRONMENTS, connected, only, rows, wait_until, worker_of

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def system(session_pool):
    with connected(session_pool) as system:
        yield system


# --- demand -----------------------------------------------------------------------------------------------------------


def test_jobs_that_ask_for_the_same_are_one_row_whoever_submitted_them(pool, system):
    pool.sleep(environment="atlas-el9", count=40)
    pool.sleep(environment="atlas-el9", count=5, user="bob")
    reading = system.read(ENVIRONMENTS, cheap=False)
    found = only(reading)
    assert (found.idle, found.running, found.held, found.vo, found.batch_system) == (45, 0, 0, "atlas", "pool")
    assert found.requirements.wanted == "atlas-el9"
    assert (found.requirements.cpus, found.requirements.memory_mib) == (1, 32)
    assert found.requirements.accepts == {"atlas-el9", "atlas-slc6"}
    assert found.requirements.chosen_by is Chooser.JOB
    assert reading.complete
    assert reading.exact
    assert not reading.warnings


def test_an_empty_queue_is_an_answer(pool, system):
    reading = system.read(ENVIRONMENTS, cheap=False)
    assert (reading.clusters, reading.nodes, reading.complete) == ((), (), True)


@pytest.mark.parametrize(
    ("words", "differs"),
    [
        ({"request_cpus": 2}, "cores"),
        ({"request_memory": 900}, "memory"),
        ({"environment": "atlas-slc6"}, "the environment"),
        ({"vo": "cms"}, "the VO"),
        ({"requirements": 'TARGET.OpSysAndVer == "SL6"'}, "requirements"),
        ({"+MaxRuntime": 3600}, "walltime"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_jobs_that_ask_for_something_else_are_another_row(pool, system, words, differs):
    pool.sleep()
    pool.sleep(**words)
    found = rows(system.read(ENVIRONMENTS, cheap=False))
    assert len(found) == 2, differs
    assert len({cluster.key for cluster in found}) == 2


def test_the_key_of_a_row_stays_the_same_from_reading_to_reading(pool, system):
    pool.sleep(environment="atlas-el9")
    key = only(system.read(ENVIRONMENTS, cheap=False)).key
    pool.sleep(environment="atlas-el9", count=3)
    with connected(pool) as another:
        assert only(another.read(ENVIRONMENTS, cheap=False)).key == key


def test_held_jobs_are_counted_apart(pool, system):
    cluster = pool.sleep(count=3)
    pool.tool("condor_hold", f"{cluster}.1", user="alice")
    found = only(system.read(ENVIRONMENTS, cheap=False))
    assert (found.idle, found.held) == (2, 1)


def test_walltime_and_queue_time_are_told(pool, system):
    before = int(time.time())
    cluster = pool.sleep(**{"+MaxRuntime": 7200})
    found = only(system.read(ENVIRONMENTS, cheap=False))
    assert found.requirements.walltime_seconds == 7200
    assert before <= found.oldest_idle_at <= time.time() + 1
    assert found.example_job == f"{cluster}.0"


# --- VOs --------------------------------------------------------------------------------------------------------------

RULES = [
    {"attribute": "Community", "vo": r"\1"},
    {"owner": "(virgo)[0-9]+"},
    {"group": r"group_([a-z]+)(\..*)?"},
    {"vo": "theory"},
]


@pytest.mark.parametrize(
    ("words", "vo"),
    [
        ({"vo": "cms"}, "cms"),
        ({"vo": "cms", "+Community": '"Dune"'}, "dune"),
        ({"user": "virgo12", "accounting_group": "group_cms"}, "virgo"),
        ({"accounting_group": "locals"}, "theory"),
    ],
)
def test_the_first_rule_that_fits_tells_the_vo(pool, words, vo):
    with connected(pool, vo=RULES) as system:
        pool.sleep(**words)
        assert only(system.read(ENVIRONMENTS, cheap=False)).vo == vo


def test_jobs_that_no_rule_fits_belong_to_no_vo_and_are_shown(pool, system):
    pool.sleep(accounting_group="locals", count=4)
    found = only(system.read(ENVIRONMENTS, cheap=False))
    assert (found.vo, found.idle) == ("", 4)


# --- requirements -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("requirements", "accepts", "clause"),
    [
        ('TARGET.OpSysAndVer == "AlmaLinux9"', {"atlas-el9"}, 'TARGET.OpSysAndVer == "AlmaLinux9"'),
        ("TARGET.HasCVMFS && TARGET.Memory > 100", {"atlas-el9"}, "TARGET.HasCVMFS"),
        ("TARGET.Cpus >= 2 || TARGET.HasCVMFS =!= true", {"atlas-el9", "atlas-slc6"}, None),
        ("TARGET.Nothing > 5", set(), "TARGET.Nothing > 5"),
        ('Machine != "a && b" && (TARGET.Memory > 99999)', set(), "TARGET.Memory > 99999"),
        ('regexp("^Alma", TARGET.OpSysAndVer)', {"atlas-el9"}, 'regexp("^Alma",TARGET.OpSysAndVer)'),
    ],
)  # fmt: skip
def test_requirements_are_judged_against_the_slot_of_each_environment_of_the_vo(pool, system, requirements, accepts, clause):
    pool.sleep(requirements=requirements)
    found = only(system.read(ENVIRONMENTS, cheap=False)).requirements
    assert found.accepts == accepts
    assert set(found.refusals) == {"atlas-el9", "atlas-slc6"} - accepts
    assert all(refusal == clause for refusal in found.refusals.values())


def test_where_one_is_named_the_others_are_judged_as_if_they_were(pool, system):
    pool.sleep(environment="atlas-slc6", requirements='TARGET.OpSysAndVer == "AlmaLinux9"')
    found = only(system.read(ENVIRONMENTS, cheap=False)).requirements
    assert (found.wanted, found.accepts) == ("atlas-slc6", {"atlas-el9"})
    assert list(found.refusals) == ["atlas-slc6"]


def test_requirements_may_look_at_any_attribute_of_their_own_job(pool, system):
    for system_wanted in ("AlmaLinux9", "SL6"):
        pool.sleep(requirements="TARGET.OpSysAndVer == MY.Likes", **{"+Likes": f'"{system_wanted}"'})
    found = rows(system.read(ENVIRONMENTS, cheap=False))
    assert {cluster.requirements.accepts for cluster in found} == {frozenset({"atlas-el9"}), frozenset({"atlas-slc6"})}


def test_environments_that_come_later_are_judged_even_when_the_queue_is_unchanged(pool, system):
    pool.sleep(vo="cms")
    assert only(system.read((ATLAS,), cheap=False)).requirements.accepts == frozenset()
    found = system.read((ATLAS, CMS), cheap=True)
    assert not found.exact
    assert only(found).requirements.accepts == {"cms-el8"}


def test_further_attributes_of_all_slots_can_be_configured(pool):
    with connected(pool, slot_attributes={"HasSquid": True}) as system:
        pool.sleep(requirements="TARGET.HasSquid")
        assert only(system.read((ATLAS_OLD,), cheap=False)).requirements.accepts == {"atlas-slc6"}


# --- malformed ads ----------------------------------------------------------------------------------------------------


def test_a_malformed_job_is_shown_with_its_problem_and_the_others_are_read(pool, system):
    pool.sleep(environment="atlas-el9", count=3)
    for name, value in (("WantEnvironment", "5"), ("RequestMemory", '"a lot"'), ("RequestCpus", '"2" + 1')):
        cluster = pool.sleep()
        pool.tool("condor_qedit", str(cluster), name, value, user="alice")
    reading = system.read(ENVIRONMENTS, cheap=False)
    sound = [cluster for cluster in reading.clusters if not cluster.problem]
    assert [(cluster.requirements.wanted, cluster.idle) for cluster in sound] == [("atlas-el9", 3)]
    problems = sorted(cluster.problem for cluster in reading.clusters if cluster.problem)
    assert len(problems) == 3
    assert problems[0].startswith('RequestCpus is "2" + 1, not an amount')
    assert problems[1].startswith('RequestMemory is "a lot"')
    assert problems[2].startswith("WantEnvironment is 5, not the name")
    assert all(cluster.vo == "atlas" for cluster in reading.clusters)


# --- quiet readings ---------------------------------------------------------------------------------------------------


def test_nothing_changed_so_the_counts_are_carried_over(pool, system):
    pool.sleep(count=3)
    exact = system.read(ENVIRONMENTS, cheap=False)
    cheap = system.read(ENVIRONMENTS, cheap=True)
    assert (exact.exact, cheap.exact) == (True, False)
    assert cheap.clusters == exact.clusters


@pytest.mark.parametrize("change", ["submit", "submit-and-remove", "hold", "release", "remove"])
def test_a_cheap_reading_notices_every_change(pool, system, change):
    cluster = pool.sleep(count=4)
    pool.tool("condor_hold", f"{cluster}.3", user="alice")
    system.read(ENVIRONMENTS, cheap=False)
    assert not system.read(ENVIRONMENTS, cheap=True).exact
    if change.startswith("submit"):
        pool.sleep(environment="atlas-slc6")
    if change.endswith("remove"):
        pool.tool("condor_rm", f"{cluster}.0", user="alice")
        wait_until(lambda: len(pool.queue(str(cluster), "-attributes", "ProcId")) == 3, "the job is gone")
    if change == "hold":
        pool.tool("condor_hold", f"{cluster}.0", user="alice")
    if change == "release":
        pool.tool("condor_release", f"{cluster}.3", user="alice")
    reading = system.read(ENVIRONMENTS, cheap=True)
    assert reading.exact
    counts = {
        "submit": {("", 3, 1), ("atlas-slc6", 1, 0)},
        "submit-and-remove": {("", 2, 1), ("atlas-slc6", 1, 0)},
        "hold": {("", 2, 2)},
        "release": {("", 4, 0)},
        "remove": {("", 2, 1)},
    }
    assert {(one.requirements.wanted, one.idle, one.held) for one in reading.clusters} == counts[change]


def test_an_edited_request_is_seen_at_the_next_exact_reading(pool, system):
    cluster = pool.sleep(environment="atlas-slc6")
    system.read(ENVIRONMENTS, cheap=False)
    pool.tool("condor_qedit", str(cluster), "RequestMemory", "300", user="alice")
    assert only(system.read(ENVIRONMENTS, cheap=False)).requirements.memory_mib == 300


def test_counts_are_read_exactly_every_few_minutes_even_when_nothing_seems_to_change(pool):
    with connected(pool, exact_seconds=1) as system:
        pool.sleep()
        system.read(ENVIRONMENTS, cheap=False)
        assert not system.read(ENVIRONMENTS, cheap=True).exact
        time.sleep(1.1)
        assert system.read(ENVIRONMENTS, cheap=True).exact


def how(system):
    """Return how the connector's companion reads the queue exactly now."""
    (schedd,) = system.ask_collector("look", Question("pool")).schedds
    question = Question("queue", {"schedd": schedd, "prototypes": (), "cheap": False, "exact_seconds": 300.0})
    return system.ask(schedd.name, "look", question, 10.0).how


def test_jobs_without_an_autocluster_id_are_counted_all_the_same(pool, system):
    """HTCondor gives these ids late: right after a submission its own autocluster counts are too low."""
    with worker_of(system, ATLAS_OLD):
        first = pool.sleep(environment="nothing", count=5, requirements="TARGET.Never")
        key = only(system.read(ENVIRONMENTS, cheap=False)).key
        wait_until(lambda: "AutoClusterId" in pool.queue(f"{first}.0")[0], "the schedd gave autocluster ids")
        for _ in range(2):
            assert only(system.read(ENVIRONMENTS, cheap=False)).key == key
        assert how(system) == "by-autocluster"
        for seen in range(2, 6):
            pool.sleep(environment="nothing", count=5, requirements="TARGET.Never")
            pool.sleep(environment="nothing", count=3, requirements="TARGET.NeverEver")
            reading = system.read(ENVIRONMENTS, cheap=False)
            assert sorted(cluster.idle for cluster in reading.clusters) == sorted([5 * seen, 3 * (seen - 1)])
            assert {cluster.requirements.accepts for cluster in reading.clusters} == {frozenset()}
        pool.tool("condor_qedit", f"{first}.0", "Requirements", "TARGET.NeverEver", user="alice")
        counts = sorted(cluster.idle for cluster in system.read(ENVIRONMENTS, cheap=False).clusters)
        assert sum(counts) == 25 + 12


# --- single jobs ------------------------------------------------------------------------------------------------------


def test_a_waiting_job_is_found_with_the_key_of_its_row(pool, system):
    cluster = pool.sleep(
        environment="atlas-el9", requirements="TARGET.OpSysAndVer == MY.Likes", **{"+Likes": '"SL6"'}, user="carol"
    )
    row = only(system.read(ENVIRONMENTS, cheap=False))
    found = system.job(f"{cluster}.0", ENVIRONMENTS)
    assert (found.status, found.vo, found.user, found.wanted) == ("idle", "atlas", "carol", "atlas-el9")
    assert found.cluster_key == row.key
    assert found.batch_system == "pool"


def test_a_held_job_tells_why(pool, system):
    cluster = pool.sleep()
    pool.tool("condor_hold", "-reason", "wait for the data", str(cluster), user="alice")
    found = system.job(f"{cluster}.0", ENVIRONMENTS)
    assert (found.status, found.hold_reason) == ("held", "wait for the data (by user alice)")


def test_a_removed_job_is_found_in_the_history(pool, system):
    cluster = pool.sleep(environment="atlas-el9")
    pool.tool("condor_rm", str(cluster), user="alice")
    found = wait_until(
        lambda: (job := system.job(f"{cluster}.0", ENVIRONMENTS)) and job.cluster_key == "" and job, "it is in the history"
    )
    assert (found.status, found.wanted) == ("removed", "atlas-el9")


def test_the_history_is_not_read_more_often_than_allowed_however_many_jobs_end():
    class Schedd:
        asked = 0

        def history(self, *_):
            self.asked += 1
            return []

    for seconds, times in ((3600.0, 1), (0.0, 3)):
        schedd, ends = Schedd(), Ends(Judge(Setting("127.0.0.1", 2, '""', (), "0", (), seconds)))
        for exits in ((1, 0), (2, 0), (3, 0)):
            assert ends.since(schedd, exits) == ((), "")
        assert schedd.asked == times


def test_a_job_that_never_was_is_none(pool, system):
    assert system.job("99999.0", ENVIRONMENTS) is None


def test_a_job_that_is_no_job_is_refused_in_words(pool, system):
    with pytest.raises(SourceError, match=r"calls a job 123\.4 and all jobs of a submission 123"):
        system.job("twelve", ENVIRONMENTS)


def test_a_companion_that_dies_is_started_anew(pool, system):
    pool.sleep()
    system.read(ENVIRONMENTS, cheap=False)
    for companion in system.companions.values():
        os.kill(companion.pid, signal.SIGKILL)
    time.sleep(0.2)
    assert only(system.read(ENVIRONMENTS, cheap=True)).idle == 1


# --- jobs that need no worker -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("universe", ["scheduler", "local"])
def test_jobs_that_run_at_the_schedd_itself_are_no_demand(pool, system, universe):
    pool.submit(f"executable = /bin/sleep\narguments = 60\nuniverse = {universe}\naccounting_group = group_atlas\nqueue 2\n")
    assert system.read(ENVIRONMENTS, cheap=False).clusters == ()
    pool.sleep()
    assert only(system.read(ENVIRONMENTS, cheap=True)).idle == 1
