"""What holds in a store at any moment, whatever has failed; looked at from outside of Tau."""

from typing import Any

from sqlalchemy import text

from tau.core.database import Database
from tau.pipeline.types import ACTIVE_STATUSES, FINAL_STATUSES

_RUNS = """
    SELECT id, pipeline_name, number, status, status_reason, attempt, fence, owner, finished_at,
           schedule_id, scheduled_for, version
    FROM runs WHERE pipeline_name = :name ORDER BY number
"""
_ATTEMPTS = """
    SELECT run_id, attempts.number, attempts.fence, attempts.owner, attempts.status,
           attempts.finished_at, spool_offset, log_lines
    FROM attempts JOIN runs ON runs.id = run_id WHERE pipeline_name = :name
    ORDER BY run_id, attempts.number
"""
_PIPELINES = "SELECT * FROM pipelines WHERE name = :name"
_VERSIONS = """
    SELECT versions.number, sources.sha256 FROM versions
    JOIN pipelines ON pipelines.id = pipeline_id LEFT JOIN sources ON sha256 = source_sha256
    WHERE name = :name ORDER BY versions.number
"""
_SCHEDULES = "SELECT schedules.* FROM schedules JOIN pipelines ON pipelines.id = pipeline_id" \
    " WHERE pipelines.name = :name"  # fmt: skip
_AUDIT = "SELECT action, target FROM audit_entries WHERE target = :name OR target LIKE :runs"
_UNANSWERED = "SELECT key FROM idempotency_keys WHERE answer IS NULL"


class Invariants:
    """Looks at all that belongs to one pipeline, and remembers what must not change."""

    def __init__(self, database: Database, pipeline: str) -> None:
        self._database, self._pipeline = database, pipeline
        self._final: dict[str, Any] = {}
        self._fences: dict[str, int] = {}

    async def check(self) -> None:
        async with self._database.read() as session:

            async def rows(query: str) -> list[Any]:
                values = {"name": self._pipeline, "runs": f"{self._pipeline}#%"}
                needed = {key: value for key, value in values.items() if f":{key}" in query}
                return list((await session.execute(text(query), needed)).mappings())

            runs, attempts = await rows(_RUNS), await rows(_ATTEMPTS)
            pipelines, versions = await rows(_PIPELINES), await rows(_VERSIONS)
            schedules, audit = await rows(_SCHEDULES), await rows(_AUDIT)
            unanswered = await rows(_UNANSWERED)
        self._check_runs(runs)
        for run in runs:
            _check_attempts(run, [a for a in attempts if a["run_id"] == run["id"]])
        _check_deploys(pipelines, versions, schedules)
        _check_audit(self._pipeline, audit, runs, versions)
        assert not unanswered, "a key whose request is half done"
        ticks = [(run["schedule_id"], run["scheduled_for"]) for run in runs if run["schedule_id"]]
        assert len(set(ticks)) == len(ticks)
        count = pipelines[0]["run_count"] if pipelines else 0
        assert [run["number"] for run in runs] == list(range(1, count + 1))

    def _check_runs(self, runs: list[Any]) -> None:
        for run in runs:
            known = self._final.get(run["id"])
            assert known is None or known == run, "a final status changed"
            if run["status"] in FINAL_STATUSES:
                assert run["finished_at"] is not None
                self._final[run["id"]] = run
            else:
                assert run["finished_at"] is None
            assert run["fence"] >= self._fences.get(run["id"], 0), "a fence went back"
            self._fences[run["id"]] = run["fence"]
        assert self._final.keys() <= {run["id"] for run in runs}, "a run was lost"


def _check_attempts(run: Any, attempts: list[Any]) -> None:
    assert [attempt["number"] for attempt in attempts] == list(range(1, run["attempt"] + 1))
    fences = [attempt["fence"] for attempt in attempts]
    assert fences == sorted(set(fences))
    *earlier, last = attempts or [None]
    assert all(attempt["status"] in ("failed", "timeout", "crashed") for attempt in earlier)
    if run["status"] in ACTIVE_STATUSES:
        assert last is not None
        assert {key: last[key] for key in ("fence", "owner", "status")} == {
            key: run[key] for key in ("fence", "owner", "status")
        }
        assert last["finished_at"] is None
    elif last is not None:
        assert last["status"] in FINAL_STATUSES
        assert last["finished_at"] is not None
        if run["status"] in FINAL_STATUSES - {"cancelled"}:
            assert last["status"] == run["status"]


def _check_deploys(pipelines: list[Any], versions: list[Any], schedules: list[Any]) -> None:
    assert all(version["sha256"] is not None for version in versions), "a version without source"
    numbers = [version["number"] for version in versions]
    assert numbers == list(range(1, len(numbers) + 1))
    if not pipelines:
        assert not versions
        assert not schedules
        return
    [pipeline] = pipelines
    assert pipeline["version_count"] == len(versions)
    assert pipeline["current_version"] in numbers, "a pipeline without its version"
    for schedule in schedules:
        is_due = schedule["next_fire_at"] is not None
        assert is_due == bool(schedule["enabled"] and pipeline["undeployed_at"] is None)


def _check_audit(name: str, audit: list[Any], runs: list[Any], versions: list[Any]) -> None:
    """Each change that was asked for has its entry, and no other one has."""
    by_action: dict[str, list[str]] = {}
    for entry in audit:
        by_action.setdefault(entry["action"], []).append(entry["target"])
    assert len(by_action.get("pipeline.deploy", [])) == len(versions)
    asked = sorted(f"{name}#{run['number']}" for run in runs if run["schedule_id"] is None)
    noted = by_action.get("run.create", []) + by_action.get("run.retry", [])
    assert sorted(noted) == asked
