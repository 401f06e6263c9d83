"""A PostgreSQL store as one file, by PostgreSQL's own pg_dump."""

import asyncio
import contextlib
import os
import shutil
from pathlib import Path

from sqlalchemy.engine import URL, make_url

from tau.errors import BackupFailed, ProgramMissing
from tau.pipeline.redaction import Redactor

PROGRAM = "pg_dump"
INSTALL = (
    "Install PostgreSQL's client programs where taud runs, of the server's version or newer "
    "(Debian: apt install postgresql-client), or let the server's own backups do it."
)


def find_program() -> str:
    """Where pg_dump is. Raises ProgramMissing."""
    found = shutil.which(PROGRAM)
    if found is None:
        raise ProgramMissing(f"{PROGRAM} is not on the daemon's PATH.", hint=INSTALL)
    return found


async def dump(url: str, target: Path) -> None:
    """The store as it is at this moment, in pg_restore's format; nobody waits for it.

    The password goes by the environment, where other users can't read it. Raises ProgramMissing,
    BackupFailed.
    """
    program, parsed = find_program(), make_url(url)
    process = await asyncio.create_subprocess_exec(
        program, "--format=custom", "--no-owner", "--no-privileges", "--no-password",
        f"--file={target}",
        env=os.environ | _environment(parsed),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        _, told = await process.communicate()
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    if process.returncode:
        raise BackupFailed(
            f"{PROGRAM} ended with exit code {process.returncode}: {_first_line(told, parsed)}",
            hint=INSTALL if b"version" in told else None,
        )


def _environment(url: URL) -> dict[str, str]:
    query = {key: value if isinstance(value, str) else value[0] for key, value in url.query.items()}
    told = {
        "PGHOST": url.host or query.get("host"),
        "PGPORT": str(url.port) if url.port else query.get("port"),
        "PGUSER": url.username,
        "PGPASSWORD": str(url.password) if url.password else None,
        "PGDATABASE": url.database,
        "PGSSLMODE": query.get("ssl") or query.get("sslmode"),
    }
    return {name: value for name, value in told.items() if value}


def _first_line(told: bytes, url: URL) -> str:
    redactor = Redactor()
    if url.password:
        redactor.add(str(url.password))
    lines = told.decode("utf-8", "replace").strip().splitlines() or ["it said nothing"]
    return redactor.redact_text(lines[0])[:500]
