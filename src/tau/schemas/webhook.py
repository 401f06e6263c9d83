"""Webhooks on the wire; the secret of one leaves the daemon once, when it is made."""

from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, StringConstraints

from tau.core.notice_types import NoticeType
from tau.schemas.base import Change, NamedWarning, Output, UtcTime


def shown_url(url: str) -> str:
    """A webhook's URL for lists: what follows the path may be a secret."""
    parts = urlsplit(url)
    shown = f"{parts.scheme}://{parts.netloc}{parts.path}"
    return f"{shown}?…" if parts.query or parts.fragment else shown


def _each_once(events: list[NoticeType]) -> list[NoticeType]:
    return list(dict.fromkeys(events))


class WebhookAdd(Change):
    """A request for a webhook; without events it is told of all."""

    url: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    events: Annotated[list[NoticeType], AfterValidator(_each_once), Field(min_length=1)] | None = (
        None
    )


class WebhookAdded(Output):
    """A new webhook; `secret` is shown this once."""

    id: str | None = None
    url: str
    events: list[str]
    secret: str | None = None
    dry_run: bool = False
    warnings: list[NamedWarning] | None = None
    next: list[str] | None = None


class WebhookRow(Output):
    """A webhook with how its deliveries go: `failures` in a row, messages `pending` and `dead`."""

    id: str
    url: str
    events: list[str]
    enabled: bool
    disabled_reason: str | None = None
    last_delivered_at: UtcTime | None = None
    last_attempt_at: UtcTime | None = None
    http_status: int | None = None
    last_error: str | None = None
    failures: int
    pending: int
    dead: int


class ServiceRow(Output):
    """A service of [notify]; its URL is never shown."""

    service: str
    id: str
    pending: int
    dead: int
    last_error: str | None = None


class WebhookList(Output):
    webhooks: list[WebhookRow]
    total: int
    next_cursor: str | None = None
    notify: list[ServiceRow] | None = None


class WebhookDeleted(Output):
    """`dropped` messages were still to be delivered."""

    id: str
    url: str
    deleted: bool
    dropped: int
    dry_run: bool


class WebhookTested(Output):
    id: str
    url: str
    delivered: bool
    http_status: int | None = None
    error: str | None = None
    ms: int
    next: list[str] | None = None


class ServiceTested(Output):
    service: str
    id: str
    delivered: bool
    error: str | None = None


class NotifyTested(Output):
    services: list[ServiceTested]
