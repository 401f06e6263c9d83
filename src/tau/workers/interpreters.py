"""Which Python an environment is made with: the daemon's own where it will do, else one of uv's."""

import asyncio
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path

from packaging.specifiers import SpecifierSet

from tau.errors import EnvironmentBuildFailed, PythonMissing
from tau.workers.uv import Uv

LEAST = SpecifierSet(">=3.11")
"""What Tau's own code in the child runs on."""

_VERSIONS = [f"3.{minor}.{patch}" for minor in range(11, 30) for patch in range(30)]


@dataclass(frozen=True)
class Interpreter:
    """A Python by its path and its full version."""

    path: str
    version: str


class Interpreters:
    """Finds Pythons; none is ever downloaded."""

    def __init__(self, uv: Uv) -> None:
        self._uv = uv
        self._found: dict[str, Interpreter] = {}

    async def get(self, requires: str | None) -> Interpreter:
        """One that satisfies `requires`, a version specifier. Raises PythonMissing, UvMissing."""
        own = _own()
        if requires is None or SpecifierSet(requires).contains(own.version, prereleases=True):
            return own
        found = self._found.get(requires)
        if found is None or not os.access(found.path, os.X_OK):
            found = self._found[requires] = await self._search(requires)
        return found

    async def _search(self, requires: str) -> Interpreter:
        wanted = SpecifierSet(requires) & LEAST
        if not any(version in wanted for version in _VERSIONS):
            raise _missing(requires)
        spec = f"cpython{str(wanted).replace(' ', '')}"
        try:
            path = await self._uv.run("python", "find", "--no-project", "--system", spec)
        except EnvironmentBuildFailed as error:
            raise _missing(requires) from error
        return await _asked(path.strip())


def _own() -> Interpreter:
    # Not the daemon's virtual environment, of whose packages nothing is to be seen.
    base = Path(getattr(sys, "_base_executable", sys.executable))
    return Interpreter(os.path.realpath(base), platform.python_version())


async def _asked(path: str) -> Interpreter:
    """The interpreter at that path, which says its version itself."""
    program = "import platform; print(platform.python_version())"
    process = await asyncio.create_subprocess_exec(
        path, "-I", "-c", program, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    return Interpreter(path, said.decode("ascii").strip())


def _missing(requires: str) -> PythonMissing:
    wanted = next((version for version in _VERSIONS if version in SpecifierSet(requires)), None)
    if wanted is None:
        hint = f"Tau's own code needs Python {LEAST}: mend requires-python."
    else:
        minor = wanted.rpartition(".")[0]
        hint = (
            f"`uv python install {minor}` where the daemon runs, whose own is "
            f"{platform.python_version()}, or mend requires-python. The daemon downloads none."
        )
    return PythonMissing(
        f"No Python here satisfies requires-python {requires!r}.",
        hint=hint,
        requires_python=requires,
    )
