"""API keys: the first one, the configured one, and who holds the one that was sent."""

from dataclasses import replace
from datetime import datetime, timedelta

from tau.core import auth
from tau.core.auth import Actor, NewKey, Scope
from tau.core.clock import Clock
from tau.core.database import Database, Session
from tau.core.ids import IdFactory
from tau.errors import KeyInUse, KeyInvalid, KeyNotFound
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.key_repo import KeyRepository
from tau.schemas.base import Change
from tau.schemas.key import KeyCreate, KeyCreated, KeyList, KeyRevoked, KeyRow
from tau.services.idempotency import once, request_digest

CACHED = timedelta(seconds=2)
"""How long a verified key is taken without asking the store; revocation is that late at most."""


class KeyService:
    def __init__(self, db: Database, clock: Clock, ids: IdFactory) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._verified: dict[bytes, tuple[datetime, Actor]] = {}

    async def accept(self, text: str, *, name: str) -> None:
        """Make sure that this key is an admin key of the store."""
        key = NewKey(key_id=auth.identify(text), text=text, digest=auth.digest(text))
        async with self._db.transaction() as session:
            keys = KeyRepository(session)
            if await keys.find(key.key_id) is None:
                admin = frozenset({Scope.ADMIN})
                await keys.add(key, name=name, scopes=admin, now=self._clock.now())

    async def list(self, *, limit: int, cursor: str | None = None) -> KeyList:
        async with self._db.read() as session:
            rows, total, more = await KeyRepository(session).list_page(limit=limit, cursor=cursor)
        return KeyList(
            keys=[KeyRow.model_validate(row) for row in rows], total=total, next_cursor=more
        )

    async def create(
        self, request: KeyCreate, actor: Actor, *, idempotency_key: str | None = None
    ) -> KeyCreated:
        """A new key; its text is in the first answer and nowhere else."""
        now = self._clock.now()
        expires = now + timedelta(seconds=request.expires) if request.expires else None
        planned = KeyCreated(
            name=request.name, scopes=sorted(set(request.scopes)), expires_at=expires
        )
        if request.dry_run:
            return planned.model_copy(update={"dry_run": True})
        async with self._db.transaction() as session:
            return await once(
                session,
                idempotency_key,
                digest=request_digest("keys", request),
                now=now,
                produce=lambda: self._create(session, request, planned, actor),
                answer_type=KeyCreated,
                never_kept=frozenset({"key"}),
            )

    async def _create(
        self, session: Session, request: KeyCreate, planned: KeyCreated, actor: Actor
    ) -> KeyCreated:
        key, now, scopes = auth.new_key(), self._clock.now(), frozenset(request.scopes)
        await KeyRepository(session).add(
            key, name=request.name, scopes=scopes, now=now, expires_at=planned.expires_at
        )
        await AuditRepository(session).add(
            self._ids.new(),
            "key.create",
            target=request.name,
            actor=actor,
            now=now,
            reason=request.reason,
            detail={"id": key.key_id, "scopes": planned.scopes},
        )
        revoke = [f"tau keys revoke {key.key_id}"]
        return planned.model_copy(update={"id": key.key_id, "key": key.text, "next": revoke})

    async def revoke(self, key_id: str, request: Change, actor: Actor) -> KeyRevoked:
        """Take a key away, at once in this daemon. Raises KeyNotFound, KeyInUse."""
        if key_id == actor.key_id:
            raise KeyInUse(hint="Use another admin key to revoke this one.")
        async with self._db.transaction() as session:
            keys, now = KeyRepository(session), self._clock.now()
            key = await keys.find_live(key_id, now=now)
            if key is None:
                raise KeyNotFound(f"No live key {key_id[:40]!r}.", next=["tau keys list"])
            if not request.dry_run:
                await keys.revoke(key, now=now)
                session.after_commit(self._verified.clear)
                await AuditRepository(session).add(
                    self._ids.new(),
                    "key.revoke",
                    target=key.name,
                    actor=actor,
                    now=now,
                    reason=request.reason,
                    detail={"id": key.id},
                )
        return KeyRevoked(
            id=key.id, name=key.name, revoked=not request.dry_run, dry_run=request.dry_run
        )

    async def authenticate(self, text: str) -> Actor:
        """Who holds this key. Raises KeyInvalid."""
        now = self._clock.now()
        digest = auth.digest(text)
        cached = self._verified.get(digest)
        if cached and cached[0] > now:
            return cached[1]
        async with self._db.glance() as session:
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
