"""`journal upgrade`: the tables of the journal in the form that this Ambienti needs."""

from __future__ import annotations

import typer

from scheduler.commands.common import Exit, SiteOption, examples, fail, find_site, say, tell_watched
from scheduler.journal.upgrading import StillLedError
from scheduler.model.clock import WallClock
from scheduler.site import compose, definitions

journals = typer.Typer(no_args_is_help=True, help="The journal: bring it to the form of this Ambienti.")


@journals.callback()
def _group() -> None:
    """Keep `upgrade` a command of its own, although it is the only one."""


@journals.command(
    "upgrade", epilog=examples("ambienti journal upgrade", "ambienti journal upgrade --site /etc/ambienti/site.yaml")
)
def upgrade(site: SiteOption = None) -> None:
    """Bring the journal to the form of this Ambienti, or make it; once it has that form nothing is done.

    The daemon does the same when it starts. No other command does: it says that the journal has an older form, and ends with 3.
    Nothing is done while a daemon holds the lease of the journal (exit code 1): stop it first. Of one that was killed the lease
    is watched for `daemon.lease_seconds`, unless it died on this machine. There is no way back:
    make a back-up first, an older Ambienti refuses the new form.
    """
    found = definitions.load(find_site(site))
    try:
        before, after = compose.upgrade_journal(found, WallClock(), tell_watched)
    except StillLedError as error:
        raise fail(str(error), Exit.PROBLEM) from error
    if before == after:
        say(f"The journal has form {after} already.")
    else:
        say(f"The journal was brought from form {before} to {after}." if before else f"A journal was made, in form {after}.")
