"""The generated configuration, put into a real pool: what is stamped and what is refused at submission."""

import time

import pytest

from connectors.htcondor import hooks
from environments.environment import VO, Environment
from environments.matching import Catalogue, match
from environments.requirements import Chooser
from tests.real.htcondor_pool import ATLAS, ATLAS_OLD, CMS, ENVIRONMENTS, connected, only, status, wait_until, worker_of

pytestmark = pytest.mark.real
VOS = ("atlas", "cms", "theory")


@pytest.fixture
def hooked(pool):
    install(pool, hooks(pool.options(), ENVIRONMENTS, VOS))
    return pool


def install(pool, text):
    """Put the text into the pool and wait until the schedd goes by it."""
    pool.configure("60-ambienti.conf", text)
    wait_until(
        lambda: "AmbientiKnown" in pool.tool("condor_config_val", "-schedd", "SUBMIT_REQUIREMENT_NAMES", check=False), "read"
    )
    wait_until(lambda: refusal(pool, environment="no-such-thing-at-all"), "the schedd refuses")


def refusal(pool, **words):
    """Submit a job that must be refused; return the sentence its user sees."""
    try:
        pool.sleep(**words)
    except RuntimeError as error:
        return str(error).rsplit("ERROR: ", 1)[-1]
    return ""


def ad_of(pool, cluster):
    (ad,) = pool.queue(str(cluster))
    return ad


def test_a_job_that_names_nothing_gets_the_default_of_its_vo(hooked):
    assert ad_of(hooked, hooked.sleep())["WantEnvironment"] == "atlas-el9"
    assert ad_of(hooked, hooked.sleep(vo="cms"))["WantEnvironment"] == "cms-el8"
    assert "WantEnvironment" not in ad_of(hooked, hooked.sleep(vo="theory"))


def test_a_job_gets_the_lease_of_the_site_and_keeps_one_of_its_own(pool):
    install(pool, hooks({**pool.options(), "lease_seconds": 700}, ENVIRONMENTS, VOS))
    assert ad_of(pool, pool.sleep())["JobLeaseDuration"] == 700
    assert ad_of(pool, pool.sleep(job_lease_duration=3000))["JobLeaseDuration"] == 3000
    assert "JobLeaseDuration" not in hooks({**pool.options(), "lease_seconds": 0}, ENVIRONMENTS, VOS)


def test_a_job_that_has_an_environment_requires_it(hooked):
    requirements = ad_of(hooked, hooked.sleep(environment="atlas-slc6", requirements="TARGET.Memory > 77"))["Requirements"]
    assert "TARGET.AmbientiEnvironment is MY.WantEnvironment" in requirements
    assert "TARGET.Memory > 77" in requirements
    assert "AmbientiEnvironment" not in ad_of(hooked, hooked.sleep(vo="theory"))["Requirements"]


def test_what_the_hooks_make_of_a_job_is_read_as_a_default_that_the_hook_gave(hooked):
    with connected(hooked) as system:
        hooked.sleep(vo="cms", count=3)
        found = only(system.read(ENVIRONMENTS, cheap=False)).requirements
    assert (found.wanted, found.chosen_by, found.accepts) == ("cms-el8", Chooser.HOOK, {"cms-el8"})


CATALOGUE = Catalogue({one.name: one for one in ENVIRONMENTS}, {name: VO(name=name) for name in VOS})


@pytest.mark.parametrize(
    ("words", "environments", "chosen_by"),
    [
        ({}, ("atlas-el9",), Chooser.HOOK),
        ({"requirements": '(TARGET.OpSysAndVer == "AlmaLinux9")'}, ("atlas-el9",), Chooser.HOOK),
        ({"requirements": '(TARGET.OpSysAndVer == "SL6")'}, ("atlas-slc6",), Chooser.REQUIREMENTS),
        ({"requirements": '(OpSysAndVer == "SL6")'}, ("atlas-slc6",), Chooser.REQUIREMENTS),
        ({"requirements": 'regexp("^SL", TARGET.OpSysAndVer) && target.Memory > 77'}, ("atlas-slc6",), Chooser.REQUIREMENTS),
        ({"requirements": "TARGET.HasCVMFS =!= true"}, ("atlas-slc6",), Chooser.REQUIREMENTS),
        ({"environment": "atlas-slc6"}, ("atlas-slc6",), Chooser.JOB),
    ],
)
def test_a_job_finds_the_environment_that_fits_and_who_chose_is_known(hooked, words, environments, chosen_by):
    with connected(hooked) as system:
        hooked.sleep(**words)
        row = only(system.read(ENVIRONMENTS, cheap=False))
    found = match(row.requirements, row.vo, CATALOGUE)
    assert (found.environments, found.chosen_by) == (environments, chosen_by)
    assert set(found.environments) | set(found.refused) == {"atlas-el9", "atlas-slc6"}


