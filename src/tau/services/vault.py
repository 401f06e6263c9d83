"""The vault: opens and seals stored secrets with this daemon's keys, and hands them to runs."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from tau.core.crypto import Keyring, Sealed
from tau.core.database import Database, ReadSession, Session
from tau.errors import SecretKeyWrong
from tau.models import Secret
from tau.repositories.secret_repo import SecretRepository
from tau.services.secret_rules import is_ours


@dataclass(frozen=True)
class Handed:
    """A value on its way to a run, and where it was found: `store` or `environment`."""

    name: str
    value: str
    source: str
    version: int | None = None

    @property
    def about(self) -> dict[str, str | int]:
        """What may be told of it."""
        facts = {"name": self.name, "source": self.source, "version": self.version}
        return {key: fact for key, fact in facts.items() if fact is not None}


class Vault:
    """The store's secrets come first, then the variables of the daemon's environment."""

    def __init__(self, db: Database, *, ring: Keyring, environ: Mapping[str, str]) -> None:
        self._db, self._ring, self._environ = db, ring, environ

    @property
    def ring(self) -> Keyring:
        return self._ring

    async def find(self, name: str) -> Handed | None:
        """The value, if there is one; a variable of Tau's own is never handed out.

        Raises SecretKeyWrong where one is stored that can't be read.
        """
        if is_ours(name):
            return None
        row = await self._find_row(name)
        if row is not None:
            return Handed(name, await self._open_patiently(row), "store", row.version)
        value = self._environ.get(name)
        return None if value is None else Handed(name, value, "environment")

    async def list_set(self, session: ReadSession, names: Sequence[str]) -> set[str]:
        """Those of the names that could be handed out."""
        stored = await SecretRepository(session).list_known(names) if names else set()
        return {
            name
            for name in names
            if not is_ours(name) and (name in stored or self.in_environment(name))
        }

    def in_environment(self, name: str) -> bool:
        return not is_ours(name) and name in self._environ

    async def check_store(self) -> None:
        """Raises SecretKeyWrong where the store needs a key that this daemon does not have."""
        async with self._db.glance() as session:
            self.check(await SecretRepository(session).list_key_ids())

    def check(self, used: Iterable[str]) -> None:
        """Raises SecretKeyWrong unless each of the keys is here."""
        unknown = set(used) - self._ring.key_ids
        if unknown:
            self._ring.reload()  # the file may have been put there meanwhile
            unknown -= self._ring.key_ids
        if unknown:
            raise SecretKeyWrong(
                "The store's secrets are encrypted with a key that this daemon does not have.",
                key_ids=sorted(unknown),
            )

    async def prepare(self, *, dry_run: bool = False) -> None:
        """Before something is sealed: the library, the store's keys, and one to seal with.

        Raises SecretKeyWrong.
        """
        await load_library()
        await self.check_store()
        if self._ring.key_id is None and not dry_run:
            self._ring.add_key()

    async def lock(self, session: Session) -> None:
        """One who seals at a time: none with a key that a rotation is about to drop.

        Raises SecretKeyWrong.
        """
        secrets = SecretRepository(session)
        await secrets.lock()
        self.check(await secrets.list_key_ids())

    def open(self, row: Secret) -> str:
        """The value of a row. Raises SecretKeyWrong; needs `load_library` before."""
        return self._ring.open(Sealed(row.token, row.key_id), row.tenant_id, row.name)

    def seal(self, row: Secret, value: str) -> None:
        """Put a value into a row, for its tenant and name alone."""
        sealed = self._ring.seal(row.tenant_id, row.name, value=value)
        row.token, row.key_id = sealed.token, sealed.key_id

    def open_signing(self, webhook_id: str, sealed: Sealed) -> str:
        """What signs for a webhook. Raises SecretKeyWrong; needs `load_library` before."""
        return self._ring.open(sealed, "webhook", webhook_id)

    def seal_signing(self, webhook_id: str, value: str) -> Sealed:
        """What the store keeps of it; between `lock` and the commit."""
        return self._ring.seal("webhook", webhook_id, value=value)

    async def _find_row(self, name: str) -> Secret | None:
        async with self._db.glance() as session:
            return await SecretRepository(session).find(name)

    async def _open_patiently(self, row: Secret) -> str:
        """A rotation may have gone by since the row was read, or another key come into the file."""
        await load_library()
        try:
            return self.open(row)
        except SecretKeyWrong:
            self._ring.reload()
        return self.open(await self._find_row(row.name) or row)


async def load_library() -> None:
    """Its first import takes long enough to be felt by whoever else is being served."""
    await asyncio.to_thread(import_module, "cryptography.fernet")
