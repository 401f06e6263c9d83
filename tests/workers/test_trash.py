"""What is thrown away is deleted, whatever user code made of it."""

from pathlib import Path

import pytest

from tau.workers.trash import Trash


@pytest.fixture
async def trash(tmp_path: Path) -> Trash:
    found = Trash(tmp_path / "trash")
    found.open()
    return found


def make_attempt(home: Path, run: str = "run", number: int = 1) -> Path:
    directory = home / "runs" / run / str(number)
    (directory / "work").mkdir(parents=True)
    (directory / "exit.json").write_text("{}")
    return directory


async def test_a_directory_goes_and_its_parent_with_the_last(trash: Trash, tmp_path: Path) -> None:
    first, second = make_attempt(tmp_path), make_attempt(tmp_path, number=2)

    trash.throw(first)
    assert first in trash
    await trash.emptied()
    assert (first in trash, first.exists(), second.exists()) == (False, False, True)

    trash.throw(second)
    await trash.emptied()
    assert list((tmp_path / "runs").iterdir()) == []
    assert list((tmp_path / "trash").iterdir()) == []


async def test_many_at_once_and_some_that_are_not_there(trash: Trash, tmp_path: Path) -> None:
    attempts = [make_attempt(tmp_path, run=f"run-{n}") for n in range(50)]
    for attempt in attempts:
        trash.throw(attempt)
        trash.throw(attempt.with_name("2"))

    await trash.emptied()

    assert list((tmp_path / "runs").iterdir()) == []


async def test_what_user_code_leaves_is_deleted_too(trash: Trash, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    directory = make_attempt(tmp_path)
    (directory / "work" / "a" / "b").mkdir(parents=True)
    (directory / "work" / "a" / "b" / "file").write_text("x")
    (directory / "work" / "link").symlink_to(elsewhere)
    (directory / "work" / "a").chmod(0)

    trash.throw(directory)
    await trash.emptied()

    assert not directory.exists()
    assert list((tmp_path / "trash").iterdir()) == []
    assert (elsewhere / "kept").exists()


async def test_what_an_earlier_daemon_left_is_deleted_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "trash" / "1-2-3" / "work").mkdir(parents=True)
    trash = Trash(tmp_path / "trash")

    trash.open()
    await trash.emptied()

    assert list((tmp_path / "trash").iterdir()) == []
