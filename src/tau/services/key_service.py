"""API keys: the first one, the configured one, and who holds the one that was sent."""

from dataclasses import replace
from datetime import datetime, timedelta

from tau.core import auth
from tau.core.auth import Actor, NewKey, Scope
from tau.core.clock import Clock
from tau.core.database import Database
from tau.errors import KeyInvalid
from tau.repositories.key_repo import KeyRepository

CACHED = timedelta(seconds=2)
"""How long a verified key is taken without asking the store; revocation is that late at most."""


class KeyService:
    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._verified: dict[bytes, tuple[datetime, Actor]] = {}

    async def accept(self, text: str, *, name: str) -> None:
        """Make sure that this key is an admin key of the store."""
        key = NewKey(key_id=auth.identify(text), text=text, digest=auth.digest(text))
        async with self._db.transaction() as session:
            keys = KeyRepository(session)
            if await keys.find(key.key_id) is None:
                admin = frozenset({Scope.ADMIN})
                await keys.add(key, name=name, scopes=admin, now=self._clock.now())

    async def authenticate(self, text: str) -> Actor:
        """Who holds this key. Raises KeyInvalid."""
        now = self._clock.now()
        digest = auth.digest(text)
        cached = self._verified.get(digest)
        if cached and cached[0] > now:
            return cached[1]
        async with self._db.read() as session:
            row = await KeyRepository(session).find_live(auth.identify(text), now=now)
        if row is None or not auth.matches(text, row.digest):
            raise KeyInvalid()
        actor = Actor(key_id=row.id, key_name=row.name, scopes=auth.to_scopes(row.scopes))
        if len(self._verified) > 1000:
            self._verified.clear()
        self._verified[digest] = (now + CACHED, actor)
        return actor


def with_request(actor: Actor, *, agent: str | None, request_id: str) -> Actor:
    """The actor of one request."""
    return replace(actor, agent=agent, request_id=request_id)
