"""The file of a SQLite store beside the daemon that has it open: its copy, and what takes room.

Connections of their own, which only read: a writer waits for none of them. The file is never
opened but by SQLite: closing a descriptor of it would drop the locks of the whole process.
"""

import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

STEP_PAGES = 256
STEP_PAUSE_S = 0.001


class Stopped(Exception):
    """The copy was not wanted any more."""


@dataclass(frozen=True)
class Size:
    """What a table takes with its indexes; `is_exact` says whether all of it was looked at."""

    rows: int | None
    bytes: int | None
    is_exact: bool


def copy(source: Path, target: Path, *, should_stop: Callable[[], bool]) -> None:
    """The store as it is at this moment, into an empty file. Raises Stopped, sqlite3.Error.

    One view of the source is held throughout: without it SQLite begins anew after each write of
    another connection, and under load comes to no end.
    """
    with closing(_open(source)) as live, closing(_connect(target)) as made:
        made.execute("PRAGMA journal_mode=OFF")
        made.execute("PRAGMA synchronous=OFF")
        live.execute("BEGIN")
        live.execute("SELECT 1 FROM sqlite_master").fetchone()

        def go_on(_status: int, _remaining: int, _total: int) -> None:
            if should_stop():
                raise Stopped
            time.sleep(STEP_PAUSE_S)  # the disk and the processor are the runs' first

        live.backup(made, pages=STEP_PAGES, progress=go_on)


def store_bytes(path: Path) -> int:
    """Bytes of all pages of the store, wherever they lie: in its file or still in its log."""
    with closing(_open(path)) as live:
        return _pragma(live, "page_count") * _pragma(live, "page_size")


def disk_bytes(path: Path) -> int:
    """Bytes that the store takes on the disk: its file and its write-ahead log."""
    return path.stat().st_size + log_bytes(path)


def log_bytes(path: Path) -> int:
    """Bytes of the write-ahead log."""
    log = path.with_name(f"{path.name}-wal")
    return log.stat().st_size if log.exists() else 0


def table_sizes(path: Path, tables: Sequence[str], *, within_s: float) -> dict[str, Size]:
    """What each table takes, as far as that can be seen in so many seconds.

    SQLite keeps no counts; its pages tell how many rows they hold without being decoded. What is
    too large for that is estimated from the part that was seen.
    """
    deadline = time.monotonic() + within_s
    with closing(_open(path)) as live:
        live.execute("BEGIN")
        trees = live.execute(
            "SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')"
        ).fetchall()
        used = _pragma(live, "page_count") - _pragma(live, "freelist_count")
        used *= _pragma(live, "page_size")
        seen = {
            name: [_look(live, tree, deadline) for tree, owner in _own_tree_first(trees, name)]
            for name in tables
        }
    return _sizes(seen, used=used)


@dataclass(frozen=True)
class _Tree:
    rows: int
    bytes: int
    is_whole: bool


def _own_tree_first(trees: Sequence[tuple[str, str]], table: str) -> list[tuple[str, str]]:
    mine = [tree for tree in trees if tree[1] == table]
    return sorted(mine, key=lambda tree: tree[0] != table)


def _look(live: sqlite3.Connection, tree: str, deadline: float) -> _Tree:
    """A tree's pages until the deadline. Rows lie in leaves, of a tree without rowid everywhere."""
    rows = inner = size = 0
    for kind, cells, taken in _pages(live, tree):
        size += taken
        if kind == "leaf":
            rows += cells
        elif kind == "internal":
            inner += cells
        if time.monotonic() > deadline:
            return _Tree(rows, size, is_whole=False)
    return _Tree(rows + (0 if _has_rowid(live, tree) else inner), size, is_whole=True)


def _pages(live: sqlite3.Connection, tree: str) -> Iterator[tuple[str, int, int]]:
    yield from live.execute("SELECT pagetype, ncell, pgsize FROM dbstat WHERE name = ?", (tree,))


def _has_rowid(live: sqlite3.Connection, tree: str) -> bool:
    try:
        live.execute(f'SELECT rowid FROM "{tree}" LIMIT 0')  # noqa: S608  a name of ours
    except sqlite3.OperationalError:
        return False
    return True


def _sizes(seen: dict[str, list[_Tree]], *, used: int) -> dict[str, Size]:
    """Of the one table that could not be looked through, what the others leave of the store."""
    partly = [name for name, trees in seen.items() if not all(tree.is_whole for tree in trees)]
    others = sum(tree.bytes for name, trees in seen.items() if name not in partly for tree in trees)
    sizes = {}
    for name, trees in seen.items():
        if name not in partly:
            sizes[name] = Size(trees[0].rows, sum(tree.bytes for tree in trees), is_exact=True)
        elif len(partly) == 1 and trees[0].bytes:
            own = trees[0]
            whole = used - others
            share = own.rows if own.is_whole else own.rows * whole // own.bytes
            sizes[name] = Size(share, whole, is_exact=False)
        else:
            sizes[name] = Size(None, None, is_exact=False)
    return sizes


def _pragma(live: sqlite3.Connection, what: str) -> int:
    return int(live.execute(f"PRAGMA {what}").fetchone()[0])


def _open(path: Path) -> sqlite3.Connection:
    return _connect(f"{path.absolute().as_uri()}?mode=ro")


def _connect(where: Path | str) -> sqlite3.Connection:
    is_uri = isinstance(where, str)
    return sqlite3.connect(where, uri=is_uri, isolation_level=None, check_same_thread=False)
