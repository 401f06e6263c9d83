"""Backups: of one moment, whole, durable, nobody else's; refused where they can't be."""

import asyncio
import os
import shutil
import sqlite3
import stat
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.fixtures.database import execute_on, sibling
from tests.fixtures.factories import ACTOR, add_pipeline
from tests.fixtures.waiting import eventually_async
from tests.services.test_retention import NOW, add_history, check_whole, numbers
from tests.services.test_store_service import audited

from tau.core import sqlite_file
from tau.core.database import Database
from tau.core.ids import UlidFactory
from tau.core.migrations import HEAD, find_revision
from tau.core.sqlite_file import Stopped
from tau.errors import (
    BackupExists,
    BackupFailed,
    ProgramMissing,
    RequestInvalid,
    StoreNoRoom,
    TauError,
)
from tau.repositories.pipeline_repo import PipelineRepository
from tau.schemas.store import BackupCreate
from tau.services.backup_service import BackupService
from tau.testing import FakeClock


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "tau.backup"


def backups(database: Database, home: Path = Path("/nowhere")) -> BackupService:
    return BackupService(database, FakeClock(NOW), UlidFactory(), home=home, revision=HEAD)


def looks(place: Path) -> tuple[int, int]:
    """Size and mode of a file."""
    found = place.stat()
    return found.st_size, stat.S_IMODE(found.st_mode)


def pg_restore(file: Path, url: str) -> None:
    """As the backup's answer says."""
    options = ["--no-owner", "--exit-on-error", f"--dbname={url}"]
    subprocess.run(["pg_restore", *options, file], check=True)


@pytest.fixture
def precious(place: Path) -> Path:
    """A file that is there already."""
    place.write_text("precious")
    return place


@pytest.fixture
def restored_postgres(postgres_server: str) -> Iterator[str]:
    """The URL of an empty database to restore into."""
    name = f"tau_restored_{uuid.uuid4().hex[:12]}"
    asyncio.run(execute_on(postgres_server, f"CREATE DATABASE {name}"))
    yield sibling(postgres_server, name)
    asyncio.run(execute_on(postgres_server, f"DROP DATABASE {name} WITH (FORCE)"))


async def test_a_backup_is_the_store_of_one_moment(
    database: Database, place: Path, restored_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under writes that change two rows together: the copy has both or neither."""
    monkeypatch.setattr(sqlite_file, "STEP_PAGES", 4)
    await add_history(database, ["success"] * 800, events=10)
    other = await add_pipeline(database, "others")
    stop = asyncio.Event()

    async def write() -> int:
        written = 0
        while not stop.is_set():
            async with database.transaction() as session:
                pipelines = PipelineRepository(session)
                await pipelines.next_run_number(other)
                await pipelines.next_run_number("p-orders")
            written += 1
            await asyncio.sleep(0)
        return written

    work = asyncio.create_task(write())
    made = await backups(database).create(BackupCreate(file=str(place), reason="nightly"), ACTOR)
    stop.set()
    assert await work > 0
    assert looks(place) == (made.bytes, 0o600)
    assert os.listdir(place.parent) == [place.name]
    if database.is_sqlite:
        with closing(sqlite3.connect(place)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        url = f"sqlite:///{place}"
    else:
        url = restored_postgres
        await asyncio.to_thread(pg_restore, place, url)
    restored = Database(url)
    assert await find_revision(restored) == HEAD
    assert await numbers(restored) == list(range(1, 801))
    async with restored.read() as session:
        counts = [await PipelineRepository(session).total_runs(p) for p in (other, "p-orders")]
    assert counts[1] - counts[0] == 800
    await restored.close()
    assert ("db.backup", "nightly", {"file": str(place), "bytes": made.bytes}) in await audited(
        database
    )


async def test_a_dry_run_writes_nothing(database: Database, place: Path) -> None:
    told = await backups(database).create(BackupCreate(file=str(place), dry_run=True), ACTOR)
    assert (told.file, told.dry_run, told.bytes) == (str(place), True, None)
    assert os.listdir(place.parent) == []


async def test_what_is_there_is_replaced_only_by_force(database: Database, precious: Path) -> None:
    service, before = backups(database), looks(precious)
    for dry_run in (True, False):
        with pytest.raises(BackupExists):
            await service.create(BackupCreate(file=str(precious), dry_run=dry_run), ACTOR)
        assert looks(precious) == before
    made = await service.create(BackupCreate(file=str(precious), force=True), ACTOR)
    assert looks(precious) == (made.bytes, 0o600)


async def test_nothing_in_the_home_is_replaced_even_by_force(
    sqlite_store: Path, tmp_path: Path
) -> None:
    database = Database(f"sqlite:///{sqlite_store}")
    (tmp_path / "link").symlink_to(tmp_path)
    for place in (sqlite_store, tmp_path / "link" / "tau.db"):
        request = BackupCreate(file=str(place), force=True)
        with pytest.raises(BackupExists):
            await backups(database, tmp_path).create(request, ACTOR)
    await database.close()


@pytest.mark.parametrize(
    ("place", "error"),
    [
        ("relative.db", RequestInvalid),
        ("{folder}/none/tau.backup", RequestInvalid),
        ("{folder}", BackupExists),
        ("/proc/tau.backup", TauError),
        ("{folder}/" + "x" * 300, BackupFailed),
        ("{folder}/" + "x" * 250, BackupFailed),
    ],
)
async def test_places_that_can_not_be(
    database: Database, tmp_path: Path, place: str, error: type[TauError]
) -> None:
    file = place.format(folder=tmp_path)
    with pytest.raises(error) as raised:
        await backups(database).create(BackupCreate(file=file), ACTOR)
    assert raised.value.code != "internal.error"
    with pytest.raises(TauError):
        await backups(database).create(BackupCreate(file=file, force=file == str(tmp_path)), ACTOR)


async def test_a_full_disk_leaves_nothing_behind(database: Database, place: Path) -> None:
    """A file may grow to so many bytes only: the system's own word for that is EFBIG."""
    await add_history(database, ["success"] * 500, events=40)
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150_000 if database.is_sqlite else 10_000, hard))
    try:
        with pytest.raises((BackupFailed, StoreNoRoom)):
            await backups(database).create(BackupCreate(file=str(place)), ACTOR)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(place.parent) == []
    await check_whole(database, events=40)


