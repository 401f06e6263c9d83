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
    ) -> None:
        self._worker, self._cache, self._ids = worker, cache, ids
        self._limits, self._env = limits, env

    async def inspect(self, file_name: str, source: str, *, origin: str | None) -> list[JsonObject]:
        """The specs of the file's pipelines. Raises a TauError with `file` and `line`."""
        request = JobRequest(
            kind="inspect",
            run_id=f"inspect-{self._ids.new()}",
            attempt=1,
            fence=1,
            source_path=str(self._cache.put(source)),
            file_name=file_name,
            origin=origin,
            env=self._env,
            limits=self._limits,
        )
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
