"""Tells of the environment that is being built while a deploy waits for it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tau.client.http import Connection
from tau.client.target import Target
from tau.errors import TauError

JsonObject = dict[str, Any]

WAIT_S = 1800.0
"""How long a deploy may take whose file has its own environment: its packages are fetched."""

_PAUSE_S = 0.5


def has_own(source: str) -> bool:
    """Whether a file declares dependencies of its own (PEP 723); the daemon looks closer."""
    return "# /// script" in source


@contextmanager
def told(target: Target, file: str, on_progress: Callable[[JsonObject], None]) -> Iterator[None]:
    """While in here, `on_progress` is called with {file, building: phase}, from another thread."""
    done = threading.Event()
    watcher = threading.Thread(
        target=_watch, args=(target, file, on_progress, done), name="building", daemon=True
    )
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(
    target: Target, file: str, on_progress: Callable[[JsonObject], None], done: threading.Event
) -> None:
    connection = Connection(target)  # its own: the other one waits for the deploy
    try:
        while not done.wait(_PAUSE_S):
            builds = connection.get("/environments")["building"]
            if builds and not done.is_set():
                on_progress({"file": file, "building": builds[-1]["phase"]})
    except TauError:
        return  # the deploy itself says what is wrong
    finally:
        connection.close()