LARGER = Environment(
    name="atlas-larger", vo="atlas", virtualization="lxc", vcpus=4, memory_mib=4000, provides={"GPUs": 1, "Lane": 'a$(X) "b'},
    network={"kind": "host"}, lifetime_seconds=400000,
)  # fmt: skip


@pytest.mark.parametrize(
    "words",
    [{"request_memory": 1000}, {"request_cpus": 3}, {"request_gpus": 1}, {"request_disk": "1400 MB"}, {"+MaxRuntime": 300000}],
)
def test_a_job_that_is_larger_than_the_default_finds_a_larger_environment(pool, words):
    environments = (*ENVIRONMENTS, LARGER)
    install(pool, hooks(pool.options(), environments, VOS))
    with connected(pool) as system:
        pool.sleep(**words)
        row = only(system.read(environments, cheap=False))
    found = match(row.requirements, row.vo, Catalogue({one.name: one for one in environments}, CATALOGUE.vos))
    assert (found.environments, found.chosen_by) == (("atlas-larger",), Chooser.REQUIREMENTS)


def test_a_job_that_has_outgrown_the_default_is_let_go_and_runs_elsewhere(pool):
    environments = (*ENVIRONMENTS, LARGER)
    install(pool, hooks(pool.options(), environments, VOS))
    with connected(pool) as system:
        cluster = pool.sleep(request_memory="ifThenElse(isUndefined(MemoryUsage), 100, MemoryUsage)")
        assert only(system.read(environments, cheap=False)).requirements.wanted == "atlas-el9"
        pool.tool("condor_qedit", str(cluster), "MemoryUsage", "1000", user="alice")
        found = only(system.read(environments, cheap=False)).requirements
        assert (found.wanted, found.accepts) == ("", {"atlas-larger"})
        with worker_of(system, LARGER):
            wait_until(lambda: status(pool, cluster) == 4, "the job has run in the larger worker", 180)


def test_a_job_runs_in_the_environment_that_its_requirements_ask_for(hooked):
    with connected(hooked) as system, worker_of(system, ATLAS_OLD):
        cluster = hooked.sleep(requirements='(TARGET.OpSysAndVer == "SL6")')
        wait_until(lambda: status(hooked, cluster) == 4, "the job has run", 180)


def test_a_default_binds_a_job_that_it_suits(hooked):
    with connected(hooked) as system, worker_of(system, ATLAS_OLD):
        cluster = hooked.sleep()
        other = hooked.sleep(environment="atlas-slc6")
        wait_until(lambda: status(hooked, other) == 4, "the other job has run", 180)
        assert status(hooked, cluster) == 1


def test_vos_whose_names_are_alike_have_transforms_of_their_own(pool):
    alike = ("a-b", "ab", "vo.cta.in2p3.fr")
    rules = {**pool.options(), "vo": [{"group": "group_([a-z0-9.-]+)"}]}
    environments = [
        Environment(name=f"e{number}", vo=vo, virtualization="lxc", memory_mib=600, default=True)
        for number, vo in enumerate(alike)
    ]
    install(pool, hooks(rules, environments, alike))
    for number, vo in enumerate(alike):
        assert ad_of(pool, pool.sleep(vo=vo))["WantEnvironment"] == f"e{number}"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("atlas-el8", "atlas-el9"), ("atals-el9", "atlas-el9"), ("atlas-e9", "atlas-el9"), ("atlas_el9", "atlas-el9"),
        ("ATLAS-EL9", "atlas-el9"), ("atlas-slc66", "atlas-slc6"), ("slc6", "atlas-slc6"), ("cms-l8", "cms-el8"),
    ],
)  # fmt: skip
def test_an_unknown_environment_is_refused_with_the_nearest_name(hooked, wrong, near):
    names = "Environments for your jobs: atlas-el9, atlas-slc6."
    assert refusal(hooked, environment=wrong) == f"No environment is called '{wrong}'. Did you mean '{near}'? {names}"


