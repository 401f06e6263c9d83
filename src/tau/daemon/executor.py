"""Executes claims: prepares the request, follows the attempt, records what it tells and its end."""

import asyncio
import logging
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from tau.core.clock import Clock
from tau.core.config import ExecutorSettings
from tau.core.source_cache import SourceCache
from tau.daemon.recorder import Recorder
from tau.errors import RequestInvalid
from tau.pipeline.protocol import ExitRecord, JobRequest, Limits
from tau.services.execution_service import Ended, ExecutionService, Started, Told
from tau.services.outcome import Claim, crash
from tau.services.secret_service import SecretService
from tau.workers.base import Answer, AttemptLost, LaunchRefused, Worker

logger = logging.getLogger("tau.executor")


class Executor:
    """Owns the attempts that this daemon has claimed."""

    def __init__(
        self,
        execution: ExecutionService,
        recorder: Recorder,
        worker: Worker,
        *,
        cache: SourceCache,
        secrets: SecretService,
        settings: ExecutorSettings,
        environ: Mapping[str, str],
        clock: Clock,
    ) -> None:
        self._execution, self._recorder, self._worker = execution, recorder, worker
        self._cache, self._secrets, self._clock = cache, secrets, clock
        self._settings = settings
        self._env = child_environment(settings, environ)

    async def execute(self, claim: Claim) -> None:
        """Run a claimed attempt to its end and record that."""
        request = await self._request(claim)
        await self._see_through(claim, self._worker.run(request, self._listener(claim)))

    async def adopt(self, claim: Claim, offset: int) -> None:
        """Follow an attempt that an earlier daemon of this home has started."""
        following = self._worker.adopt(
            claim.run_id, claim.attempt, self._listener(claim), offset=offset
        )
        await self._see_through(claim, following)

    async def kill(self, claim: Claim, *, status: str, reason: str) -> None:
        await self._worker.kill(claim.run_id, claim.attempt, status=status, reason=reason)

    async def _see_through(self, claim: Claim, attempt: Awaitable[ExitRecord]) -> None:
        """Whatever comes of the attempt is recorded before its files are deleted."""
        try:
            record = await attempt
        except LaunchRefused as error:
            logger.warning("%s was not started: %s", claim.reference, error)
            self._worker.forget(claim.run_id, claim.attempt)
            await self._execution.requeue(claim, str(error))
            return
        except AttemptLost as error:
            record = crash(claim, str(error))
        await self._recorder.store(Ended(claim=claim, record=record))
        self._worker.forget(claim.run_id, claim.attempt)

    def _listener(self, claim: Claim) -> "_Listener":
        return _Listener(claim, self._execution, self._recorder, self._secrets, self._clock)

    async def _request(self, claim: Claim) -> JobRequest:
        path = self._cache.find(claim.sha256)
        if path is None:
            source = await self._execution.source(claim.sha256)
            path = await asyncio.to_thread(self._cache.put, source or "")
        return JobRequest(
            kind="run",
            run_id=claim.run_id,
            attempt=claim.attempt,
            fence=claim.fence,
            source_path=str(path),
            file_name=claim.file_name,
            origin=claim.origin,
            pipeline=claim.spec.get("declared_name") or claim.spec["name"],
            params=claim.params,
            facts=claim.facts | {"pipeline": claim.reference.partition("#")[0]},
            env=self._env
            | {
                "TAU_RUN_ID": claim.run_id,
                "TAU_ATTEMPT": str(claim.attempt),
                "TAU_IDEMPOTENCY_KEY": f"{claim.run_id}-{claim.attempt}",
            },
            limits=limits(self._settings, timeout=claim.timeout),
        )


class _Listener:
    """Passes on what one attempt tells."""

    def __init__(
        self,
        claim: Claim,
        execution: ExecutionService,
        recorder: Recorder,
        secrets: SecretService,
        clock: Clock,
    ) -> None:
        self._claim, self._execution, self._recorder = claim, execution, recorder
        self._secrets, self._clock = secrets, clock
        self._pending: set[asyncio.Task[None]] = set()

    async def started(self, *, supervisor_pid: int, child_pid: int | None) -> None:
        await self._recorder.store(
            Started(claim=self._claim, pid=supervisor_pid, at=self._clock.now())
        )

    async def events(self, lines: Sequence[bytes], *, offset: int) -> None:
        await self._recorder.store(Told(claim=self._claim, lines=lines, offset=offset))

    async def request(self, op: str, args: dict[str, Any]) -> Answer:
        if op == "secret":
            value = await self._secrets.find(str(args.get("name")))
            return Answer(value, secret=value is not None)
        if op == "state":
            return Answer(await self._execution.state(self._claim.pipeline_id))
        raise RequestInvalid(f"{op!r} can't be asked for.")


def limits(settings: ExecutorSettings, *, timeout: float | None) -> Limits:
    """What one attempt may use: the pipeline's own timeout, else the daemon's."""
    return Limits(
        timeout_s=timeout or settings.timeout,
        grace_s=settings.grace,
        memory_bytes=settings.memory_mb * 1024 * 1024 if settings.memory_mb else None,
        log_bytes=settings.log_mb * 1024 * 1024,
    )


def child_environment(settings: ExecutorSettings, environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that a pipeline sees: those of `pass_env`, never one of Tau's own."""
    kept = {
        name: environ[name]
        for name in settings.pass_env
        if name in environ and not name.startswith("TAU_")
    }
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"}
