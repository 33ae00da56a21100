"""The codes of all reasons: what each means, and what would change it. A code that stands not here may not be used.

The reference page is made of this table, and so are the plain words of `why`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class About(StrEnum):
    """What a reason is about; the reference has a table for each."""

    REQUEST = "What a job asks for"
    WAITING = "Why a job waits"
    JOB = "Where a job stands"
    WORKER = "Workers: started, kept, retired, ended"
    ENVIRONMENT = "Environments, hosts and VOs"
    SOURCE = "Batch systems and hosts that cannot be believed now"


class Who(StrEnum):
    """Who can change it."""

    NOBODY = "nobody: wait"
    USER = "you, in the submit file"
    MANAGER = "your VO manager"
    SITE = "the farm's administrators"


@dataclass(frozen=True, slots=True)
class Code:
    """One code, defined once."""

    about: About
    meaning: str
    """One sentence in plain words."""
    who: Who
    to_do: str
    """What would change it."""
    own_words: bool = False
    """The reason's own sentence, with its numbers, is what a user needs; otherwise the meaning stands for it."""


_R, _W, _J, _N, _E, _S = About
_WAIT, _YOU, _MANAGER, _SITE = Who

CODES: dict[str, Code] = {
    # --- what a job asks for
    "unknown-environment": Code(
        _R,
        "The job names an environment that does not exist.",
        _YOU,
        "name one that does; the nearest is shown",
        own_words=True,
    ),
    "not-allowed": Code(
        _R,
        "The job names an environment of another VO that is not shared with its own.",
        _YOU,
        "name one of your VO, or have the owner's manager add your VO to `shared_with`",
        own_words=True,
    ),
    "another-chosen": Code(
        _R,
        "The job, or the submit hook for it, names another environment.",
        _YOU,
        "name this one, if its reason says that it would fit",
        own_words=True,
    ),
    "no-match": Code(
        _R,
        "None of the environments that the VO may use fits; for each of them `why --details` tells the reason.",
        _YOU,
        "ask for less, or have the VO manager describe an environment that fits",
        own_words=True,
    ),
    "larger-than-worker": Code(
        _R,
        "The job asks for more cores, memory, disk or GPUs than a worker of the environment has.",
        _YOU,
        "ask for at most what a worker has, or have the VO manager enlarge it",
        own_words=True,
    ),
    "longer-than-lifetime": Code(
        _R,
        "The job asks for more walltime than a worker of the environment lives.",
        _YOU,
        "ask for less walltime, or have the VO manager raise `lifetime_seconds`",
        own_words=True,
    ),
    "requirements-refuse": Code(
        _R,
        "The job's own requirements do not accept a worker of the environment; the clause is shown.",
        _YOU,
        "change the requirements, or have the VO manager add what they ask for to `provides`",
        own_words=True,
    ),
    "malformed": Code(
        _R,
        "The job's description cannot be understood; what is wrong is shown.",
        _YOU,
        "correct it and submit the job again",
        own_words=True,
    ),
    "no-vo": Code(
        _R,
        "No rule of the farm tells to which VO the job belongs.",
        _YOU,
        "submit with the accounting group of your VO",
        own_words=True,
    ),
    "unknown-vo": Code(
        _R,
        "The job belongs to a VO that this farm does not serve.",
        _YOU,
        "correct the accounting group, or ask the administrators to add the VO",
        own_words=True,
    ),
    "no-environment": Code(_R, "The VO has no environment here.", _MANAGER, "describe one (`vos/NAME.yaml`)", own_words=True),
    # --- why it waits
    "free-slot": Code(_W, "A running worker has room for it; the batch system will start it there.", _WAIT, "wait"),
    "boot-ordered": Code(_W, "A worker is being booted for it now.", _WAIT, "wait until the worker has registered"),
    "booting": Code(_W, "A worker that it can use is booting.", _WAIT, "wait until the worker has registered"),
    "drain-cancelled": Code(_W, "A worker that was about to leave is kept for it.", _WAIT, "wait"),
    "in-doubt": Code(
        _W,
        "Workers that it can use may be running on hosts that do not answer just now; nothing is booted in their place yet.",
        _SITE,
        "bring the silent hosts back",
    ),
    "reclaiming": Code(
        _W,
        "Its VO's share is lent to others; their workers are being emptied for it.",
        _WAIT,
        "wait: running jobs finish first",
    ),
    "kept-for-canary": Code(
        _W,
        "The room that is left is the share of a VO whose new image is being tried just now.",
        _WAIT,
        "wait until the first worker of that image has registered",
    ),
    "farm-full": Code(
        _W,
        "The farm is full: no host has room for one more worker that it can use.",
        _WAIT,
        "wait until workers end, or add hosts",
    ),
    "over-ceiling": Code(
        _W, "Its VO uses all the cores that it may have.", _WAIT, "wait until jobs of the VO end, or have its ceiling raised"
    ),
    "maximum-workers": Code(
        _W,
        "The environment has as many workers as it may have.",
        _MANAGER,
        "wait until one ends, or raise `maximum_workers`",
    ),
    "addresses-exhausted": Code(
        _W,
        "All network addresses of the environment are in use.",
        _SITE,
        "wait until a worker ends, or give the network more `addresses`",
    ),
    "boots-limit": Code(_W, "Other workers are booted first in this cycle; the next one boots more.", _WAIT, "wait"),
    "in-flight-limit": Code(
        _W, "As many workers are booting as may at a time.", _WAIT, "wait until they have booted, or raise `boots_in_flight`"
    ),
    "pool-boots-limit": Code(
        _W,
        "As many workers are booting from the same storage as may at a time.",
        _WAIT,
        "wait until they have booted, or raise `boots_per_pool`",
    ),
    "host-boots-limit": Code(
        _W,
        "The hosts with room are booting as many workers as they may at a time.",
        _WAIT,
        "wait until they have booted, or raise `max_boots`",
    ),
    "larger-than-hosts": Code(
        _W,
        "A worker of the environment is larger than any host of the farm.",
        _MANAGER,
        "give the environment less memory or fewer cores, or add a larger host",
    ),
    "storage-full": Code(
        _W,
        "Hosts have memory and cores for one more worker, but too little room in their storage pool for its disk.",
        _SITE,
        "make room in the storage pool, or give the environment a smaller disk",
    ),
    "no-host": Code(
        _W,
        "No host of the farm can run this environment as it is described; the causes are counted.",
        _SITE,
        "compare the environment's virtualization, labels, network and storage pool with the hosts (`check --live`)",
    ),
    "hosts-silent": Code(_W, "No host that could run a worker for it answers just now.", _SITE, "bring the hosts back"),
    "hosts-closed": Code(_W, "No host in service can run it; others are drained or silent.", _SITE, "bring hosts back"),
    "addresses-unknown": Code(
        _W, "Hosts not heard since the journal began may run workers with its addresses.", _SITE, "bring the hosts back"
    ),
    "adopting": Code(
        _W,
        "Ambienti has just started with a new journal and asks all hosts first what runs there.",
        _WAIT,
        "wait for the hosts, at most `adoption_seconds`",
    ),
    "canary": Code(
        _W,
        "The first worker of a new image is tried before others are booted.",
        _WAIT,
        "wait until it has registered; where it failed, the reason is shown",
    ),
    "breaker-open": Code(
        _W,
        "Workers of this image fail to boot; no more are tried until the time that is shown.",
        _MANAGER,
        "repair what the last failure tells; a new `version` of the image starts afresh",
    ),
    "breaker-probing": Code(
        _W,
        "Workers of this image failed to boot; one is tried now.",
        _MANAGER,
        "wait for the probe; repair what the last failure tells",
    ),
    "failed-there": Code(
        _W,
        "The only host with room has just failed to boot this image; it is tried again at the time that is shown.",
        _SITE,
        "repair what the last failure tells, or add a host",
    ),
    "not-read-yet": Code(
        _W, "It was submitted, or changed, since the queue was read last.", _WAIT, "wait for the next cycle (`poll_seconds`)"
    ),
    "not-decided-yet": Code(_W, "Nothing has been decided about it yet.", _WAIT, "wait for the next cycle (`poll_seconds`)"),
    # --- where it stands
    "runs": Code(_J, "It runs.", _WAIT, "nothing", own_words=True),
    "held": Code(
        _J,
        "It is on hold, for the reason that the batch system gives.",
        _YOU,
        "remove the cause and release it",
        own_words=True,
    ),
    "completed": Code(_J, "It has ended.", _WAIT, "nothing", own_words=True),
    "removed": Code(_J, "It was removed from the queue.", _WAIT, "submit it again if that was not meant", own_words=True),
    "not-known": Code(
        _J, "Nobody knows a job, or worker, of this name.", _YOU, "check the number and the batch system", own_words=True
    ),
    "worker-gone": Code(
        _J,
        "Its worker died; the batch system starts it again when the job's lease ends.",
        _SITE,
        "wait; a shorter `lease_seconds` shortens it for jobs to come",
        own_words=True,
    ),
    # --- workers
    "demand": Code(_N, "It was booted for waiting jobs.", _WAIT, "nothing"),
    "minimum": Code(_N, "It was booted because the environment keeps a minimum of workers.", _MANAGER, "`minimum_workers`"),
    "spare": Code(
        _N, "It was booted because the environment keeps spare workers while there is demand.", _MANAGER, "`spare_workers`"
    ),
    "adopt": Code(_N, "Its domain is ours and the journal did not know it: it was taken in.", _WAIT, "nothing"),
    "busy": Code(_N, "Jobs run in it, or will at once.", _WAIT, "nothing"),
    "idle-for-now": Code(_N, "It is idle, and for less time than its environment allows.", _WAIT, "`idle_seconds`"),
    "kept-for-demand": Code(
        _N, "It is idle and kept because jobs wait that can run in it.", _WAIT, "wait for the batch system's negotiator"
    ),
    "kept-spare": Code(_N, "It is idle and kept as a spare.", _MANAGER, "`spare_workers`"),
    "kept-minimum": Code(_N, "It is idle and kept as one of the minimum.", _MANAGER, "`minimum_workers`"),
    "demand-returned": Code(_N, "Its drain is taken back: jobs need it again.", _WAIT, "nothing"),
    "draining": Code(_N, "It finishes its jobs and takes no new ones.", _WAIT, "wait for its jobs"),
    "drained": Code(_N, "It was drained and holds no job: it is powered off.", _WAIT, "nothing"),
    "idle": Code(_N, "It was idle for longer than its environment allows.", _MANAGER, "`idle_seconds`"),
    "surplus": Code(_N, "It is idle and no job needs it, while others need the room.", _WAIT, "nothing"),
    "drift": Code(_N, "It runs an older version of its environment, and is replaced when idle.", _WAIT, "nothing"),
    "lifetime": Code(_N, "It has lived as long as its environment allows.", _MANAGER, "`lifetime_seconds`"),
    "reclaim": Code(
        _N, "Its room was lent and is taken back for a VO below its guarantee; running jobs finish.", _SITE, "`guarantee_cpus`"
    ),
    "unwanted": Code(_N, "No file defines its environment any more.", _MANAGER, "define it again, if that was not meant"),
    "host-drain": Code(
        _N, "Its host is drained, or its discovery no longer names it.", _SITE, "`ambienti host undrain`, if that was not meant"
    ),
    "black-hole": Code(
        _N, "Jobs fail in it at once, one after the other.", _SITE, "look at the worker, and at the log of a failed job"
    ),
    "lingering": Code(
        _N,
        "A job of it no longer runs, or a claim holds no job, but the slot is not free yet; Ambienti waits for a while.",
        _WAIT,
        "the batch system frees it within `vacate_seconds` (HTCondor)",
    ),
    "tried": Code(_N, "It was booted by `ambienti env try`, and has been tried.", _WAIT, "nothing"),
    "stuck": Code(
        _N,
        "A slot in which no job has a right to run was not freed in time: other jobs finish, then the worker is powered off.",
        _SITE,
        "look at the worker's start daemon; `linger_seconds`",
    ),
    "by-hand": Code(_N, "Somebody drained it by hand, without Ambienti.", _SITE, "cancel the drain by hand"),
    "fails-everywhere": Code(
        _N,
        "Jobs fail at once in so many workers of the environment that the jobs or the image are suspected, not the workers.",
        _MANAGER,
        "look at the log of a failed job",
    ),
    "drains-limit": Code(_N, "It leaves later: this cycle orders no more drains.", _WAIT, "`drains_per_cycle`"),
    "drain-percent": Code(
        _N, "It leaves later: enough workers of its environment drain at the moment.", _WAIT, "`drain_percent`"
    ),
    "silent": Code(
        _N,
        "Its batch system does not see it any more; after `silence_seconds` it is powered off.",
        _SITE,
        "read the worker's console",
    ),
    "boot-failed": Code(
        _N, "It did not come up; the cause is shown with it and with its environment.", _SITE, "what the failure tells"
    ),
    "gone": Code(_N, "Its domain is gone: its disks and ads are removed.", _WAIT, "nothing"),
    "left-behind": Code(_N, "No worker needs what lies on a host's storage by this name: it is removed.", _WAIT, "nothing"),
    # --- environments, hosts, VOs
    "boots-fail": Code(
        _E,
        "The last boots of the environment failed: where, when, why, and who is to blame (image, host, network, batch system).",
        _SITE,
        "what the failure tells",
    ),
    "host-breaker-open": Code(
        _E,
        "Boots on this host fail one after the other; none is tried there until the time that is shown.",
        _SITE,
        "look at the host",
    ),
    "host-breaker-probing": Code(
        _E, "Boots on this host failed one after the other; one is tried now.", _SITE, "wait for the probe, or look at the host"
    ),
    "same-machine": Code(
        _E,
        "Another host of the site is the same machine, and its cores and memory count already.",
        _SITE,
        "one entry for each machine, or `machine_percent` for two drivers of one",
    ),
    "host-draining": Code(_E, "Nothing new starts on this host: it is drained.", _SITE, "`ambienti host undrain`"),
    "virtualization": Code(
        _E, "The host does not offer the environment's virtualization.", _SITE, "another host, or another kind"
    ),
    "labels": Code(_E, "The host does not carry a label that the environment asks for.", _SITE, "`labels` of the host"),
    "network": Code(
        _E, "The host has no network of the environment's name.", _SITE, "define it on the host, or correct `network`"
    ),
    "pool": Code(_E, "The host has no active storage pool of the environment's name.", _SITE, "start it, or correct the name"),
    "share": Code(_E, "What the VO holds of the farm, with its weight, guarantee and ceiling.", _SITE, "`share` of the VO"),
    "below-guarantee": Code(
        _E, "Jobs of the VO wait although it holds less than its guarantee.", _SITE, "wait: it is served first"
    ),
    # --- sources
    "batch-silent": Code(
        _S,
        "The batch system does not answer; running jobs go on, and nothing is booted or retired for it until it does.",
        _SITE,
        "bring it back",
    ),
    "batch-unread": Code(_S, "The batch system has not been read yet.", _WAIT, "wait for the first cycle"),
    "batch-stale": Code(
        _S,
        "What is known of the batch system is too old to decide by.",
        _SITE,
        "see why it is read so rarely (`stale_seconds`)",
    ),
    "batch-incomplete": Code(
        _S,
        "The batch system answered in part: what it did not show means nothing, and nothing is ended by it.",
        _SITE,
        "see in `ambienti status` what is missing",
    ),
    "batch-suspect": Code(
        _S,
        "The batch system answered with nothing right after a full answer; it is not believed until confirmed.",
        _WAIT,
        "wait for a second reading (`confirm_empty_seconds`)",
    ),
    "batch-removed": Code(
        _S,
        "The site file no longer has this batch system, so nobody can say what runs in its workers.",
        _SITE,
        "put it back, under its old name, to have its workers drained",
    ),
    "mass-silence": Code(
        _S,
        "So many workers fell silent at once that their batch system is suspected, not the workers.",
        _SITE,
        "look at the batch system",
    ),
    "host-silent": Code(
        _S,
        "The host does not answer: nothing is started or ended there.",
        _SITE,
        "bring it back, or `ambienti host forget` if it is off for good",
    ),
    "host-unread": Code(_S, "The host is not asked: the site does not name it, or it was not read yet.", _SITE, "put it back"),
    "host-incomplete": Code(_S, "The host answered only in part.", _SITE, "see the log"),
    "host-stale": Code(_S, "What is known of the host is too old to decide by.", _SITE, "see why it is read so rarely"),
}
