"""The default of a VO at submission: given to jobs that it suits, and let go when they outgrow it. Pure text.

A job that names no environment is tried, as it is submitted, against the slot of its VO's default: its requirements are
evaluated with that slot in the place of TARGET. Where they hold, the job is given the default and runs nowhere else. Where they
do not, nothing is given, and its requirements choose among the environments of its VO. Amounts may grow later (a job that used
more memory than it asked for): a default that they have outgrown binds no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectors.htcondor.expressions import DEFAULTED, OFFERED, WANTED, config_quoted, vo_expression, walltime_expression
from connectors.htcondor.worker import DEFAULT_VERSION, literal, prototype_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectors.htcondor.options import HTCondorOptions
    from environments.environment import Environment, Scalar

_SLOT = "AmbientiSlot"
"""Where the slot of the default stands in a job while it is tried."""
_OTHER = config_quoted("(?i)(?<![a-z0-9_.])target[.]")
"""The other ad in an expression: what is evaluated in a transform is read in the new syntax, so no backslash is in it."""
_HOLD = f'eval(replaceAll({_OTHER}, unparse(Requirements), "{_SLOT}."))'
_SEVERAL = frozenset('$"\\')
"""Characters that mean something to one of the languages on the way into a job."""


def transforms(
    options: HTCondorOptions, environments: Sequence[Environment], vos: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Return the names of the transforms, in their order, and their text."""
    vo = vo_expression(options.vo, quote=config_quoted)
    names, text = [], ["# --- on the schedds: a job that names no environment and that its VO's default suits is given that"]
    for environment in environments:
        if environment.default and environment.vo in vos:
            names.append(f"AmbientiDefault{_word(environment.vo)}")
            text += [
                f"JOB_TRANSFORM_{names[-1]} @=end",
                f"   REQUIREMENTS {WANTED} =?= undefined && ({vo}) == {config_quoted(environment.vo)}",
                f"   SET {_SLOT} {_slot(environment, options)}",
                f"   EVALMACRO suits = {_HOLD} =?= true",
                "   if $(suits)",
                f"      SET {WANTED} {config_quoted(environment.name)}",
                f"      SET {DEFAULTED} {_within(environment, options)}",
                "   endif",
                f"   DELETE {_SLOT}",
                "@end",
            ]
    names.append("AmbientiRequire")
    text += [
        "# ... a job that has one runs nowhere else, unless it was given it and has outgrown it.",
        "JOB_TRANSFORM_AmbientiRequire @=end",
        f"   REQUIREMENTS isString({WANTED})",
        f"   if defined MY.{DEFAULTED}",
        f"      SET Requirements (MY.{DEFAULTED} =?= false || TARGET.{OFFERED} =?= MY.{WANTED}) && ($(MY.Requirements:true))",
        "   else",
        f"      SET Requirements (TARGET.{OFFERED} =?= MY.{WANTED}) && ($(MY.Requirements:true))",
        "   endif",
        "@end",
    ]
    return names, text


def _slot(environment: Environment, options: HTCondorOptions) -> str:
    """Return the slot of an environment's worker as an ad in one line."""
    offered = {**dict(prototype_of(environment, options, DEFAULT_VERSION).attributes), OFFERED: environment.name}
    plain = {name: value for name, value in offered.items() if _is_plain(value)}
    return f"[ {'; '.join(f'{name} = {literal(value)}' for name, value in plain.items())} ]"


def _is_plain(value: Scalar) -> bool:
    return not isinstance(value, str) or value == DEFAULT_VERSION or not _SEVERAL & set(value)


def _within(environment: Environment, options: HTCondorOptions) -> str:
    """Return whether the amounts of a job fit into a worker."""
    walltime = walltime_expression(options.walltime, otherwise="0")
    return " && ".join(
        (
            f"RequestCpus <= {environment.vcpus}",
            f"RequestMemory <= {environment.slot_memory_mib}",
            f"RequestDisk <= {environment.slot_disk_mib * 1024}",
            f"(RequestGPUs ?: 0) <= {environment.slot_gpus}",
            f"{walltime} <= {environment.lifetime_seconds - environment.boot_seconds}",
        )
    )


def _word(name: str) -> str:
    """Return a name as part of a configuration variable's name: no two are the same, which knows no capitals."""
    return "".join(c if c.isalnum() and c.isascii() else f"_{ord(c):x}_" for c in name)
