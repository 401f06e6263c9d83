"""Executes claims: prepares the request, follows the attempt, records what it tells and its end."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Awaitable, Coroutine, Mapping, Sequence
from typing import Any

from tau.core.clock import Clock
from tau.core.config import ExecutorSettings
from tau.core.logging import about
from tau.core.script_block import Needs
from tau.core.source_cache import SourceCache
from tau.daemon.recorder import Recorder
from tau.daemon.trouble import Trouble, patiently
from tau.errors import DependencyError, RequestInvalid
from tau.pipeline.protocol import ExitRecord, JobRequest, Limits
from tau.services.execution_service import Ended, ExecutionService, Started, Told
from tau.services.outcome import Claim, crash
from tau.services.vault import Vault
from tau.workers.base import Answer, AttemptLost, AttemptUnknown, LaunchRefused, Worker
from tau.workers.environments import Environments

logger = logging.getLogger("tau.executor")

MAX_UNSTORED = 2
"""So many reports of an attempt may wait for the store before its spool is read on."""


class Executor:
    """Owns the attempts that this daemon has claimed."""

    def __init__(
        self,
        execution: ExecutionService,
        recorder: Recorder,
        worker: Worker,
        *,
        cache: SourceCache,
        vault: Vault,
        settings: ExecutorSettings,
        environ: Mapping[str, str],
        clock: Clock,
        environments: Environments,
        leash: float | None = None,
    ) -> None:
        self._execution, self._recorder, self._worker = execution, recorder, worker
        self._environments = environments
        self._preparing: dict[str, asyncio.Task[JobRequest]] = {}
        self._cache, self._vault, self._clock = cache, vault, clock
        self._settings, self._leash = settings, leash
        self._env = child_environment(settings, environ)
        self._trouble = Trouble(logger, "what attempts need can't be read or written")

    @property
    def troubles(self) -> list[Trouble]:
        return [self._trouble]

    async def execute(self, claim: Claim) -> None:
        """Run a claimed attempt to its end and record that.

        Where its environment is not here yet it is built first, which is no part of the attempt:
        if that fails, the run is queued again as for any launch that did not come about.
        """
        _about(claim)
        with contextlib.ExitStack() as stack:
            try:
                request = await self._request(claim)
                needs = Needs.of_spec(claim.spec)
                if needs is not None:
                    request = await self._unless_killed(claim, self._enter(request, needs, stack))
            except OSError as error:
                await self._refused(claim, f"its source can't be written: {error}")
                return
            except (DependencyError, LaunchRefused) as error:
                await self._refused(claim, str(error))
                return
            listener = self._listener(claim)
            await self._see_through(claim, listener, self._worker.run(request, listener))

    async def _enter(
        self, request: JobRequest, needs: Needs, stack: contextlib.ExitStack
    ) -> JobRequest:
        """The request in its environment, which stays until the stack is left."""
        recipe = await self._environments.recipe(needs)
        stack.enter_context(self._environments.used(recipe))
        return await self._environments.enter(request, await self._environments.get(recipe))

    async def _unless_killed(
        self, claim: Claim, preparing: Coroutine[Any, Any, JobRequest]
    ) -> JobRequest:
        """What comes of it. Raises LaunchRefused where the attempt is to end before it began."""
        task = asyncio.create_task(preparing, name=f"environment of {claim.reference}")
        self._preparing[claim.run_id] = task
        try:
            await asyncio.wait({task})
            if task.cancelled():
                raise LaunchRefused("it was to end while its environment was being built")
            return task.result()
        finally:
            task.cancel()
            del self._preparing[claim.run_id]

    async def adopt(self, claim: Claim, offset: int) -> None:
        """Follow an attempt that an earlier daemon of this home has started."""
        _about(claim)
        listener = self._listener(claim)
        following = self._worker.adopt(claim.run_id, claim.attempt, listener, offset=offset)
        await self._see_through(claim, listener, following)

    def forget_all_but(self, claims: Sequence[Claim]) -> None:
        """Clear away what is left of other attempts: their outcomes are stored."""
        self._worker.forget_all_but({(claim.run_id, claim.attempt) for claim in claims})

    def renew(self) -> None:
        """Say to all attempts that their daemon lives."""
        self._worker.renew()

    async def kill(self, claim: Claim, *, status: str, reason: str) -> None:
        preparing = self._preparing.get(claim.run_id)
        if preparing is not None:
            preparing.cancel()
            return
        await self._worker.kill(claim.run_id, claim.attempt, status=status, reason=reason)

    async def _see_through(
        self, claim: Claim, listener: "_Listener", attempt: Awaitable[ExitRecord]
    ) -> None:
        """Whatever comes of the attempt is recorded before its files are deleted."""
        try:
            record = await attempt
        except (LaunchRefused, AttemptUnknown) as error:
            await listener.settled()
            self._worker.forget(claim.run_id, claim.attempt)
            await self._refused(claim, str(error))
            return
        except AttemptLost as error:
            record = crash(claim, str(error))
        # After all that it told, if not in the same transaction.
        await self._recorder.store(Ended(claim=claim, record=record))
        await listener.settled()
        self._worker.forget(claim.run_id, claim.attempt)

    async def _refused(self, claim: Claim, reason: str) -> None:
        logger.warning("%s was not started: %s", claim.reference, reason)
        await patiently(lambda: self._execution.requeue(claim, reason), self._trouble)

    def _listener(self, claim: Claim) -> "_Listener":
        return _Listener(
            claim,
            self._execution,
            self._recorder,
            vault=self._vault,
            clock=self._clock,
            trouble=self._trouble,
        )

    async def _request(self, claim: Claim) -> JobRequest:
        path = self._cache.find(claim.sha256)
        if path is None:
            source = await patiently(lambda: self._execution.source(claim.sha256), self._trouble)
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
            limits=limits(self._settings, timeout=claim.timeout, leash=self._leash),
        )


def _about(claim: Claim) -> None:
    about(run=claim.reference, run_id=claim.run_id, attempt=claim.attempt)


class _Listener:
    """Passes on what one attempt tells.

    It does not wait for each report, so that one transaction stores what comes together: the start
    with the first events, the last events with the end.
    """

    def __init__(
        self,
        claim: Claim,
        execution: ExecutionService,
        recorder: Recorder,
        *,
        vault: Vault,
        clock: Clock,
        trouble: Trouble,
    ) -> None:
        self._claim, self._execution, self._recorder = claim, execution, recorder
        self._vault, self._clock, self._trouble = vault, clock, trouble
        self._unstored: deque[asyncio.Future[None]] = deque()

    async def settled(self) -> None:
        """Return once all that was told is durable."""
        while self._unstored:
            await self._unstored.popleft()

    async def started(self, *, supervisor_pid: int, child_pid: int | None) -> None:
        started = Started(claim=self._claim, pid=supervisor_pid, at=self._clock.now())
        self._unstored.append(self._recorder.put(started))

    async def events(self, lines: Sequence[bytes], *, offset: int) -> None:
        told = Told(claim=self._claim, lines=lines, offset=offset)
        self._unstored.append(self._recorder.put(told))
        while len(self._unstored) > MAX_UNSTORED:
            await self._unstored.popleft()

    async def request(self, op: str, args: dict[str, Any]) -> Answer:
        if op == "secret":
            name = str(args.get("name"))
            handed = await patiently(lambda: self._vault.find(name), self._trouble)
            return Answer(handed.value, secret=handed.about) if handed else Answer(None)
        if op == "state":
            pipeline_id = self._claim.pipeline_id
            state = await patiently(lambda: self._execution.state(pipeline_id), self._trouble)
            return Answer(state)
        raise RequestInvalid(f"{op!r} can't be asked for.")


def limits(
    settings: ExecutorSettings, *, timeout: float | None, leash: float | None = None
) -> Limits:
    """What one attempt may use: the pipeline's own timeout, else the daemon's."""
    return Limits(
        timeout_s=timeout or settings.timeout,
        grace_s=settings.grace,
        leash_s=leash,
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