async def test_one_that_is_not_wanted_any_more_ends_and_leaves_nothing(
    sqlite_store: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{sqlite_store}")
    await add_history(database, ["success"] * 300, events=40)
    monkeypatch.setattr(sqlite_file, "STEP_PAGES", 1)
    monkeypatch.setattr(sqlite_file, "STEP_PAUSE_S", 0.01)
    work = asyncio.create_task(backups(database).create(BackupCreate(file=str(place)), ACTOR))
    await eventually_async(lambda: bool(os.listdir(place.parent)))
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    assert os.listdir(place.parent) == []
    assert not [t for t in threading.enumerate() if "copy" in t.name]
    await database.close()


def test_a_copy_that_is_told_to_stop_says_so(sqlite_store: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.touch()
    with pytest.raises(Stopped):
        sqlite_file.copy(sqlite_store, target, should_stop=lambda: True)


async def test_without_pg_dump_it_is_said_what_to_do(
    postgres_server: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(postgres_server)
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    for dry_run in (True, False):
        with pytest.raises(ProgramMissing) as raised:
            await backups(database).create(BackupCreate(file=str(place), dry_run=dry_run), ACTOR)
    assert "postgresql-client" in str(raised.value.hint)
    assert int(raised.value.exit_code) == 5
    await database.close()


async def test_what_pg_dump_complains_of_is_told_without_the_password(place: Path) -> None:
    database = Database("postgresql://nobody:hunter2-hunter2@127.0.0.1:1/none")
    with pytest.raises(BackupFailed) as raised:
        await backups(database).create(BackupCreate(file=str(place)), ACTOR)
    assert "pg_dump" in raised.value.message
    assert "hunter2" not in str(raised.value.to_dict())
    assert os.listdir(place.parent) == []
    await database.close()


async def test_a_copy_comes_to_its_end_however_much_is_written(
    sqlite_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite begins a copy anew after each write of another connection, unless a view is held."""
    database = Database(f"sqlite:///{sqlite_store}")
    await add_history(database, ["success"] * 300, events=10)
    monkeypatch.setattr(sqlite_file, "STEP_PAGES", 2)
    target, steps = tmp_path / "copy.db", 0
    target.touch()

    def too_many() -> bool:
        nonlocal steps
        steps += 1
        return steps > 5_000

    work = asyncio.create_task(
        asyncio.to_thread(sqlite_file.copy, sqlite_store, target, should_stop=too_many)
    )
    while not work.done():
        async with database.transaction() as session:
            await PipelineRepository(session).next_run_number("p-orders")
        await asyncio.sleep(0)
    await work
    await database.close()
