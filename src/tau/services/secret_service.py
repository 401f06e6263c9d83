"""Secrets as people change them: set, listed, deleted, rotated, audited; never shown."""

from collections.abc import Collection, Sequence

from tau.core.auth import Actor
from tau.core.clock import Clock
from tau.core.crypto import Sealed
from tau.core.database import Database, ReadSession, Session
from tau.core.ids import IdFactory
from tau.errors import RotationRefused, SecretKeyWrong, SecretNotFound
from tau.models import Secret
from tau.models.base import DEFAULT_TENANT
from tau.repositories.audit_repo import AuditRepository
from tau.repositories.base import encode_cursor
from tau.repositories.secret_repo import SecretRepository
from tau.repositories.webhook_repo import WebhookRepository
from tau.repositories.worker_repo import WorkerRepository
from tau.schemas.base import Change
from tau.schemas.secret import (
    SecretChanged,
    SecretDeleted,
    SecretList,
    SecretMissing,
    SecretRow,
    SecretSet,
    SecretsRotated,
)
from tau.services.budget import fit_rows
from tau.services.secret_rules import check_name, check_value, warnings_on
from tau.services.vault import Vault, load_library

SHOWN_PIPELINES = 10
SHOWN_MISSING = 10


class SecretService:
    def __init__(
        self, db: Database, clock: Clock, ids: IdFactory, *, vault: Vault, node_id: str
    ) -> None:
        self._db, self._clock, self._ids = db, clock, ids
        self._vault, self._ring, self._node_id = vault, vault.ring, node_id

    async def list(self, *, limit: int, cursor: str | None = None) -> SecretList:
        """Names, who set them when, and which pipelines name them."""
        async with self._db.read() as session:
            secrets = SecretRepository(session)
            rows, total, more = await secrets.list_page(limit=limit, cursor=cursor)
            users = await secrets.list_users()
            known = await self._vault.list_set(session, list(users))
        missing = [
            SecretMissing(name=name, pipelines=users[name][:SHOWN_PIPELINES])
            for name in sorted(users.keys() - known)[:SHOWN_MISSING]
        ]
        shown, cut = fit_rows([_row(row, users.get(row.name, [])) for row in rows], limit=limit)
        return SecretList(
            secrets=list(shown),
            total=total,
            missing=missing or None,
            next_cursor=encode_cursor(shown[-1].name) if cut else more,
            next=[f"tau secret set {missing[0].name}"] if missing else None,
        )

    async def set(self, name: str, request: SecretSet, actor: Actor) -> SecretChanged:
        """Keep a value; the same one again changes nothing.

        Raises SecretInvalid, SecretKeyWrong.
        """
        check_name(name)
        value = check_value(request.value.get_secret_value())
        await self._vault.prepare(dry_run=request.dry_run)
        async with self._db.read() as session:
            users = await self._users(session, name)
        async with self._db.transaction() as session:
            await self._vault.lock(session)
            secrets = SecretRepository(session)
            row = await secrets.find(name)
            changed = row is None or self._differs(row, value)
            version = (row.version if row else 0) + changed
            if changed and not request.dry_run:
                row = row or Secret(
                    tenant_id=DEFAULT_TENANT, name=name, created_at=self._clock.now()
                )
                row.version, row.set_at = version, self._clock.now()
                row.set_by, row.agent = actor.key_name, actor.agent
                self._vault.seal(row, value)
                await secrets.keep(row)
                await self._audit(session, "secret.set", name, request, actor, version=version)
        return SecretChanged(
            name=name,
            version=version,
            changed=changed,
            dry_run=request.dry_run,
            pipelines=[*users] or None,
            warnings=warnings_on(value) or None,
            next=["tau secrets", *(f"tau run {user}" for user in users[:1])],
        )

    async def delete(self, name: str, request: Change, actor: Actor) -> SecretDeleted:
        """Forget a value for good. Raises SecretNotFound."""
        async with self._db.read() as session:
            users = await self._users(session, name)
        async with self._db.transaction() as session:
            secrets = SecretRepository(session)
            row = await secrets.find(name)
            if row is None:
                raise SecretNotFound(f"No secret {name[:80]!r} is stored.", next=["tau secrets"])
            if not request.dry_run:
                await secrets.remove(name)
                await self._audit(
                    session, "secret.delete", name, request, actor, version=row.version
                )
        return SecretDeleted(
            name=name,
            deleted=not request.dry_run,
            dry_run=request.dry_run,
            pipelines=[*users] or None,
            in_environment=self._vault.in_environment(name) or None,
            next=["tau secrets"],
        )

    async def rotate(self, request: Change, actor: Actor) -> SecretsRotated:
        """Encrypt every secret with a new key and forget the old ones.

        At any moment each value can be read with a key that is on the disk: the new one is there
        before it is used, the old ones until nothing needs them. A key of the settings is not
        changed here: all are encrypted with the first one. Raises RotationRefused, SecretKeyWrong.
        """
        await load_library()
        async with self._db.read() as session:
            secrets = SecretRepository(session)
            used = await secrets.list_key_ids()
            self._vault.check(used)
            await self._check_rotation(session, used)
            if request.dry_run:
                return SecretsRotated(rotated=await secrets.count_all(), dry_run=True)
        if not self._ring.is_configured and (not used or self._ring.key_id in used):
            self._ring.add_key()  # else an interrupted rotation has made one, which is taken now
        rotated = await self._seal_all(request, actor)
        async with self._db.read() as session:
            self._ring.drop_all_but(await SecretRepository(session).list_key_ids())
        return SecretsRotated(
            rotated=rotated, key_id=self._ring.key_id, dry_run=False, next=["tau secrets"]
        )

    async def _seal_all(self, request: Change, actor: Actor) -> int:
        async with self._db.transaction() as session:
            secrets = SecretRepository(session)
            await secrets.lock()
            rows = await secrets.list_all()
            for row in rows:
                self._vault.seal(row, self._vault.open(row))
                await secrets.keep(row)
            await self._seal_signing(session)
            await self._audit(session, "secret.rotate", "secrets", request, actor, count=len(rows))
        return len(rows)

    async def _seal_signing(self, session: Session) -> None:
        """What webhooks sign with is under the same keys."""
        webhooks = WebhookRepository(session)
        for webhook in await webhooks.list_all():
            value = self._vault.open_signing(webhook.id, Sealed(webhook.secret, webhook.key_id))
            sealed = self._vault.seal_signing(webhook.id, value)
            webhook.secret, webhook.key_id = sealed.token, sealed.key_id
        await session.flush()

    async def _check_rotation(self, session: ReadSession, used: Collection[str]) -> None:
        if self._ring.is_configured:
            if all(key_id == self._ring.key_id for key_id in used):
                raise RotationRefused(
                    "The key comes from the settings, and every secret has it already.",
                    hint="Put a new key before it in TAU_SECRETS_KEY (new,old) of every daemon, "
                    "restart them, rotate, then take the old one out.",
                )
            return
        now = self._clock.now()
        others = await WorkerRepository(session).list_living(now=now, but=self._node_id)
        if others:
            raise RotationRefused(
                "Other daemons share this store and would not know the new key.",
                hint="Put a new key (`openssl rand -base64 32`) into TAU_SECRETS_KEY of every "
                "daemon, restart them, then rotate.",
                hosts=sorted(set(others))[:20],
            )

    async def _users(self, session: ReadSession, name: str) -> Sequence[str]:
        return (await SecretRepository(session).list_users()).get(name, [])[:SHOWN_PIPELINES]

    def _differs(self, row: Secret, value: str) -> bool:
        try:
            return self._vault.open(row) != value
        except SecretKeyWrong:
            return True  # damaged: to set it anew is the way out

    async def _audit(
        self,
        session: Session,
        action: str,
        target: str,
        request: Change,
        actor: Actor,
        **detail: int,
    ) -> None:
        await AuditRepository(session).add(
            self._ids.new(),
            action,
            target=target,
            actor=actor,
            now=self._clock.now(),
            reason=request.reason,
            detail=detail,
        )


def _row(row: Secret, users: Sequence[str]) -> SecretRow:
    more = max(len(users) - SHOWN_PIPELINES, 0)
    shown = {"pipelines": [*users[:SHOWN_PIPELINES]] or None, "more_pipelines": more or None}
    return SecretRow.model_validate(row).model_copy(update=shown)
