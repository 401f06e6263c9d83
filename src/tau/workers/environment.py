"""One environment of a file's own: what it is made from, and the folder that it is."""

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tau.core.script_block import OWN_NAME, Needs
from tau.pipeline.protocol import JsonObject
from tau.workers.fresh import IN_USE_FILE
from tau.workers.interpreters import Interpreter

CHILD_NEEDS = frozenset({"duckdb", "httpx", "sqlglot"})
"""What Tau's code imports in a child, besides the standard library."""

FACTS_FILE = "tau.json"
"""Written last: a folder without it is no environment."""

FORMAT = 1


@dataclass(frozen=True)
class Recipe:
    """All that an environment is made from; the same recipe is the same environment."""

    needs: Needs
    interpreter: Interpreter
    of_tau: "TauNeeds"

    @property
    def hash(self) -> str:
        parts = [FORMAT, self.needs.to_dict(), vars(self.interpreter), vars(self.of_tau)]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def requirements(self) -> tuple[str, ...]:
        return (*self.needs.dependencies, *self.of_tau.requirements)

    @property
    def names(self) -> list[str]:
        """The packages that are asked for by name."""
        return sorted({canonicalize_name(Requirement(text).name) for text in self.requirements})


@dataclass(frozen=True)
class TauNeeds:
    """What Tau's code in the child needs, and the versions that this Tau has for itself.

    Those are preferred where the file does not ask for others: pipelines with and without an
    environment of their own open one warehouse file, and should do so with one DuckDB.
    """

    requirements: tuple[str, ...]
    preferred: tuple[str, ...]


@dataclass(frozen=True)
class Environment:
    """One that is there: where, its Python's version, and `name==version` of what is in it."""

    hash: str
    path: Path
    python: str
    packages: tuple[str, ...]
    built_in_s: float

    @property
    def interpreter(self) -> Path:
        return self.path / "bin" / "python"

    @property
    def in_use_file(self) -> Path:
        return self.path / IN_USE_FILE

    def variables(self, given: dict[str, str]) -> dict[str, str]:
        """The variables of a process in it: what it brings as programs is found first."""
        path = f"{self.path / 'bin'}{os.pathsep}{given.get('PATH', os.defpath)}"
        return given | {"PATH": path, "VIRTUAL_ENV": str(self.path)}


def of_tau() -> TauNeeds:
    """What this Tau declares, as it is installed."""
    declared = [Requirement(text) for text in requires(OWN_NAME) or ()]
    needed = [r for r in declared if canonicalize_name(r.name) in CHILD_NEEDS and not r.marker]
    return TauNeeds(
        requirements=tuple(sorted(str(r) for r in needed)),
        preferred=tuple(sorted(f"{canonicalize_name(r.name)}=={version(r.name)}" for r in needed)),
    )


def read(path: Path) -> Environment | None:
    """The environment at that place; None where there is none, or no complete one."""
    try:
        facts: JsonObject = json.loads((path / FACTS_FILE).read_bytes())
    except (OSError, ValueError):
        return None
    return Environment(
        path.name, path, facts["python"], tuple(facts["packages"]), facts["built_in_s"]
    )


def complete(path: Path, *, python: str, packages: list[str], built_in_s: float) -> None:
    """Say of what was built at that place that it is whole."""
    (path / IN_USE_FILE).touch(mode=0o600)
    facts = {"python": python, "packages": packages, "built_in_s": round(built_in_s, 3)}
    with open(path / FACTS_FILE, "w", encoding="utf-8") as file:
        json.dump(facts, file)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Whether nobody else holds the file's lock, shared or not; ours while we are in here."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        is_free = True
    except BlockingIOError:
        is_free = False
    try:
        yield is_free
    finally:
        os.close(descriptor)
