"""Rotation where the key is the settings' or other daemons have it too."""

import base64
import os
from datetime import timedelta
from pathlib import Path

import pytest
from tests.fixtures.factories import ACTOR, START

from tau.core.crypto import Keyring
from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.errors import RotationRefused
from tau.repositories.worker_repo import WorkerRepository
from tau.schemas.base import Change
from tau.schemas.secret import SecretSet
from tau.services.secret_service import SecretService
from tau.services.vault import Vault
from tau.testing import FakeClock

OLD, NEW = (base64.b64encode(os.urandom(32)).decode() for _ in range(2))


def service(database: Database, ring: Keyring) -> tuple[SecretService, Vault]:
    vault = Vault(database, ring=ring, environ={})
    made = SecretService(database, FakeClock(START), UlidFactory(), vault=vault, node_id="a")
    return made, vault


async def value_of(vault: Vault, name: str) -> str:
    found = await vault.find(name)
    assert found is not None
    return found.value


async def test_a_key_of_the_settings_is_changed_there(database: Database, tmp_path: Path) -> None:
    path = tmp_path / "secrets.key"
    secrets, _ = service(database, Keyring(path, configured=OLD))
    await secrets.set("A", SecretSet(value="value of A"), ACTOR)
    assert not path.exists()
    with pytest.raises(RotationRefused):
        await secrets.rotate(Change(), ACTOR)
    secrets, _ = service(database, Keyring(path, configured=f"{NEW},{OLD}"))
    await secrets.set("B", SecretSet(value="value of B"), ACTOR)
    assert (await secrets.rotate(Change(), ACTOR)).rotated == 2
    _, vault = service(database, Keyring(path, configured=NEW))
    await vault.check_store()
    assert [await value_of(vault, name) for name in "AB"] == ["value of A", "value of B"]


async def test_the_homes_key_gives_way_to_one_of_the_settings(
    database: Database, tmp_path: Path
) -> None:
    path = tmp_path / "secrets.key"
    secrets, _ = service(database, Keyring(path))
    await secrets.set("A", SecretSet(value="value of A"), ACTOR)
    secrets, vault = service(database, Keyring(path, configured=NEW))
    await vault.check_store()
    await secrets.rotate(Change(), ACTOR)
    assert Keyring(path).key_ids == frozenset()
    _, vault = service(database, Keyring(path, configured=NEW))
    assert await value_of(vault, "A") == "value of A"


async def test_a_homes_key_is_not_changed_while_others_share_the_store(
    database: Database, tmp_path: Path
) -> None:
    secrets, vault = service(database, Keyring(tmp_path / "secrets.key"))
    await secrets.set("A", SecretSet(value="value of A"), ACTOR)
    before = vault.ring.key_ids
    other = {"id": "b", "host": "elsewhere", "pid": 1, "version": "0", "slots": 1}
    async with database.transaction() as session:
        workers = WorkerRepository(session)
        now = await workers.now(START)
        until = now + timedelta(seconds=60)
        await workers.renew(other | {"started_at": now}, until=until)
    with pytest.raises(RotationRefused) as caught:
        await secrets.rotate(Change(), ACTOR)
    assert caught.value.details == {"hosts": ["elsewhere"]}
    assert vault.ring.key_ids == before
    async with database.transaction() as session:
        await WorkerRepository(session).release("b", now=START - timedelta(days=1))
    assert (await secrets.rotate(Change(), ACTOR)).rotated == 1
    assert vault.ring.key_ids.isdisjoint(before)


async def test_without_secrets_there_is_a_new_key_all_the_same(
    database: Database, tmp_path: Path
) -> None:
    secrets, vault = service(database, Keyring(tmp_path / "secrets.key"))
    assert (await secrets.rotate(Change(), ACTOR)).rotated == 0
    first = vault.ring.key_ids
    assert (await secrets.rotate(Change(), ACTOR)).rotated == 0
    assert len(vault.ring.key_ids) == len(first) == 1
    assert vault.ring.key_ids != first
