"""What can go wrong between client and daemon, as errors: transport faults and answers."""

import json
from typing import Any

from tau.client.lean_httpx import httpx
from tau.client.target import Target
from tau.errors import DaemonBadAnswer, DaemonUnreachable, TauError, UnexpectedError, from_dict

EXCERPT_CHARS = 200

_OF_RFC_9457 = frozenset({"type", "title", "status", "detail", "instance"})
_TRANSIENT_STATUSES = frozenset({502, 503, 504})


class Transient(Exception):  # noqa: N818
    """A fault that the same request may not meet again; `error` is what it is reported as.

    `unsent` says that the daemon has seen nothing of the request.
    """

    def __init__(self, error: TauError, *, unsent: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.unsent = unsent


def unreachable(target: Target, reason: str) -> DaemonUnreachable:
    """Nothing answers there."""
    if target.is_local:
        return DaemonUnreachable(
            f"The local daemon at {target.url} does not answer: {reason}.",
            hint="`taud start --daemon` starts it; taud.log in the home says why it ended.",
            next=["taud start --daemon", "taud status"],
            url=target.url,
        )
    return DaemonUnreachable(
        f"No daemon answers at {target.url}: {reason}.",
        hint=f"The address comes from {target.chosen_by}; is it right, and is the daemon up?",
        url=target.url,
    )


def from_transport(target: Target, error: Exception) -> Exception:
    """The error for what httpx raised before an answer had begun."""
    reason = str(error) or type(error).__name__
    if isinstance(error, httpx.TimeoutException):
        return unreachable(target, "no answer in time")
    if isinstance(error, (httpx.NetworkError, httpx.RemoteProtocolError)):
        unsent = isinstance(error, httpx.ConnectError)
        return Transient(unreachable(target, reason), unsent=unsent)
    if isinstance(error, (httpx.TransportError, httpx.InvalidURL)):
        return unreachable(target, reason)
    return UnexpectedError(f"{type(error).__name__}: {error}")


def cut(target: Target, error: Exception, *, status: int) -> Transient:
    """The answer had begun and did not come to its end."""
    reason = str(error) or type(error).__name__
    return Transient(
        DaemonBadAnswer(
            f"The answer of {target.url} was cut: {reason}.", url=target.url, status=status
        )
    )


def document_of(target: Target, *, status: int, body: bytes) -> dict[str, Any]:
    """The JSON object of a good answer. Raises the error of any other, Transient where it is."""
    document = _object(body)
    if 200 <= status < 300 and document is not None:
        return document
    error = _problem(document, status=status) or no_daemon(target, status=status, body=body)
    raise Transient(error) if status in _TRANSIENT_STATUSES else error


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _problem(document: dict[str, Any] | None, *, status: int) -> TauError | None:
    if document is None or not isinstance(document.get("code"), str) or status < 400:
        return None
    kept = {key: value for key, value in document.items() if key not in _OF_RFC_9457}
    kept.setdefault("message", document.get("detail") or document.get("title"))
    if not isinstance(kept.get("next", []), list):
        return None
    try:
        return from_dict(kept, http_status=status)
    except TypeError:  # a key of the document is an argument of the error: not one of ours
        return None


def no_daemon(target: Target, *, status: int, body: bytes) -> DaemonBadAnswer:
    """What answered is something else; the error shows the beginning of it."""
    text = body[: EXCERPT_CHARS * 4].decode("utf-8", "replace")[:EXCERPT_CHARS]
    return DaemonBadAnswer(
        f"What answers at {target.url} does not speak as a Tau daemon does (HTTP {status}).",
        hint="A proxy may stand in between, or the address is another service's.",
        url=target.url,
        status=status,
        body=text,
    )
