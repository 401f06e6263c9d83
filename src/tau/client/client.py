"""`Client`: the commands of `tau` for Python, one method each, answering the daemon's documents."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tau.client import files, sse, waiting
from tau.client.connect import find_target
from tau.client.http import Connection, JsonObject
from tau.client.target import Target
from tau.errors import PipelineAmbiguous, UsageError

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
    def url(self) -> str:
        """Where the daemon answers."""
        return self._connection.target.url

    def deploy(
        self, file: str | Path, *, name: str | None = None, dry_run: bool = False,
        reason: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """Store a pipeline file as a new version: `{file, sha256, changed, pipelines: […]}`.

        The same content again makes no version. Raises FileNotFound, PipelineNotText,
        PipelineTooLarge, and the `pipeline.*` errors of a file that is not valid.
        """
        body: JsonObject = {"file_name": Path(file).name, "source": files.read_source(file)}
        body["origin"] = str(Path(file).absolute())
        body |= _given(name=name, dry_run=dry_run or None, reason=reason)
        return self._connection.post("/deployments", body)

    def list(
        self, *, tag: str | None = None, limit: int = 20, cursor: str | None = None
    ) -> JsonObject:
        """A page of pipelines: `{pipelines: […], total, next_cursor?}`."""
        return self._connection.get("/pipelines", {"tag": tag, "limit": limit, "cursor": cursor})

    def show(self, name: str) -> JsonObject:
        """One pipeline. Raises PipelineNotFound, PipelineAmbiguous."""
        return self._connection.get(f"/pipelines/{_segment(name)}")

    def code(self, name: str, *, version: int | None = None) -> JsonObject:
        """The deployed code: `{name, version, file, sha256, code}`. Raises VersionNotFound."""
        return self._connection.get(f"/pipelines/{_segment(name)}/code", {"version": version})

    def run(
        self, name: str, *, params: Mapping[str, Any] | None = None, wait: float = 60.0,
        detach: bool = False, reason: str | None = None, on_progress: Progress | None = None,
    ) -> JsonObject:  # fmt: skip
        """Run a pipeline and wait up to `wait` seconds for its end; the run, whatever its status.

        `name` may be a .py file, which is deployed first and must hold one pipeline. `detach`
        answers the queued run at once. Raises WaitTimeout (the run goes on; its `details` name
        it), ParamsInvalid, QueueFull.
        """
        pipeline = self._deployed(name, reason=reason) if files.is_file_name(name) else name
        body = _given(params=dict(params) if params else None, reason=reason)
        run = self._connection.post(f"/pipelines/{_segment(pipeline)}/runs", body)
        if detach:
            return run
        return self.wait(str(run["id"]), timeout=wait, on_progress=on_progress, last_seen=run)

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
        cursor: str | None = None,
    ) -> JsonObject:  # fmt: skip
        """A page of runs, the newest first: `{runs: […], total, next_cursor?}`."""
        statuses = [status] if isinstance(status, str) else [*status]
        query = {"pipeline": name, "status": statuses, "limit": limit, "cursor": cursor}
        return self._connection.get("/runs", query)

    def inspect(self, run: str, *, full: bool = False) -> JsonObject:
        """The trace of a run: failure, steps, checks, the last log lines."""
        query = {"full": "true"} if full else None
        return self._connection.get(f"/runs/{_segment(run)}/inspect", query)

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
        self, name: str | None = None, *, since: str | None = None, limit: int = 20
    ) -> JsonObject:
        """What failed lately: `{errors: […], total}`; `since` is 24h, 7d or a time."""
        query = {"pipeline": name, "since": since, "limit": limit}
        return self._connection.get("/errors", query)

    def status(self) -> JsonObject:
        """The daemon: version, home, store, executor, counts."""
        return self._connection.get("/status")

    def _deployed(self, file: str, *, reason: str | None) -> str:
        """The name of the one pipeline of a file, deployed."""
        names = [str(p["name"]) for p in self.deploy(file, reason=reason)["pipelines"]]
        if len(names) == 1:
            return names[0]
        raise PipelineAmbiguous(
            f"{Path(file).name} holds {len(names)} pipelines; all are deployed, none was run.",
            hint="Name the one to run.",
            next=[f"tau run {name}" for name in names],
            pipelines=names,
        )


_TYPES = {"step_start": "step", "step_end": "step", "state": "status"}


def _segment(text: str) -> str:
    # "." and ".." stand for folders even where they are written as %2E, so no name may be one.
    if text.strip(".") == "":
        raise UsageError(f"{text!r} names nothing.")
    return quote(text, safe="")


def _given(**values: Any) -> JsonObject:
    return {key: value for key, value in values.items() if value is not None}
