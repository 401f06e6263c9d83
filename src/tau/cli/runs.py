"""What `tau run`, `retry`, `cancel`, `wait` and `runs` do.

`run`, `retry` and `wait` exit by the outcome of the runs.
"""

import time
from typing import Any

from tau.cli.progress import Progress, progress
from tau.client.client import Client
from tau.commands.output import Document, Outcome
from tau.errors import ExitCode, Interrupted, UsageError, WaitTimeout

DEFAULT_WAIT_S = 60.0


def run(
    *, name: str, params: dict[str, Any] | None, start_date: str | None, end_date: str | None,
    wait: float | None, detach: bool, timeout: float | None, validate_only: bool, dry_run: bool,
    reason: str | None, env: str | None,
) -> Outcome:  # fmt: skip
    if dry_run and validate_only:
        raise UsageError("--dry-run and --validate-only are one or the other.")
    plan = "--dry-run" if dry_run else "--validate-only" if validate_only else None
    seconds = _patience(wait, detach=detach, plan=plan)
    with Client(env=env) as client, progress(name) as show:
        document = client.run(
            name, params=params, start_date=start_date, end_date=end_date, timeout=timeout,
            wait=seconds, detach=detach, dry_run=dry_run, validate_only=validate_only,
            reason=reason, on_progress=show,
        )  # fmt: skip
    return Outcome(document, ExitCode.SUCCESS if detach or plan else _exit_code(document))


def retry(
    *, run: str, wait: float | None, detach: bool, dry_run: bool, reason: str | None,
    env: str | None,
) -> Outcome:  # fmt: skip
    seconds = _patience(wait, detach=detach, plan="--dry-run" if dry_run else None)
    with Client(env=env) as client, progress(run) as show:
        document = client.retry(
            run, wait=seconds, detach=detach, dry_run=dry_run, reason=reason, on_progress=show
        )
    return Outcome(document, ExitCode.SUCCESS if detach or dry_run else _exit_code(document))


def cancel(*, run: str, dry_run: bool, reason: str | None, env: str | None) -> Document:
    with Client(env=env) as client:
        return client.cancel(run, dry_run=dry_run, reason=reason)


def wait(*, runs: list[str], timeout: float, env: str | None) -> Outcome:
    with Client(env=env) as client, progress(" ".join(runs)) as show:
        if len(runs) == 1:
            document = client.wait(runs[0], timeout=timeout, on_progress=show)
            return Outcome(document, _exit_code(document))
        documents = _wait_for_all(client, runs, timeout=timeout, show=show)
    codes = {_exit_code(document) for document in documents}
    code = codes.pop() if len(codes) == 1 else ExitCode.PARTIAL
    return Outcome({"runs": documents}, code)


def list_runs(
    *, name: str | None, last: int, status: list[str], cursor: str | None, full: bool,
    env: str | None,
) -> Document:  # fmt: skip
    with Client(env=env) as client:
        return client.runs(name, status=status, limit=last, cursor=cursor, full=full)


def _patience(wait: float | None, *, detach: bool, plan: str | None) -> float:
    """How long to wait for the end. Raises UsageError where nothing is waited for."""
    if plan and (detach or wait is not None):
        raise UsageError(f"{plan} runs nothing: leave --wait and --detach out.")
    if detach and wait is not None:
        raise UsageError("--detach waits for nothing: leave --wait out.")
    return DEFAULT_WAIT_S if wait is None else wait


def _wait_for_all(
    client: Client, runs: list[str], *, timeout: float, show: Progress
) -> list[dict[str, Any]]:
    """Every run at its end, within one deadline for all. A wrong name is said before waiting."""
    deadline = time.monotonic() + timeout
    seen = [client.get_run(run) for run in runs]
    for place, known in enumerate(seen):
        left = max(0.0, deadline - time.monotonic())
        try:
            seen[place] = client.wait(
                str(known["id"]), timeout=left, on_progress=show, last_seen=known
            )
        except (WaitTimeout, Interrupted) as error:
            _name_all(error, [*seen[:place], *seen[place:]])
            raise
    return seen


def _name_all(error: WaitTimeout | Interrupted, seen: list[dict[str, Any]]) -> None:
    """Says of all runs how they stand: some may be over that come after the one waited for."""
    keys = ("run", "id", "status")
    error.details = {"runs": [{key: one[key] for key in keys} for one in seen]}
    error.message = "Gave up waiting; runs that are not over go on."
    error.next = [" ".join(["tau wait", *(str(one["run"]) for one in seen)])]


def _exit_code(run: Document) -> ExitCode:
    return ExitCode.SUCCESS if run["status"] == "success" else ExitCode.EXECUTION