def test_a_name_like_no_other_is_refused_with_the_names_that_there_are(hooked):
    assert (
        refusal(hooked, environment="xyzzy", vo="cms")
        == "No environment is called 'xyzzy'. Environments for your jobs: cms-el8."
    )


def test_another_vo_s_environment_is_refused(hooked):
    sentence = refusal(hooked, environment="cms-el8")
    assert sentence.startswith(
        "Environment 'cms-el8' is not for jobs of VO 'atlas'. Environments for your jobs: atlas-el9, atlas-slc6."
    )


def test_a_shared_environment_is_not_refused(hooked):
    assert ad_of(hooked, hooked.sleep(vo="theory", environment="atlas-el9"))["WantEnvironment"] == "atlas-el9"


def test_jobs_of_no_vo_may_name_nothing(hooked):
    assert "is not for jobs of VO ''" in refusal(hooked, environment="cms-el8", accounting_group="locals")
    assert "WantEnvironment" not in ad_of(hooked, hooked.sleep(accounting_group="locals"))


def test_a_name_without_quotes_is_refused_with_the_way_to_write_it(hooked):
    assert '+WantEnvironment = "name"' in refusal(hooked, **{"+WantEnvironment": "5"})


def test_several_hundred_environments_fit_into_the_configuration(pool):
    many = [Environment(name=f"vo{i % 28:02}-os{i}-release", vo="atlas", virtualization="lxc") for i in range(300)]
    install(pool, hooks(pool.options(), [*many, ATLAS, ATLAS_OLD, CMS], VOS))
    assert "Did you mean 'vo05-os201-release'?" in refusal(pool, environment="vo05-os201-relaese")
    assert ad_of(pool, pool.sleep(environment="vo05-os201-release"))["WantEnvironment"] == "vo05-os201-release"


def test_other_rules_for_vos_stand_in_the_hooks_too(pool):
    rules = {**pool.options(), "vo": [{"owner": r"(virgo)\d+"}, {"attribute": "Community"}, {"vo": "theory"}]}
    environments = [
        Environment(name=f"{vo}-one", vo=vo, virtualization="lxc", default=True) for vo in ("virgo", "dune", "theory")
    ]
    install(pool, hooks(rules, environments, ("virgo", "dune", "theory")))
    cases = ({"user": "virgo12"}, "virgo-one"), ({"+Community": '"DUNE"'}, "dune-one"), ({}, "theory-one")
    for words, environment in cases:
        assert ad_of(pool, pool.sleep(**words))["WantEnvironment"] == environment


def test_a_rule_that_holds_what_the_configuration_would_expand_is_taken_as_it_was_written(pool):
    """`$(X)`, a group after an end of the text, and `$ENV(X)`: patterns to a regular expression, macros to HTCondor."""
    rules = {**pool.options(), "vo": [{"attribute": "Community", "matches": r"(?:dune$(?:)|x$(X)|y$ENV(HOME))", "vo": "dune"}]}
    environments = [Environment(name="dune-one", vo="dune", virtualization="lxc", default=True)]
    install(pool, hooks(rules, environments, ("dune",)))
    assert ad_of(pool, pool.sleep(**{"+Community": '"dune"'}))["WantEnvironment"] == "dune-one"
    assert ad_of(pool, pool.sleep(environment="dune-one", **{"+Community": '"dune"'}))["WantEnvironment"] == "dune-one"
    assert "is not for jobs of VO ''" in refusal(pool, environment="dune-one", **{"+Community": '"x"'})


