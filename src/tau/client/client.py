"""`Client`: the commands of `tau` for Python, one method each, answering the daemon's documents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tau.client import building, files, plans, sse, waiting
from tau.client.connect import find_target
from tau.client.http import Connection, JsonObject
from tau.client.store import ConfigCommands, StoreCommands
from tau.client.target import Target
from tau.errors import UsageError

Progress = Callable[[JsonObject], None]


class Client:
    """A connection to one daemon.

        with Client() as tau:
            tau.deploy("orders.py")
            run = tau.run("orders", params={"region": "eu"})
            print(run["status"], run.get("result"))

    Without a `target` it follows the rules of the command line: TAU_HOST and TAU_API_KEY, else
    `env` or TAU_ENV, else the local daemon, which is started where none runs (TAU_AUTOSTART=0:
    it is not). Every method answers the document of the API as a dict, with times as RFC 3339
    text and durations in milliseconds, and raises the `tau.errors.TauError` of what went wrong.
    `run` is a run's id, a unique prefix of it, `NAME#7`, `NAME@last`, `NAME@last-failed` or
    `NAME@last-success`. Not for use by several threads at once.
    """

    def __init__(self, target: Target | None = None, *, env: str | None = None) -> None:
        if target and env:
            raise UsageError("Give a target or the name of an environment, not both.")
        self._connection = Connection(target or find_target(env))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    @property
    def db(self) -> StoreCommands:
        """The daemon's store: stats, cleanup, vacuum, backup."""
        return StoreCommands(self._connection)

    @property
    def config(self) -> ConfigCommands:
        """The daemon's settings: show, validate."""
        return ConfigCommands(self._connection)

    @property
    def url(self) -> str:
        """Where the daemon answers."""
        return self._connection.target.url

    def deploy(
        self, file: str | Path, *, name: str | None = None, schedule: str | None = None,
        dry_run: bool = False, reason: str | None = None, on_progress: Progress | None = None,
    ) -> JsonObject:  # fmt: skip
        """Store a pipeline file as a new version: `{file, sha256, changed, pipelines: […]}`.

        The same content again makes no version. `name` and `schedule` (a cron expression, set as
        `schedule` does) are for a file with one pipeline. Where the file declares its own
        dependencies their environment is built first, which may take minutes: `on_progress` is
        called with `{file, building}`, from a thread of its own. Raises FileNotFound,
        PipelineNotText, PipelineTooLarge, the `pipeline.*` errors of a file that is not valid, and
        the `dependency.*` errors of what can't be installed.
        """
        source = files.read_source(file)
        body: JsonObject = {"file_name": Path(file).name, "source": source}
        body["origin"] = str(Path(file).absolute())
        body |= _given(name=name, schedule=schedule, reason=reason) | _flag(dry_run=dry_run)
        if not building.has_own(source):
            return self._connection.post("/deployments", body)
        with ExitStack() as stack:
            if on_progress is not None:
                stack.enter_context(
                    building.told(self._connection.target, body["file_name"], on_progress)
                )
            return self._connection.post("/deployments", body, waits_s=building.WAIT_S)

    def undeploy(
        self, name: str, *, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Take a pipeline out of service: `{pipeline, undeployed, cancelled?, running?, …}`.

        What is queued is cancelled, what runs goes on, history stays. Raises PipelineNotFound.
        """
        return self._change(f"/pipelines/{_segment(name)}/undeploy", dry_run, reason=reason)

    def list(
        self, *, tag: str | None = None, limit: int = 20, cursor: str | None = None,
        full: bool = False,
    ) -> JsonObject:  # fmt: skip
        """A page of pipelines: `{pipelines: […], total, next_cursor?}`."""
        query = {"tag": tag, "limit": limit, "cursor": cursor}
        return self._connection.get("/pipelines", query | _flag(full=full))

    def show(self, name: str, *, full: bool = False) -> JsonObject:
        """One pipeline. Raises PipelineNotFound, PipelineAmbiguous."""
        return self._connection.get(f"/pipelines/{_segment(name)}", _flag(full=full))

    def code(self, name: str, *, version: int | None = None) -> JsonObject:
        """The deployed code: `{name, version, file, sha256, code}`. Raises VersionNotFound."""
        return self._connection.get(f"/pipelines/{_segment(name)}/code", {"version": version})

    def versions(self, name: str, *, limit: int = 20, cursor: str | None = None) -> JsonObject:
        """A page of versions, the newest first: `{pipeline, versions: […], total}`."""
        query = {"limit": limit, "cursor": cursor}
        return self._connection.get(f"/pipelines/{_segment(name)}/versions", query)

    def diff(self, name: str, *, start: int | None = None, end: int | None = None) -> JsonObject:
        """What changed from version `start` to `end`: `{changed, added, removed, diff, spec?}`.

        By default from the one before the current to the current. Raises VersionNotFound.
        """
        query = {"from": start, "to": end}
        return self._connection.get(f"/pipelines/{_segment(name)}/diff", query)

    def rollback(
        self, name: str, *, to: int | None = None, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Make version `to` the current one: by default the one before. Raises VersionNotFound."""
        path = f"/pipelines/{_segment(name)}/rollback"
        return self._change(path, dry_run, to=to, reason=reason)

    def run(
        self, name: str, *, params: Mapping[str, Any] | None = None,
        start_date: str | None = None, end_date: str | None = None,
        timeout: float | str | None = None, wait: float = 60.0, detach: bool = False,
        dry_run: bool = False, validate_only: bool = False, reason: str | None = None,
        on_progress: Progress | None = None,
    ) -> JsonObject:  # fmt: skip
        """Run a pipeline and wait up to `wait` seconds for its end; the run, whatever its status.

        `name` may be a .py file, which is deployed first and must hold one pipeline. `start_date`
        and `end_date` are ISO dates or times in the pipeline's zone, the span of data that the run
        covers; an end without a time includes its day. `timeout` is for an attempt: seconds or
        text such as 30m. `detach` answers the queued run at once, `dry_run` what would happen,
        `validate_only` whether the params would do; these two change nothing.
        Raises WaitTimeout (the run goes on; its `details` name it), ParamsInvalid, QueueFull.
        """
        body = _given(params=dict(params) if params else None, timeout=timeout, reason=reason)
        body |= _given(start_date=start_date, end_date=end_date)
        body |= _flag(dry_run=dry_run) | _flag(validate_only=validate_only)
        if not files.is_file_name(name):
            run = self._post_run(name, body)
        elif dry_run or validate_only:
            return plans.plan_file(self.deploy, self._post_run, name, body)
        else:
            deployment = self.deploy(name, reason=reason, on_progress=on_progress)
            run = self._post_run(plans.only_name(deployment, name), body)
        if detach or dry_run or validate_only:
            return run
        return self._end_of(run, wait, on_progress=on_progress)

    def retry(
        self, run: str, *, wait: float = 60.0, detach: bool = False, dry_run: bool = False,
        reason: str | None = None, on_progress: Progress | None = None,
    ) -> JsonObject:  # fmt: skip
        """Run again what has ended: the current version with that run's params; waits as `run`.

        Raises RunNotFinal, and what `run` raises.
        """
        body = _given(reason=reason) | _flag(dry_run=dry_run)
        again = self._connection.post(f"/runs/{_segment(run)}/retry", body)
        if detach or dry_run:
            return again
        return self._end_of(again, wait, on_progress=on_progress)

    def cancel(self, run: str, *, dry_run: bool = False, reason: str | None = None) -> JsonObject:
        """End a run and its processes; the run, still running while they are being ended.

        Raises RunAlreadyFinal.
        """
        return self._change(f"/runs/{_segment(run)}/cancel", dry_run, reason=reason)

    def wait(
        self, run: str, *, timeout: float | None = None, on_progress: Progress | None = None,
        last_seen: JsonObject | None = None,
    ) -> JsonObject:  # fmt: skip
        """Wait for a run's end, up to `timeout` seconds (None: as long as it takes).

        `on_progress` is called with the run about once a second. A daemon that is away for a
        moment is waited for. Raises WaitTimeout, RunNotFound, RunAmbiguous.
        """
        return waiting.wait_for_end(
            self.get_run, run, timeout=timeout, on_progress=on_progress, last_seen=last_seen
        )

    def get_run(self, run: str, *, wait_s: int = 0) -> JsonObject:
        """The run as it is, at its end or after `wait_s` seconds (30 at most)."""
        query = {"wait": wait_s} if wait_s else None
        return self._connection.get(f"/runs/{_segment(run)}", query, waits_s=wait_s)

    def runs(
        self, name: str | None = None, *, status: str | Sequence[str] = (), limit: int = 10,
        cursor: str | None = None, full: bool = False,
    ) -> JsonObject:  # fmt: skip
        """A page of runs, the newest first: `{runs: […], total, next_cursor?}`."""
        statuses = [status] if isinstance(status, str) else [*status]
        query = {"pipeline": name, "status": statuses, "limit": limit, "cursor": cursor}
        return self._connection.get("/runs", query | _flag(full=full))

    def schedule(
        self, name: str, cron: str | None = None, *, every: float | str | None = None,
        timezone: str | None = None, catchup: str | None = None,
        deadline: float | str | None = None, enabled: bool | None = None, clear: bool = False,
        dry_run: bool = False, reason: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """Set when a pipeline runs by itself: `{pipeline, changed, schedule?: {…, next: […]}}`.

        Either `cron`, five fields read in `timezone`, or `every`. `catchup` says which of several
        missed ticks are run: latest, all or none; `deadline` how late one may still be. `every`
        and `deadline` are seconds or text such as 30m. What is not given stays as it is. `clear`,
        which stands alone, makes the file's own schedule count again. Raises
        PipelineInvalidSchedule, PipelineNotFound.
        """
        return self._change(
            f"/pipelines/{_segment(name)}/schedule", dry_run, cron=cron, every=every,
            timezone=timezone, catchup=catchup, deadline=deadline, enabled=enabled,
            clear=clear or None, reason=reason,
        )  # fmt: skip

    def schedules(self, *, limit: int = 20, cursor: str | None = None) -> JsonObject:
        """A page of schedules with their next ticks: `{schedules: […], total, next_cursor?}`."""
        return self._connection.get("/schedules", {"limit": limit, "cursor": cursor})

    def inspect(self, run: str, *, full: bool = False) -> JsonObject:
        """The trace of a run: failure, steps, checks, the last log lines."""
        return self._connection.get(f"/runs/{_segment(run)}/inspect", _flag(full=full))

    def logs(
        self, run: str, *, level: str | None = None, grep: str | None = None, limit: int = 100,
        cursor: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """The last log lines in the order of time: `{run, status, logs: […], next_cursor?}`.

        `level` is the lowest one wanted; `grep` is text that a line holds, in any case; `cursor`
        pages to older lines.
        """
        query = {"level": level, "grep": grep, "limit": limit, "cursor": cursor}
        return self._connection.get(f"/runs/{_segment(run)}/logs", query)

    def follow(self, run: str) -> Iterator[JsonObject]:
        """The events of a run as they come, from its first to its end.

        Each has a `type`: log, step, status, check, result, failure, …; the last is `end` with the
        final `status`. A lost connection is opened again where it was.
        """
        # NAME@last may be another run by the time that a lost connection is opened again.
        known = str(self.get_run(run)["id"]) if "@" in run else run
        path = f"/runs/{_segment(known)}/events"
        for event in sse.follow(lambda last: self._connection.stream(path, last_event_id=last)):
            yield {"type": _TYPES.get(event.event, event.event)} | event.json()

    def errors(
        self, name: str | None = None, *, since: str | None = None, limit: int = 20,
        full: bool = False,
    ) -> JsonObject:  # fmt: skip
        """What failed lately: `{errors: […], total}`; `since` is 24h, 7d or a time."""
        query = {"pipeline": name, "since": since, "limit": limit}
        return self._connection.get("/errors", query | _flag(full=full))

    def keys(self, *, limit: int = 20, cursor: str | None = None) -> JsonObject:
        """A page of API keys, without their secrets: `{keys: […], total}`."""
        return self._connection.get("/keys", {"limit": limit, "cursor": cursor})

    def create_key(
        self, name: str, scopes: Sequence[str], *, expires: str | None = None,
        dry_run: bool = False, reason: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """A new API key: `{id, name, scopes, key, expires_at?}`; `key` is told this once.

        `scopes` are of read, run, deploy, admin, worker; `expires` is a span: 30d, 12h.
        """
        made = _given(name=name, scopes=[*scopes], expires=expires)
        return self._change("/keys", dry_run, reason=reason, **made)

    def revoke_key(
        self, key_id: str, *, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Take an API key away. Raises KeyNotFound, KeyInUse."""
        return self._change(f"/keys/{_segment(key_id)}/revoke", dry_run, reason=reason)

    def secrets(self, *, limit: int = 20, cursor: str | None = None) -> JsonObject:
        """A page of secrets, never their values: `{secrets: […], total, missing?: […]}`."""
        return self._connection.get("/secrets", {"limit": limit, "cursor": cursor})

    def set_secret(
        self, name: str, value: str, *, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Keep a secret: `{name, version, changed, …}`; the same value again changes nothing.

        Raises SecretInvalid, SecretKeyWrong.
        """
        body = {"value": value} | _given(reason=reason) | _flag(dry_run=dry_run)
        return self._connection.put(f"/secrets/{_segment(name)}", body)

    def delete_secret(
        self, name: str, *, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Forget a secret for good: `{name, deleted, pipelines?, …}`. Raises SecretNotFound."""
        query = _given(reason=reason) | _flag(dry_run=dry_run)
        return self._connection.delete(f"/secrets/{_segment(name)}", query)

    def rotate_secrets(self, *, dry_run: bool = False, reason: str | None = None) -> JsonObject:
        """Encrypt every secret with a new key: `{rotated, key_id}`. Raises RotationRefused."""
        return self._change("/secrets/rotate", dry_run, reason=reason)

    def webhooks(self, *, limit: int = 20, cursor: str | None = None) -> JsonObject:
        """A page of webhooks and how their deliveries go: `{webhooks: […], total, notify?}`."""
        return self._connection.get("/webhooks", {"limit": limit, "cursor": cursor})

    def add_webhook(
        self, url: str, *, events: Sequence[str] | None = None, dry_run: bool = False,
        reason: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """Tell a URL of these events, or of all: `{id, url, events, secret}`.

        `secret` signs what is sent there (Standard Webhooks), and is told this once. Raises
        WebhookUrlRefused.
        """
        made = _given(url=url, events=[*events] if events else None)
        return self._change("/webhooks", dry_run, reason=reason, **made)

    def delete_webhook(
        self, webhook: str, *, dry_run: bool = False, reason: str | None = None
    ) -> JsonObject:
        """Tell a webhook nothing any more. Raises WebhookNotFound."""
        return self._change(f"/webhooks/{_segment(webhook)}/delete", dry_run, reason=reason)

    def test_webhook(self, webhook: str) -> JsonObject:
        """Send a webhook a signed test: `{delivered, http_status?, error?, ms}`."""
        return self._change(f"/webhooks/{_segment(webhook)}/test", False)

    def test_notify(self) -> JsonObject:
        """Send each service of [notify] a test: `{services: [{service, delivered, error?}]}`."""
        return self._change("/notify/test", False)

    def audit(
        self, *, target: str | None = None, action: str | None = None, actor: str | None = None,
        limit: int = 20, cursor: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """Who changed what, the newest first: `{entries: […], total, next_cursor?}`."""
        query = {"target": target, "action": action, "actor": actor}
        return self._connection.get("/audit", query | {"limit": limit, "cursor": cursor})

    def status(self) -> JsonObject:
        """The daemon: version, home, store, executor, counts."""
        return self._connection.get("/status")

    def _change(self, path: str, dry_run: bool, **values: Any) -> JsonObject:
        """A POST that the daemon would carry out twice if it came twice."""
        body = _given(**values) | _flag(dry_run=dry_run)
        return self._connection.post(path, body, repeatable=dry_run)

    def _post_run(self, pipeline: str, body: JsonObject) -> JsonObject:
        return self._connection.post(f"/pipelines/{_segment(pipeline)}/runs", body)

    def _end_of(self, run: JsonObject, wait: float, *, on_progress: Progress | None) -> JsonObject:
        return self.wait(str(run["id"]), timeout=wait, on_progress=on_progress, last_seen=run)


_TYPES = {"step_start": "step", "step_end": "step", "state": "status"}


def _segment(text: str) -> str:
    # "." and ".." stand for folders even where they are written as %2E, so no name may be one.
    if text.strip(".") == "":
        raise UsageError(f"{text!r} names nothing.")
    return quote(text, safe="")


def _given(**values: Any) -> JsonObject:
    return {key: value for key, value in values.items() if value is not None}


def _flag(**flags: bool) -> JsonObject:
    return {key: True for key, value in flags.items() if value}
