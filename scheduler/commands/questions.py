"""Questions about the farm as it stands: `status`, `why`, `why-worker`."""

from __future__ import annotations

from typing import Annotated

import typer

from scheduler.commands.common import JsonOption, SiteOption, SnapshotOption, console, print_json, say
from scheduler.commands.source import looked

AllOption = Annotated[bool, typer.Option("--all", help="Every host and every worker, however many.")]


def status(
    site: SiteOption = None, snapshot: SnapshotOption = None, everything: AllOption = False, as_json: JsonOption = False
) -> None:
    """Show sources with the age of their readings, VOs, environments, hosts and workers."""
    from scheduler import rows, view

    with looked(site, snapshot) as found:
        if as_json:
            print_json({"source": found.origin, **rows.status_data(found.observation, found.policy, found.plan)})
            return
        say(f"{found.policy.site}, seen by {found.origin}.", style="dim")
        console().print(view.status(found.observation, found.policy, found.plan, everything=everything))
