"""Notices to people through Apprise: mail, chat, SMS gateways, webhooks - whatever its URL names.

Rules:
1. An address is a secret: it stands in no error, no log and no journal.
2. A notice that is sent again bears the same key: as Message-ID of a mail, as Idempotency-Key of a webhook; whoever receives
   it shows it once. Services that know no key get it in the text alone.
3. Files go with a mail, and to services that take files; a webhook of one's own gets the text alone, not megabytes of base64.
4. Sent is what the service took; anything else is a SourceError, and it is for the caller to try again.
"""

from __future__ import annotations

import email
import logging
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import apprise
from apprise.plugins.custom_form import NotifyForm
from apprise.plugins.custom_json import NotifyJSON
from apprise.plugins.custom_xml import NotifyXML
from apprise.plugins.email.base import NotifyEmail
from apprise.plugins.email.smtp import AppriseSMTPController

from environments.hostnames import MOST_PORT
from scheduler.model.ports import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from scheduler.model.ports import Notice

_SHORTEST_SECRET = 3
_LONGEST_ANSWER = 500
_SAID = ("Socket Exception: ", "SMTP recipient ")
"""Lines of Apprise's debug log that tell what a server answered."""

_WEBHOOKS = (NotifyForm, NotifyJSON, NotifyXML)

_ears = threading.local()


def connect(name: str, address: str, *, deadline_seconds: float) -> AppriseNotifier:
    """Return what sends to one Apprise URL; raise ValueError, without the URL in it, when Apprise cannot read that."""
    notifier = AppriseNotifier(name, address.strip(), deadline_seconds)
    with _listening([]):
        notifier.service()
    return notifier


class AppriseNotifier:
    """One address of one person."""

    def __init__(self, name: str, address: str, deadline_seconds: float) -> None:
        self.name = name
        self._address = address
        self._deadline_seconds = deadline_seconds

    def __repr__(self) -> str:
        """Name it, without its address."""
        return f"AppriseNotifier({self.name!r})"

    def send(self, notice: Notice) -> None:
        """Send one notice; it has been taken when this returns."""
        said: list[str] = []
        try:
            with _listening(said):
                service = self.service()
                taken = _mail(service, notice) if isinstance(service, NotifyEmail) else _other(service, notice)
        except Exception as error:  # noqa: BLE001 - a hundred services, each with failures of its own
            raise SourceError(
                self.name, f"notice {notice.key}", self._without_secrets(f"{type(error).__name__}: {error}")
            ) from None
        if not taken:
            answer = "; ".join(dict.fromkeys(said)) or "it was not taken"
            raise SourceError(self.name, f"notice {notice.key}", self._without_secrets(answer))

    def service(self) -> Any:
        """Make Apprise's service anew for each notice: it remembers nothing of the last one."""
        service: Any = apprise.Apprise.instantiate(
            self._address, asset=apprise.AppriseAsset(app_id="Ambienti", secure_logging=True)
        )
        if service is None:
            scheme = self._address.partition("://")[0] if "://" in self._address else ""
            known = f"; it begins with {scheme}://" if scheme.isalnum() else ""
            raise ValueError(f"the address of {self.name} is no Apprise URL{known}")
        port = service.port if isinstance(service, (NotifyEmail, *_WEBHOOKS)) else None
        if port is not None and not 0 < port <= MOST_PORT:
            raise ValueError(f"the address of {self.name} has a port that is not from 1 to {MOST_PORT}")
        service.socket_connect_timeout = service.socket_read_timeout = self._deadline_seconds
        return service

    def _without_secrets(self, text: str) -> str:
        for secret in sorted(_secrets(self._address), key=len, reverse=True):
            text = text.replace(secret, "***")
        return " ".join(text.split())[:_LONGEST_ANSWER]


def _mail(service: Any, notice: Notice) -> bool:
    """Send a mail with our Message-ID; Apprise would make a new one for each try."""
    controller = AppriseSMTPController(
        host=str(service.smtp_host),
        port=int(service.port or 0),
        secure_mode=service.secure_mode,
        user=service.user,
        password=service.password,
        verify_certificate=service.verify_certificate,
        socket_connect_timeout=service.socket_connect_timeout,
    )
    taken = True
    with controller as server:
        messages: Any = NotifyEmail.prepare_emails(
            subject=notice.subject,
            body=notice.body,
            notify_format=apprise.NotifyFormat.TEXT,
            from_addr=service.from_addr,
            to=service.targets,
            cc=service.cc,
            bcc=service.bcc,
            reply_to=service.reply_to,
            smtp_host=str(service.smtp_host),
            attach=_files(notice),
            headers={"Auto-Submitted": "auto-generated", "Idempotency-Key": notice.key, **service.headers},
            names=service.names,
        )
        for message in messages:
            parsed = email.message_from_string(message.body)
            del parsed["Message-ID"]
            parsed["Message-ID"] = f"<{notice.key}>"
            taken = server.sendmail(service.from_addr[1], message.to_addrs, parsed.as_string()) and taken
    return taken


def _other(service: Any, notice: Notice) -> bool:
    if isinstance(getattr(service, "headers", None), dict):
        service.headers["Idempotency-Key"] = notice.key
    takes_files = service.attachment_support and not isinstance(service, _WEBHOOKS)
    return bool(
        service.notify(
            body=notice.body,
            title=notice.subject,
            notify_type=apprise.NotifyType.WARNING,
            body_format=apprise.NotifyFormat.TEXT,
            attach=_files(notice) if takes_files else None,
        )
    )


def _files(notice: Notice) -> apprise.AppriseAttachment | None:
    return apprise.AppriseAttachment([str(path) for path in notice.attachments]) if notice.attachments else None


def _heard(record: logging.LogRecord) -> bool:
    """Keep warnings, and the lines that hold a server's answer, for whoever listens in this thread; let nothing through."""
    text = record.getMessage()
    if record.levelno >= logging.WARNING or text.startswith(_SAID):
        getattr(_ears, "said", []).append(text)
    return False


@contextmanager
def _listening(said: list[str]) -> Iterator[None]:
    _ears.said = said
    try:
        yield
    finally:
        del _ears.said


def _secrets(address: str) -> set[str]:
    """Return every part of an address that may be a secret: all of it but its scheme, server and port."""
    parts = urlsplit(address)
    values = [pair.partition("=")[2] for pair in parts.query.split("&")]
    found = {
        address,
        parts.netloc.rpartition("@")[0],
        parts.password or "",
        parts.username or "",
        *parts.path.split("/"),
        *values,
    }
    found |= {unquote(one) for one in found}
    return {one for one in found if len(one) >= _SHORTEST_SECRET}


# Payloads and addresses stand in Apprise's debug log, paths of webhooks in that of urllib3: nothing of either gets out.
_apprise_log = logging.getLogger("apprise")
_apprise_log.setLevel(logging.DEBUG)
_apprise_log.addFilter(_heard)
logging.getLogger("urllib3").setLevel(logging.ERROR)
