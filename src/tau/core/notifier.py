"""The services of [notify], reached through apprise: Slack, mail and a hundred others.

Their URLs hold secrets, so that outside of here each is known by its kind and a fingerprint.
"""

import asyncio
import hashlib
import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from threading import get_ident
from typing import Any, Literal

from pydantic import SecretStr

from tau.errors import ConfigurationError, ExtraMissing
from tau.pipeline.redaction import Redactor

Mood = Literal["info", "success", "warning", "failure"]

TIMEOUT_S = 30.0
THREADS = 4


class Notifier:
    """Sends short texts to the services that were named; each has a fingerprint as its id."""

    def __init__(self, urls: Sequence[SecretStr] = (), *, timeout_s: float = TIMEOUT_S) -> None:
        self._urls = {_fingerprint(url): url.get_secret_value() for url in urls}
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="notify")

    @property
    def targets(self) -> list[str]:
        """The fingerprints of the services, in the order of the settings."""
        return list(self._urls)

    def label(self, target: str) -> str:
        """What may be shown of a service: its kind, `slack://…`."""
        url = self._urls.get(target)
        return f"{_scheme(url)}://…" if url else "no longer in [notify]"

    def check(self) -> None:
        """Raises ExtraMissing without apprise, ConfigurationError for a URL it does not know.

        Apprise takes most of a second to import: it is not, where nothing is to be sent to.
        """
        if not self._urls:
            return
        if find_spec("apprise") is None:
            raise ExtraMissing(
                "[notify] in tau.toml names services, and apprise is not installed.",
                hint="pip install 'tau-pipelines[notify]', or take the urls out.",
                extra="notify",
            )
        for number, url in enumerate(self._urls.values(), start=1):
            if _open(url) is None:
                raise ConfigurationError(
                    f"notify.urls: number {number} ({_scheme(url)}://…) is no URL that apprise "
                    "knows.",
                    hint="https://github.com/caronc/apprise lists the services and their URLs.",
                    setting="notify.urls",
                )

    async def send(self, target: str, *, title: str, body: str, mood: Mood) -> str | None:
        """Why the service did not take it, without secrets; None where it did."""
        url = self._urls.get(target)
        if url is None:
            return "the service is not in [notify] any more"
        loop = asyncio.get_running_loop()
        sending = loop.run_in_executor(self._threads, _send, url, title, body, mood)
        try:
            # The thread can't be ended: it goes on until the service's own timeouts.
            return await asyncio.wait_for(asyncio.shield(sending), self._timeout_s)
        except TimeoutError:
            sending.add_done_callback(_forget)
            return f"no answer within {self._timeout_s:g} s"


def _forget(future: "asyncio.Future[Any]") -> None:
    """Take the outcome that nobody waits for any more, so that it is not complained of."""
    if not future.cancelled():
        future.exception()


def _send(url: str, title: str, body: str, mood: Mood) -> str | None:
    heard = _Heard()
    logger = logging.getLogger("apprise")
    logger.addHandler(heard)
    try:
        service = _open(url)
        sent = service is not None and service.notify(title=title, body=body, notify_type=mood)
    except Exception as error:
        # A plug-in of a hundred: whatever it raises, the others and the daemon go on.
        heard.lines.append(f"{type(error).__name__}: {error}")
        sent = False
    finally:
        logger.removeHandler(heard)
    if sent:
        return None
    return _without_secrets(url, heard.lines[-1] if heard.lines else "the service did not take it")


def _open(url: str) -> Any:
    """Apprise's object for a service; None for a URL that it does not know."""
    import apprise

    # What they say holds parts of the URLs: it goes to no log, nor to stderr as the last resort.
    for name in ("apprise", "requests", "urllib3"):
        logger = logging.getLogger(name)
        logger.propagate = False
        logger.setLevel(logging.WARNING)  # whatever the daemon's own level is
        if not any(isinstance(handler, logging.NullHandler) for handler in logger.handlers):
            logger.addHandler(logging.NullHandler())
    return apprise.Apprise.instantiate(url)


class _Heard(logging.Handler):
    """Keeps the warnings of one sending: apprise says only there why one failed."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if get_ident() == self._thread:
            self.lines.append(record.getMessage())


def _without_secrets(url: str, text: str) -> str:
    redactor = Redactor()
    redactor.add([url, *re.split(r"[/:@?&=,]+", url.partition("://")[2])])
    return redactor.redact_text(text)[:200]


def _scheme(url: str) -> str:
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]{0,31}(?=://)", url)
    return found[0].lower() if found else "?"


def _fingerprint(url: SecretStr) -> str:
    return hashlib.sha256(url.get_secret_value().encode()).hexdigest()[:16]