def test_a_transform_that_the_site_has_already_is_kept(pool):
    pool.configure("50-site.conf", "JOB_TRANSFORM_Site @=end\n   SET SiteWasHere true\n@end\nJOB_TRANSFORM_NAMES = Site\n")
    install(pool, hooks(pool.options(), ENVIRONMENTS, VOS))
    ad = ad_of(pool, pool.sleep())
    assert (ad["SiteWasHere"], ad["WantEnvironment"]) == (True, "atlas-el9")


# --- environments that come and go ------------------------------------------------------------------------------------


def learned(pool):
    (schedd,) = pool.ads("-schedd", "-attributes", "Name,AmbientiEnvironments")
    return schedd.get("AmbientiEnvironments")


@pytest.fixture
def learning(pool):
    """A pool with the hooks of two environments, whose schedd was started anew after their installation."""
    install(pool, hooks({**pool.options(), "learn_seconds": 1}, (ATLAS, CMS), VOS))
    pool.kill_schedd()
    with connected(pool) as system:
        yield pool, system
    pool.forget_configuration()
    pool.kill_schedd()  # without the hooks it forgets what it has learned
    wait_until(lambda: learned(pool) is None, "the schedd has forgotten")


def announced(pool, system, environments):
    """Announce environments, wait until the schedd knows them."""
    system.announce(environments, VOS)
    names = ",".join(sorted(one.name for one in environments))
    wait_until(lambda: learned(pool) == names, "the schedd has learned them")


def test_a_schedd_learns_of_environments_that_come_and_go_and_refuses_what_is_unknown_as_before(learning):
    pool, system = learning
    announced(pool, system, (ATLAS, CMS))
    assert "No environment is called 'atlas-slc6'. Did you mean" in refusal(pool, environment="atlas-slc6")
    assert "refuses jobs for atlas-slc6" in system.read(ENVIRONMENTS, cheap=False).advice[0]
    announced(pool, system, ENVIRONMENTS)
    assert ad_of(pool, pool.sleep(environment="atlas-slc6"))["WantEnvironment"] == "atlas-slc6"
    assert system.read(ENVIRONMENTS, cheap=False).advice == ()
    names = "Environments for your jobs: atlas-el9, atlas-slc6."
    assert refusal(pool, environment="atlas-slc7") == (
        f"No environment is called 'atlas-slc7'. Did you mean 'atlas-slc6'? {names}"
    )
    assert refusal(pool, environment="xyzzy") == f"No environment is called 'xyzzy'. {names}"
    sentence = refusal(pool, environment="atlas-slc6", vo="cms")
    assert sentence.startswith("Environment 'atlas-slc6' is not for jobs of VO 'cms'. Environments for your jobs: cms-el8.")
    announced(pool, system, (ATLAS, CMS))
    assert "No environment is called 'atlas-slc6'" in refusal(pool, environment="atlas-slc6")


def test_a_schedd_that_was_started_anew_learns_them_again(learning):
    pool, system = learning
    announced(pool, system, ENVIRONMENTS)
    pool.kill_schedd()
    wait_until(lambda: not refusal(pool, environment="atlas-slc6"), "it accepts what it has learned")


def test_a_worker_may_announce_nothing_to_a_schedd(learning):
    """An ad of another identity, be it of the right name: the schedd asks the collector for ours alone."""
    pool, system = learning
    announced(pool, system, (ATLAS, CMS))
    said = 'MyType = "AmbientiEnvironments"\nName = "ambienti.environments"\nEnvironments = "atlas-slc6"\n'
    with pytest.raises(RuntimeError):
        pool.tool("condor_advertise", "UPDATE_AD_GENERIC", "-", user="alice", given=said)
    pool.tool("condor_advertise", "UPDATE_AD_GENERIC", "-", given=said)  # the pool's own identity, which is not ours
    time.sleep(3)
    assert learned(pool) == "atlas-el9,cms-el8"


def test_a_schedd_whose_hooks_were_never_told_anything_says_so(pool):
    install(pool, hooks(pool.options(), ENVIRONMENTS, VOS))

    def advice(system):
        return "".join(system.read(ENVIRONMENTS, cheap=False).advice)

    with connected(pool) as system:
        wait_until(lambda: "condor_restart -daemon schedd" in advice(system), "it is said")
