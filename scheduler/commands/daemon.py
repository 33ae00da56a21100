"""Asking the daemon: through its socket in the state directory, or over the network with a token.

A token goes over https, or to this very machine; never through a proxy, and never on to where an answer points.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pydantic_core import PydanticCustomError

from environments.hostnames import checked_url
from environments.problems import ConfigurationError, Problem
from environments.text import printable

if TYPE_CHECKING:
    from scheduler.site.settings import DaemonSettings

PRIVATE = 0o077
"""Nobody but its owner may read a token's file."""
MOST_PROBLEM_BYTES = 4096


class NoAnswerError(Exception):
    """No daemon answers, in words; "" where there is not even a socket."""


class TokenError(Exception):
    """A token that cannot be used, or may not be sent there, in words."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the daemon answered."""

    code: int
    content: bytes

    @property
    def problem(self) -> str:
        """What is wrong, as the daemon says it; "" when nothing is, or when that is no Ambienti."""
        if self.code == http.HTTPStatus.OK:
            return ""
        try:
            return printable(str(json.loads(self.content)["problem"]))
        except (ValueError, KeyError, TypeError):
            return ""


def ask(
    where: Path | str, path: str, *, seconds: float, token: str = "", content: bytes | None = None, method: str = "GET"
) -> Answer:
    """Ask the daemon behind a socket, or at a URL; a NoAnswerError says why there is none."""
    headers = {"Host": "localhost"} if not isinstance(where, str) else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if content is not None:
        headers["Content-Type"] = "application/json"
    try:
        base = urlsplit(where).path.rstrip("/") if isinstance(where, str) else ""
        with closing(_connection(where, seconds, token)) as connection:
            connection.request(method, f"{base}{path}", content, headers)
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(None if answer.status == http.HTTPStatus.OK else MOST_PROBLEM_BYTES))
    except FileNotFoundError as error:
        raise NoAnswerError("") from error
    except PermissionError as error:
        raise NoAnswerError("only its own user and root may ask it") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NoAnswerError(str(getattr(error, "strerror", "") or error) or type(error).__name__) from error


def read_token(path: Path) -> str:
    """Read a token from a file that only its owner may read."""
    try:
        mode = path.stat().st_mode
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        problem = getattr(error, "strerror", "") or "is no token"
        raise TokenError(f"token {path}: {problem} (`ambienti token add` makes one)") from error
    if mode & PRIVATE:
        raise TokenError(f"token {path} may be read by others: chmod 600 {path}")
    if not token.isascii() or not token.isprintable() or " " in token:
        raise TokenError(f"token {path}: is no token (`ambienti token add` makes one)")
    return token


def token_file(environment: Mapping[str, str] = os.environ) -> str:
    """Return which file holds the token of whoever asks, "" if none is named."""
    return environment.get("AMBIENTI_TOKEN_FILE", "")


def named_url(environment: Mapping[str, str] = os.environ) -> str:
    """Return the address of the daemon that whoever asks means, whatever the site file says; "" if he names none."""
    url = environment.get("AMBIENTI_URL", "")
    return address(url, "AMBIENTI_URL") if url else ""


def address(url: str, where: str) -> str:
    """Return the address of a daemon as somebody gives it, if it can be one."""
    try:
        return checked_url(url)
    except PydanticCustomError as error:
        context = error.context or {}
        raise ConfigurationError([Problem("", 0, 0, where, str(context["message"]), str(context["expected"]))]) from error


def url_of(settings: DaemonSettings) -> str:
    """Return where the site's daemon is asked: its own address, else where it listens; "" for a daemon that listens nowhere.

    One that listens everywhere is asked on this machine.
    """
    if settings.url or not settings.listen:
        return settings.url
    host, _, port = settings.listen.rpartition(":")
    bare = host.strip("[]")
    try:
        everywhere = ipaddress.ip_address(bare).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere:
        host = "[::1]" if ":" in bare else "127.0.0.1"
    return f"http://{host}:{port}"


def _connection(where: Path | str, seconds: float, token: str) -> http.client.HTTPConnection:
    if not isinstance(where, str):
        return _Local(where, seconds)
    url = urlsplit(where)
    host = url.hostname or ""
    if url.scheme == "https":
        return http.client.HTTPSConnection(host, url.port, timeout=seconds, context=ssl.create_default_context())
    if token and not _is_here(host):
        raise TokenError(
            f"{where}: a token is not sent over the network in the clear: give an https address (a proxy before the daemon), "
            "or the end of an SSH tunnel on this machine"
        )
    return http.client.HTTPConnection(host, url.port, timeout=seconds)


def _is_here(host: str) -> bool:
    """Whether every address of a host is one of this machine: nobody else can listen there."""
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return bool(found) and all(_can_be_bound(family, address) for family, _, _, _, address in found)


def _can_be_bound(family: int, address: tuple[object, ...]) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        try:
            probe.bind(address)
        except OSError:
            return ipaddress.ip_address(str(address[0]).partition("%")[0]).is_loopback
    return not ipaddress.ip_address(str(address[0]).partition("%")[0]).is_unspecified


class _Local(http.client.HTTPConnection):
    """A connection to a socket in a directory."""

    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("localhost", timeout=seconds)
        self._path = path

    def connect(self) -> None:
        """Connect, by way of the directory: an address of a socket has 107 bytes, a path may have more."""
        directory = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.settimeout(self.timeout)
            self.sock.connect(f"/proc/self/fd/{directory}/{self._path.name}")
        finally:
            os.close(directory)
