"""API keys: how they look, how they are stored, what they allow. Pure; no store, no HTTP."""

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

KEY_PATTERN = re.compile(r"tau_([a-z0-9]{8})_([A-Za-z0-9_-]{43})")


class Scope(StrEnum):
    """What a key allows; admin allows everything."""

    READ = "read"
    RUN = "run"
    DEPLOY = "deploy"
    ADMIN = "admin"
    WORKER = "worker"


@dataclass(frozen=True)
class NewKey:
    """A key that was just made: the only moment its text is known."""

    key_id: str
    text: str
    digest: bytes


@dataclass(frozen=True, kw_only=True)
class Actor:
    """Who asks: the key, what it allows, and the agent that holds it."""

    key_id: str
    key_name: str
    scopes: frozenset[Scope]
    agent: str | None = None
    request_id: str | None = None

    def allows(self, scope: Scope) -> bool:
        return Scope.ADMIN in self.scopes or scope in self.scopes


def new_key() -> NewKey:
    """A key of 256 random bits: `tau_<id>_<secret>`."""
    alphabet = "abcdefghijklmnopqrstuvwxyz0123456789"
    key_id = "".join(secrets.choice(alphabet) for _ in range(8))
    text = f"tau_{key_id}_{secrets.token_urlsafe(32)}"
    return NewKey(key_id=key_id, text=text, digest=digest(text))


def digest(text: str) -> bytes:
    """What is stored of a key. The keys are random, so a fast hash is enough."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()


def identify(text: str) -> str:
    """The id under which a key is stored, also for one whose text an operator chose."""
    match = KEY_PATTERN.fullmatch(text)
    return match.group(1) if match else hashlib.sha256(b"id" + text.encode()).hexdigest()[:16]


def matches(text: str, stored: bytes) -> bool:
    """Whether a presented key is the stored one; bytes, in constant time."""
    return hmac.compare_digest(digest(text), stored)


def to_scopes(names: Iterable[str]) -> frozenset[Scope]:
    return frozenset(Scope(name) for name in names)
