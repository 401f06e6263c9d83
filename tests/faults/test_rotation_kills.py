"""kill -9 of a daemon that rotates the secrets' key: every secret can be read, each time.

TAU_TEST_LONG=1 makes it 150 kills instead of 8, on each database.
"""

import asyncio
import contextlib
import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import httpx
import pytest
from tests.fixtures.daemon import DaemonProcess
from tests.fixtures.database import STORES

from tau.core.crypto import KEY_FILE, Keyring, Sealed

Make = Callable[..., DaemonProcess]

LONG = os.environ.get("TAU_TEST_LONG") == "1"
KILLS = 150 if LONG else 8
SECRETS = 150
"""So many that a rotation takes long enough to be hit in its midst."""
QUERY = "SELECT name, token, key_id, version FROM secrets"


def rows_of(daemon: DaemonProcess, url: str | None) -> list[tuple[str, bytes, str, int]]:
    """What the store holds, read past the daemon."""
    if url is None:
        path = f"file:{daemon.home / 'tau.db'}?mode=ro"
        with contextlib.closing(sqlite3.connect(path, uri=True)) as store:
            return store.execute(QUERY).fetchall()

    async def fetch() -> list[tuple[str, bytes, str, int]]:
        connection = await asyncpg.connect(url)
        try:
            return [tuple(row) for row in await connection.fetch(QUERY)]
        finally:
            await connection.close()

    return asyncio.run(fetch())


def expect_all_readable(daemon: DaemonProcess, url: str | None) -> int:
    """With the keys that are on the disk; answers how many keys those are."""
    ring = Keyring(daemon.home / KEY_FILE)
    rows = rows_of(daemon, url)
    assert len(rows) == SECRETS
    for name, token, key_id, _ in rows:
        value = ring.open(Sealed(bytes(token), key_id), "default", name)
        assert value.startswith(f"value of {name}, ")
    return len(ring.key_ids)


def fill(daemon: DaemonProcess) -> None:
    with daemon.client() as client:
        for number in range(SECRETS):
            name = f"S{number:04d}"
            answer = client.put(f"/secrets/{name}", json={"value": f"value of {name}, first"})
            assert answer.status_code == 200, answer.text


def rotate_and_set(client: httpx.Client, chance: random.Random, stop: threading.Event) -> None:
    """One rotation after another, and values that change meanwhile, until the daemon is gone."""

    def keep_setting() -> None:
        while not stop.is_set():
            name = f"S{chance.randrange(SECRETS):04d}"
            with contextlib.suppress(httpx.HTTPError):
                body = {"value": f"value of {name}, {chance.random()}"}
                client.put(f"/secrets/{name}", json=body)

    setter = threading.Thread(target=keep_setting)
    setter.start()
    while not stop.is_set():
        with contextlib.suppress(httpx.HTTPError):
            client.post("/secrets/rotate", json={})
    setter.join()


@pytest.mark.timeout(3600 if LONG else 400)
@pytest.mark.parametrize("store", STORES)
def test_every_secret_is_readable_after_each_kill(
    store: str, make_daemon: Make, request: pytest.FixtureRequest
) -> None:
    url = None if store == "sqlite" else request.getfixturevalue("empty_postgres")
    chance = random.Random(os.environ.get("TAU_TEST_SEED"))
    daemon = make_daemon(**({"TAU_DATABASE_URL": url} if url else {})).start()
    fill(daemon)
    with daemon.client() as client:
        begin = time.monotonic()
        assert client.post("/secrets/rotate", json={}).json()["rotated"] == SECRETS
        lasts = time.monotonic() - begin
    in_its_midst, keys = 0, set()
    for _ in range(KILLS):
        stop = threading.Event()
        with daemon.client() as client:
            rotating = threading.Thread(target=rotate_and_set, args=(client, chance, stop))
            rotating.start()
            time.sleep(chance.uniform(0.05, 0.1 + 2 * lasts))
            daemon.kill()
            stop.set()
            rotating.join()
        in_its_midst += expect_all_readable(daemon, url) > 1
        keys.add(Path(daemon.home / KEY_FILE).read_text())
        daemon.start()  # which it refuses where a key is missing
        expect_all_readable(daemon, url)
    assert in_its_midst > 0
    assert len(keys) > 2
    with daemon.client() as client:
        assert client.post("/secrets/rotate", json={}).json()["rotated"] == SECRETS
    assert expect_all_readable(daemon, url) == 1
