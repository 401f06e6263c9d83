"""Runs uv for the daemon: found, limited in time, and its refusals as errors that name packages."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterable, Mapping
from typing import IO, Any

from tau.errors import (
    DependencyUnresolvable,
    EnvironmentBuildFailed,
    IndexUnreachable,
    TauError,
    UvMissing,
)

_PASSED = (
    "ALL_PROXY", "CC", "CFLAGS", "CXX", "HOME", "HTTPS_PROXY", "HTTP_PROXY", "LANG", "LC_ALL",
    "LC_CTYPE", "LDFLAGS", "LD_LIBRARY_PATH", "NETRC", "NO_PROXY", "PATH", "PKG_CONFIG_PATH",
    "SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "XDG_CACHE_HOME",
    "XDG_CONFIG_DIRS", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
)  # fmt: skip
_NOT_PASSED = frozenset(
    # What would lead uv to another interpreter or folder than the one that is meant.
    {"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PROJECT_ENVIRONMENT", "UV_TARGET", "UV_PREFIX"}
)
_OURS = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_PROGRESS": "1", "NO_COLOR": "1"}

_TOLD_BYTES = 64 * 1024
_SHOWN_CHARS = 1500
_UNRESOLVABLE = ("No solution found", "was not found in the package registry")
_UNREACHABLE = ("Failed to fetch", "error sending request", "dns error", "Network connectivity")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class Uv:
    """The uv of this machine.

    It gets the variables that it needs and those of its own (`UV_…`: index, mirrors, offline),
    no others: what builds a dependency is other people's code, and the daemon's environment may
    hold secrets. It starts in the root folder, so that no project's settings are found.
    """

    def __init__(self, environ: Mapping[str, str], *, timeout: float) -> None:
        self._environ, self._timeout = environ, timeout

    def find(self) -> str:
        """Its path: the uv that started us, one on the PATH, or the package's. Raises UvMissing."""
        named = self._environ.get("UV")
        if named and os.access(named, os.X_OK):
            return named
        found = shutil.which("uv", path=self._environ.get("PATH", ""))
        return found or _of_package()

    async def run(
        self, *arguments: str, stdin: str = "", held: Iterable[int] = (), names: Iterable[str] = ()
    ) -> str:
        """What uv prints, at most its last 64 KiB.

        `held` are descriptors that it, and what it starts, keep open as long as they live; `names`
        are the packages that an error is to name. Raises UvMissing, DependencyUnresolvable,
        IndexUnreachable or EnvironmentBuildFailed.
        """
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as complaints:
            code = await self._run(arguments, stdin, tuple(held), told, complaints)
            if code != 0:
                raise explain(_tail(complaints), names)
            return _tail(told)

    async def _run(
        self,
        arguments: tuple[str, ...],
        stdin: str,
        held: tuple[int, ...],
        told: IO[bytes],
        complaints: IO[bytes],
    ) -> int:
        process = await asyncio.create_subprocess_exec(
            self.find(),
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=told,
            stderr=complaints,
            env=self._environment(),
            cwd="/",
            pass_fds=held,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(self._timeout):
                await process.communicate(stdin.encode())
        except TimeoutError:
            raise EnvironmentBuildFailed(
                f"uv {arguments[0]} took longer than {self._timeout:g} s.",
                hint="build_timeout under [environments] in tau.toml is the limit.",
            ) from None
        finally:
            with contextlib.suppress(ProcessLookupError):
                # Also what it has started: a build may hang in a program of its own.
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
        return process.returncode or 0

    def _environment(self) -> dict[str, str]:
        kept = {name: self._environ[name] for name in _PASSED if name in self._environ}
        kept |= {n.lower(): self._environ[n.lower()] for n in kept if n.lower() in self._environ}
        kept |= {
            name: value
            for name, value in self._environ.items()
            if name.startswith("UV_") and name not in _NOT_PASSED
        }
        return kept | _OURS


def explain(complaint: str, names: Iterable[str] = ()) -> TauError:
    """The error for what uv has said on stderr, naming those of the packages that it speaks of."""
    words = {word.lower().rstrip(".-") for word in _NAME.findall(complaint)}
    packages = [name for name in names if name.lower() in words]
    reason = _reason(complaint)
    details: dict[str, Any] = {"packages": packages} if packages else {}
    if any(phrase in complaint for phrase in _UNRESOLVABLE):
        return DependencyUnresolvable(f"The dependencies can't be resolved: {reason}", **details)
    if any(phrase in complaint for phrase in _UNREACHABLE):
        return IndexUnreachable(f"The package index does not answer: {reason}", **details)
    return EnvironmentBuildFailed(f"uv could not do it: {reason}", **details)


def _reason(complaint: str) -> str:
    """The last error with its causes, without the frames and arrows that uv draws; one line."""
    text = re.sub(r"[│├╰╭─▶×]+", " ", complaint)
    start = max(text.rfind("error:"), text.rfind("No solution found"))
    text = text[start:] if start >= 0 else text
    text = re.sub(r"^\s*(error|cause):\s*|\s+(cause|hint):\s+", " ", text)
    text = re.sub(r"No solution found when resolving dependencies:?", "", text)
    flat = " ".join(text.split())
    return flat if len(flat) <= _SHOWN_CHARS else f"{flat[:_SHOWN_CHARS]} …"


def _tail(file: IO[bytes]) -> str:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - _TOLD_BYTES))
    return file.read().decode("utf-8", "replace")


def _of_package() -> str:
    """The binary that the package `uv` brings, where that is installed beside us."""
    try:
        import uv
    except ImportError as error:
        raise UvMissing("There is no uv on the daemon's PATH, and no package uv.") from error
    return str(uv.find_uv_bin())
