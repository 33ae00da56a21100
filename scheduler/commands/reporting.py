"""`status report`: what an outside check found is told to the daemon; `token add/revoke/list`: who may."""

from __future__ import annotations

import http
import json
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from environments.text import printable, unprintable
from scheduler.commands import daemon, loaded
from scheduler.commands.common import Exit, JsonOption, SiteOption, console, examples, fail, meant, optional, print_json, say
from scheduler.commands.journaled import ByOption, asker, duration, instant, looked_into, now, opened
from scheduler.model.instants import in_seconds, shown_instant, write_instant
from scheduler.show.terminal import Table
from scheduler.show.terminal import duration as shown_length

if TYPE_CHECKING:
    from scheduler.site.services import Services

SECONDS = 10.0
tokens = typer.Typer(no_args_is_help=True, help="Tokens of those who report statuses: add, list, revoke.")


def report(
    name: Annotated[str, typer.Argument(metavar="OBJECT", help="As the services file names it.")],
    *,
    status: Annotated[str, optional("--status", metavar="STATUS", help="OK, WARNING, CRITICAL or UNKNOWN.")] = "",
    code: Annotated[
        int | None,
        typer.Option(
            "--nagios-exit-code", min=0, max=3, show_default=False, help="Exit code of a plug-in, instead of --status."
        ),
    ] = None,
    text: Annotated[str, typer.Option("--text", help="What the check said.")] = "",
    at: Annotated[
        str,
        optional(
            "--at",
            metavar="INSTANT",
            help="When it was observed; without an offset in the zone of the site, with --url in UTC. [default: now]",
        ),
    ] = "",
    report_id: Annotated[str, optional("--id", help="Reports of one id count once.")] = "",
    cause: Annotated[str, optional("--cause", help="Why time is lost: detection, boot...")] = "",
    token_file: Annotated[
        Path, typer.Option("--token-file", envvar="AMBIENTI_TOKEN_FILE", help="The token, in a file that only you may read.")
    ] = Path("/etc/ambienti/token"),
    url: Annotated[str, optional("--url", envvar="AMBIENTI_URL", help="The daemon. [default: as in the site file]")] = "",
    site: SiteOption = None,
) -> None:
    """Report what a check found: the event handler of a Nagios or Icinga, a cron job, a script of yours."""
    if bool(status) == (code is not None):
        raise fail("give either --status or --nagios-exit-code", Exit.WRONG)
    if wrong := _no_status(status):
        raise fail(f"--status: {wrong}", Exit.WRONG)
    told: dict[str, Any] = {"object": name, "status": status or str(code), "text": text, "id": report_id, "cause": cause}
    where, zone = (daemon.address(url, "--url"), "UTC") if url else _daemon(site)
    if at:
        told["at"] = in_seconds(instant(at, "--at", zone))
    answer, problem = _sent(where, told, _token(token_file))
    if answer == http.HTTPStatus.ACCEPTED:
        say(f"{name}: {problem}", error=True, style="yellow")
    elif problem:
        raise fail(f"{name}: {problem}", _EXITS.get(answer, Exit.UNANSWERED))


def _no_status(written: str) -> str:
    """Say that a text is no status and which was meant; "" when it is one, or none is given."""
    from scheduler.availability.files.written import CODES, STATUSES

    if not written or written.strip().upper() in STATUSES.keys() | CODES.keys():
        return ""
    hint = meant(written.strip().upper(), STATUSES, "expected OK, WARNING, CRITICAL or UNKNOWN")
    return f"{printable(written, 60)!r} is not a status; {hint}"


_EXITS = dict.fromkeys((400, 401, 403, 413, 421), Exit.WRONG) | dict.fromkeys((404, 409), Exit.PROBLEM)


def _daemon(site: Path | None) -> tuple[str, str]:
    """Return the address of the site's own daemon, and the zone of the site."""
    settings = loaded.load(site).site
    if not (url := daemon.url_of(settings.daemon)):
        raise fail("the daemon of this site listens nowhere (daemon.listen): nothing can be reported", Exit.WRONG)
    return url, settings.timezone


def _token(path: Path) -> str:
    try:
        return daemon.read_token(path)
    except daemon.TokenError as error:
        raise fail(str(error), Exit.WRONG) from error


def _sent(url: str, told: dict[str, Any], token: str) -> tuple[int, str]:
    """Post one report; return the answer's code and what is wrong, "" if nothing is."""
    content = json.dumps(told).encode()
    try:
        answer = daemon.ask(url, "/status", seconds=SECONDS, token=token, content=content, method="POST")
    except daemon.TokenError as error:
        raise fail(str(error), Exit.WRONG) from error
    except daemon.NoAnswerError as error:
        return 0, f"no daemon answers at {url}: {error}"
    if answer.code == http.HTTPStatus.OK:
        return answer.code, ""
    return answer.code, answer.problem or f"{url} answers {answer.code}: is that an Ambienti that takes reports?"


