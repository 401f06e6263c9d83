"""What each entry point may import, seen in a fresh interpreter: names are stable, times not."""

import json
import subprocess
import sys

import pytest

SERVER = {
    "sqlalchemy", "fastapi", "starlette", "uvicorn", "alembic", "apscheduler",
    "pydantic_settings", "aiosqlite", "asyncpg", "cryptography", "structlog", "prometheus_client",
}  # fmt: skip
HEAVY = {"asyncio", "inspect", "logging", "dataclasses", "pydantic", "httpx", "typer", "duckdb"}


def imported(statement: str) -> set[str]:
    code = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)}


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("from tau import pipeline, PipelineContext", SERVER | HEAVY),
        ("import tau.pipeline.runtime", SERVER | {"pydantic", "httpx", "typer", "duckdb"}),
        ("import tau.workers.zygote", SERVER | {"pydantic", "httpx", "typer", "duckdb"}),
        ("import tau.workers.supervisor", SERVER | {"pydantic", "httpx", "typer", "duckdb"}),
        ("import tau.errors", SERVER | HEAVY),
        ("import tau.cli.main", SERVER),
        ("from tau.client import Client", SERVER),
        ("import tau.daemon.app", SERVER),
        ("import tau.daemon.server", {"cryptography", "alembic"}),
    ],
)
def test_import_chain(statement: str, forbidden: set[str]) -> None:
    assert not imported(statement) & forbidden
