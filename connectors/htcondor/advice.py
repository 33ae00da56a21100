"""What somebody should do about a pool that answers well: programs that are missing here, schedds that learn nothing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.htcondor.messages import Located
    from connectors.htcondor.options import HTCondorOptions
    from environments.environment import Environment


def advice(options: HTCondorOptions, schedds: Sequence[Located], environments: Sequence[Environment]) -> tuple[str, ...]:
    """Return what is to be done so that jobs are accepted and served as the files say."""
    return (*missing_programs(options), *(text for one in schedds if (text := not_learned(one, environments, options))))


def missing_programs(options: HTCondorOptions) -> tuple[str, ...]:
    """Say which programs that will be needed are not on this machine."""
    needed = (("token_create", options.token_create, "no worker can be booted"), ("drain", options.drain, "no worker retires"))
    return tuple(
        f"there is no program {program} here ({option} in the options; HTCondor's own tools): {without}"
        for option, program, without in needed
        if shutil.which(program) is None
    )


def not_learned(schedd: Located, environments: Sequence[Environment], options: HTCondorOptions) -> str:
    """Say which environments a schedd with our hooks still refuses, and what to do; "" if none."""
    if not schedd.learns:
        return ""
    if schedd.learned is None:
        return (
            f"schedd {schedd.name} does not learn environments yet, and knows only those in its hooks: restart it once "
            f"after their installation (condor_restart -daemon schedd), and see that the daemon may announce them"
        )
    missing = sorted({one.name for one in environments} - schedd.learned)
    if not missing:
        return ""
    named = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
    return (
        f"schedd {schedd.name} refuses jobs for {named}: it learns new environments within {options.learn_seconds} s of their "
        f"announcement by the daemon; else write the hooks again: ambienti hooks, then condor_reconfig there"
    )
