"""The worker on this machine: attempts as process trees, each under a supervisor of its own."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

from tau.pipeline.protocol import ExitRecord, JobRequest
from tau.workers import attempt_files, processes
from tau.workers.base import AttemptListener, LaunchRefused
from tau.workers.following import Following
from tau.workers.launchers import Launcher, LaunchFailed, SpawnLauncher
from tau.workers.links import AttemptKey, Link, LinkServer, socket_path
from tau.workers.trash import Trash
from tau.workers.zygote_launcher import ZygoteLauncher

logger = logging.getLogger("tau.workers")

StartMethod = Literal["auto", "fork", "spawn"]


class LocalWorker:
    """Executes attempts in processes that outlive the daemon.

    `capacity` bounds how many `run` at once: further ones wait for their turn. After
    `attach_timeout` seconds a supervisor that has not reported is looked for by its lock.
    `start_method` "fork" needs Linux; "auto" takes it where it can.
    """

    def __init__(
        self,
        home: Path,
        *,
        start_method: StartMethod = "auto",
        capacity: int | None = None,
        attach_timeout: float = 10.0,
    ) -> None:
        if start_method == "fork" and not processes.SUPPORTS_FORK:
            raise ValueError("start_method='fork' needs Linux")
        forks = start_method != "spawn" and processes.SUPPORTS_FORK
        self._home = home.resolve()
        self._launcher: Launcher = (
            ZygoteLauncher(self._home, patience=attach_timeout) if forks else SpawnLauncher()
        )
        self._turns = asyncio.Semaphore(capacity) if capacity else contextlib.nullcontext()
        self._attach_timeout = attach_timeout
        self._followed: dict[AttemptKey, Following] = {}
        self._parked: dict[AttemptKey, asyncio.Future[Following | None]] = {}
        self._server: LinkServer | None = None
        self._control_socket: Path | None = None
        self._trash = Trash(self._home / "trash")

    async def start(self) -> None:
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        (self._home / "runs").mkdir(mode=0o700, exist_ok=True)
        self._trash.open()
        self._control_socket = socket_path(self._home)
        self._server = LinkServer(self._control_socket, self._serve)
        await self._server.start()
        await self._launcher.start()

    async def stop(self) -> None:
        for following in self._followed.values():
            following.stop()
        if self._server is not None:
            await self._server.stop()
            self._server = None
        await self._launcher.stop()
        await self._trash.emptied()

    async def run(self, request: JobRequest, listener: AttemptListener) -> ExitRecord:
        """Execute one attempt. One that was started before is followed, never started again."""
        request = replace(request, control_socket=str(self._control_socket))
        directory = attempt_files.attempt_dir(self._home, request.run_id, request.attempt)
        key = (request.run_id, request.attempt)
        with self._following(key, Following(directory, listener)) as following:
            async with self._turns:
                if following.wish is not None:
                    return _never_started(request, *following.wish)
                if directory in self._trash:  # the same attempt, refused and claimed again
                    await self._trash.emptied()
                if not _lay_out(directory, request):
                    return await following.until_end(attach_within=0)
                return await self._launch_and_follow(directory, following)

    async def adopt(
        self, run_id: str, attempt: int, listener: AttemptListener, *, offset: int
    ) -> ExitRecord:
        directory = attempt_files.attempt_dir(self._home, run_id, attempt)
        following = Following(directory, listener, offset=offset)
        with self._following((run_id, attempt), following):
            return await following.until_end(attach_within=0)

    async def kill(self, run_id: str, attempt: int, *, status: str, reason: str) -> None:
        following = self._followed.get((run_id, attempt))
        if following is not None:
            following.kill(status, reason)

    def renew(self) -> None:
        for following in self._followed.values():
            following.renew()

    def forget(self, run_id: str, attempt: int) -> None:
        """Have the attempt's directory deleted; one that runs is ended, since nobody waits."""
        self._trash.throw(attempt_files.attempt_dir(self._home, run_id, attempt))
        parked = self._parked.get((run_id, attempt))
        if parked is not None and not parked.done():
            parked.set_result(None)

    def forget_all_but(self, kept: Collection[AttemptKey]) -> None:
        for run in (self._home / "runs").iterdir():
            for attempt in run.glob("*"):
                if attempt.name.isdecimal() and (run.name, int(attempt.name)) not in kept:
                    self.forget(run.name, int(attempt.name))
            with contextlib.suppress(OSError):  # only where no attempt was laid out yet
                run.rmdir()

    async def _launch_and_follow(self, directory: Path, following: Following) -> ExitRecord:
        pid = None
        try:
            pid = await self._launcher.launch(directory)
        except LaunchFailed as failed:
            logger.warning("launching %s failed: %s", directory.parent.name, failed)
        within = self._attach_timeout if pid is not None else 0.0
        try:
            return await following.until_end(attach_within=within)
        finally:
            if pid is not None and following.is_over:
                await self._launcher.collect(pid)

    @contextlib.contextmanager
    def _following(self, key: AttemptKey, following: Following) -> Iterator[Following]:
        if self._server is None:
            raise RuntimeError("the worker was not started")
        if key in self._followed:
            raise RuntimeError(f"attempt {key[1]} of run {key[0]} is followed already")
        self._followed[key] = following
        parked = self._parked.get(key)
        if parked is not None and not parked.done():
            parked.set_result(following)
        try:
            yield following
        finally:
            del self._followed[key]
            following.close()

    async def _serve(self, link: Link) -> None:
        """Hand a supervisor to who follows its attempt; before that it waits unread."""
        following = self._followed.get(link.key) or await self._claimed(link)
        if following is None:
            link.kill("cancelled", "the attempt was forgotten")
            async for _ in link.messages():
                pass  # until the supervisor has ended
        else:
            await following.serve(link)

    async def _claimed(self, link: Link) -> Following | None:
        directory = attempt_files.attempt_dir(self._home, *link.key)
        if directory in self._trash or not directory.exists():
            return None
        claim: asyncio.Future[Following | None] = asyncio.get_running_loop().create_future()
        self._parked[link.key] = claim
        try:
            return await claim
        finally:
            if self._parked.get(link.key) is claim:
                del self._parked[link.key]


def _lay_out(directory: Path, request: JobRequest) -> bool:
    try:
        return attempt_files.create(directory, request)
    except OSError as error:
        raise LaunchRefused(f"The attempt's directory can't be made: {error}") from error


def _never_started(request: JobRequest, status: str, reason: str) -> ExitRecord:
    now = time.time()
    return ExitRecord(
        run_id=request.run_id,
        attempt=request.attempt,
        fence=request.fence,
        status=status,
        reason=reason,
        started_at=now,
        ended_at=now,
    )