# --- tokens -----------------------------------------------------------------------------------------------------------


@tokens.command(
    "add",
    epilog=examples(
        "ambienti token add nagios --for 'ce*' --for storage --file /etc/ambienti/token", "ambienti token add anna --reads"
    ),
)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will hold it: nagios, icinga, voms-check.")],
    *,
    file: Annotated[Path | None, optional("--file", help="Where it is written. [default: NAME.token, here]")] = None,
    objects: Annotated[
        list[str] | None, optional("--for", metavar="PATTERN", help="Objects and groups that it is for; `*`: all.")
    ] = None,
    back: Annotated[
        str, typer.Option("--back", metavar="LENGTH", help="How far back what it reports may lie: 15m, 2h, 30d.")
    ] = "15m",
    reads: Annotated[bool, typer.Option("--reads", help="It may read what the daemon shows, names of users too.")] = False,
    by: ByOption = "",
    site: SiteOption = None,
) -> None:
    """Make a token and write it to a file that only you may read; the journal keeps only its hash.

    It can also say who you are, where several people share a login: `exclusion accept x1 --token-file FILE`.
    """
    from scheduler.journal.agreements import Token, add_token
    from scheduler.site import services

    if found := unprintable(name) or ("" if name.strip() and "(" not in name else "is no name"):
        raise fail(f"{name!r}: {found}", Exit.WRONG)
    wanted = Token(name.strip(), tuple(objects or ()), duration(back, "--back"), reads)
    path, token = file or Path(f"{name}.token"), secrets.token_urlsafe(32)
    try:
        with opened(site) as (site_found, journal):
            _can_be_reported(wanted.objects, loaded.answered(site_found, services.load))
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with _removed_if_it_fails(path):
                with os.fdopen(handle, "w") as out:
                    out.write(f"{token}\n")
                add_token(journal, wanted, token, asker(by), now())
    except OSError as error:
        raise fail(f"{path}: {error.strerror}", Exit.WRONG) from error
    may = [*([f"report on {', '.join(wanted.objects)}"] if wanted.objects else []), *(["read"] if reads else [])]
    say(f"{path} holds the token of {name}, who may {' and '.join(may) or 'sign with it'}: give it to nobody else.")


def _can_be_reported(patterns: Iterable[str], services: Services) -> None:
    """Refuse the name of what nobody reports on, and tell of a pattern that holds nothing yet."""
    those = f"others report on {', '.join(services.reported[:10]) or 'nothing yet'} (services file)"
    for one in patterns:
        if set("*?[") & set(one):
            if not any(fnmatchcase(name, one) for name in services.reported):
                say(f"nothing that others report on is called {one!r} yet: {those}", error=True, style="yellow")
        elif one in services.names and one not in services.reported:
            raise fail(f"Ambienti looks at {one} itself, nobody else reports on it; {those}", Exit.PROBLEM)
        elif one not in services.reported:
            raise fail(f"no object and no group is called {one!r}; {meant(one, services.reported, those)}", Exit.PROBLEM)


@contextmanager
def _removed_if_it_fails(path: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        path.unlink(missing_ok=True)
        raise


@tokens.command("revoke", epilog=examples("ambienti token revoke nagios"))
def revoke(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `ambienti token list` shows it.")],
    by: ByOption = "",
    site: SiteOption = None,
) -> None:
    """End a token: nobody can use it from now on."""
    from scheduler.journal.agreements import revoke_token

    with opened(site) as (_, journal):
        revoke_token(journal, name, asker(by), now())
    say(f"The token of {name} is worth nothing any more.")


@tokens.command("list", epilog=examples("ambienti token list", "ambienti token list --json"))
def show(site: SiteOption = None, as_json: JsonOption = False) -> None:
    """List all tokens: who holds them, who made them, which are revoked."""
    from scheduler.journal import agreements

    with looked_into(site) as (found, journal):
        listed = agreements.tokens(journal)
    zone = found.site.timezone
    if as_json:
        print_json([_written(one, lambda at: write_instant(at, zone)) for one in listed])
        return
    rows = [_written(one, lambda at: shown_instant(at, zone)) for one in listed]
    table = Table("name", "may report on", "back", "reads", "made by", "made", "revoked", box=None, pad_edge=False)
    for row in rows:
        may = (", ".join(row["objects"]) or "nothing", shown_length(row["back_seconds"]), "yes" if row["reads"] else "no")
        cells = (str(row["name"]), *may, str(row["made_by"]), str(row["made_at"]), str(row["revoked_at"] or ""))
        table.add_row(*cells, style="dim" if row["revoked_at"] else "")
    console().print(table)


def _written(token: dict[str, Any], write: Callable[[int], str]) -> dict[str, Any]:
    """Return a token's row with its instants written."""
    return token | {key: None if token[key] is None else write(token[key]) for key in ("made_at", "revoked_at")}
