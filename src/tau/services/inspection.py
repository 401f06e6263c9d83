"""Reads a pipeline file in a limited process of its own; the daemon never imports it."""

from collections.abc import Sequence
from typing import Any

from tau import errors
from tau.core.ids import IdFactory
from tau.core.source_cache import SourceCache
from tau.errors import CATALOGUE, PipelineImportCrashed, PipelineImportTimeout, TauError
from tau.pipeline.protocol import ExitRecord, JobRequest, JsonObject, Limits
from tau.pipeline.types import RunStatus
from tau.workers.base import Answer, AttemptLost, LaunchRefused, Worker
from tau.workers.environment import Environment
from tau.workers.environments import Environments


class _Silent:
    """A listener that keeps nothing: what a file prints while it is imported is not kept."""

    async def started(self, *, supervisor_pid: int, child_pid: int | None) -> None:
        return None

    async def events(self, lines: Sequence[bytes], *, offset: int) -> None:
        return None

    async def request(self, op: str, args: dict[str, Any]) -> Answer:
        raise errors.PipelineImportFailed(
            f"The file asks for a {op} while it is imported.",
            hint="Ask for it inside the pipeline, through its context.",
        )


class Inspector:
    """Answers the pipelines of a file, or why it holds none that can be run."""

    def __init__(
        self,
        worker: Worker,
        cache: SourceCache,
        ids: IdFactory,
        *,
        limits: Limits,
        env: dict[str, str],
        environments: Environments,
    ) -> None:
        self._worker, self._cache, self._ids = worker, cache, ids
        self._environments = environments
        self._limits, self._env = limits, env

    async def inspect(
        self,
        file_name: str,
        source: str,
        *,
        origin: str | None,
        environment: Environment | None = None,
    ) -> list[JsonObject]:
        """The specs of the file's pipelines, imported in its environment where it has its own.

        Raises a TauError with `file` and `line`.
        """
        request = self._request("inspect", file_name, source, origin=origin)
        if environment is not None:
            request = await self._environments.enter(request, environment)
        return await self._pipelines(request)

    async def outline(self, file_name: str, source: str) -> list[JsonObject]:
        """`{name, line}` of the file's pipelines, read and not imported. Raises a TauError."""
        return await self._pipelines(self._request("outline", file_name, source, origin=None))

    def _request(self, kind: str, file_name: str, source: str, *, origin: str | None) -> JobRequest:
        return JobRequest(
            kind=kind,
            run_id=f"inspect-{self._ids.new()}",
            attempt=1,
            fence=1,
            source_path=str(self._cache.put(source)),
            file_name=file_name,
            origin=origin,
            env=self._env,
            limits=self._limits,
        )

    async def _pipelines(self, request: JobRequest) -> list[JsonObject]:
        file_name = request.file_name
        try:
            record = await self._worker.run(request, _Silent())
        except (LaunchRefused, AttemptLost) as error:
            raise PipelineImportCrashed(str(error), file=file_name) from error
        finally:
            self._worker.forget(request.run_id, request.attempt)
        if record.status == RunStatus.SUCCESS and isinstance(record.result, dict):
            specs: list[JsonObject] = record.result["pipelines"]
            return specs
        raise self._explain(record, file_name)

    def _explain(self, record: ExitRecord, file_name: str) -> TauError:
        failure = record.failure or {}
        where = {"file": file_name} | _last_frame(failure)
        if record.status == RunStatus.TIMEOUT:
            seconds = self._limits.timeout_s or 0
            return PipelineImportTimeout(
                f"{file_name} did not finish importing within {seconds:g} s.", **where
            )
        cls = CATALOGUE.get(str(failure.get("code")))
        if cls is None:
            reason = record.reason or failure.get("message")
            return PipelineImportCrashed(f"{file_name} could not be imported: {reason}", **where)
        given = failure | (failure.get("details") or {})
        details = {key: given[key] for key in _DETAILS if key in given}
        message = str(failure.get("message") or "")
        return cls(message, hint=failure.get("hint"), **(where | details))


_DETAILS = ("file", "line", "source_line", "module", "package", "argument", "column", "chain")


def _last_frame(failure: JsonObject) -> JsonObject:
    frames = failure.get("frames") or []
    return {"line": frames[-1]["line"]} if frames and "line" in frames[-1] else {}
