"""The daemon as a process: binds, starts its parts, serves, and takes them down again."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from ipaddress import ip_address

import uvicorn
from fastapi import FastAPI

from tau import __version__
from tau.api.gate import local_hosts
from tau.client.home import Home
from tau.core.clock import SystemClock
from tau.core.config import Loaded, Settings
from tau.core.counters import Counters
from tau.core.crypto import KEY_FILE, Keyring
from tau.core.database import Database, find_password, sqlite_url
from tau.core.ids import UlidFactory
from tau.core.logging import configure
from tau.core.migrations import upgrade
from tau.core.notifier import Notifier
from tau.core.signals import Signals
from tau.daemon.composition import Given, Parts, compose, create_app
from tau.daemon.home import DaemonHome
from tau.daemon.scheduler import Scheduler
from tau.errors import BindRefused, DaemonStartFailed
from tau.pipeline.types import RunStatus
from tau.services.key_service import KeyService
from tau.services.status_service import DaemonFacts
from tau.workers.local import LocalWorker

logger = logging.getLogger("tau.daemon")

INSPECTION_SLOTS = 4
CONNECTIONS_PATIENCE_S = 3


def serve(loaded: Loaded, home: Home, *, free_port: bool = False) -> None:
    """Be the daemon of this home until a signal ends it.

    SIGTERM and SIGINT drain and leave what runs to be adopted, a second one does not wait,
    SIGUSR1 ends what runs. Raises DaemonAlreadyRunning, ConfigurationError, BindRefused, ….
    """
    settings = loaded.settings
    configure(level=settings.log.level, form=settings.log.format, secrets=_secrets(settings))
    # It warns of jobs that it drops, as it drops a ring of the bell that is still being rung.
    logging.getLogger("apscheduler").setLevel(logging.ERROR)
    check_bind(settings)
    Notifier(settings.notify.urls).check()
    daemon_home = DaemonHome(home)
    daemon_home.lock()
    try:
        daemon = settings.daemon
        listener = bind(daemon.host, daemon.port, free_port=free_port)
        with asyncio.Runner(loop_factory=_event_loop) as runner:
            runner.run(Daemon(loaded, daemon_home, listener).run())
    finally:
        daemon_home.release()


def _secrets(settings: Settings) -> list[str | None]:
    """What the settings hold that no line of the log may tell."""
    key = settings.auth.api_key
    return [key.get_secret_value() if key else None, find_password(settings.database.url)]


def _event_loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def check_bind(settings: Settings) -> None:
    """An address that others reach is taken only with TLS or a proxy that has it."""
    daemon = settings.daemon
    if is_loopback(daemon.host):
        return
    if not daemon.allow_remote:
        raise BindRefused(f"{daemon.host} can be reached by others.")
    if not daemon.behind_proxy and daemon.tls_certificate is None:
        raise BindRefused(f"Keys would cross the network to {daemon.host} in the clear.")


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def bind(host: str, port: int, *, free_port: bool) -> socket.socket:
    """A listening socket; a free port where the wanted one is taken and that is allowed."""
    try:
        return _listen(host, port)
    except OSError as error:
        if free_port:
            return _listen(host, 0)
        raise DaemonStartFailed(
            f"{host}:{port} can't be listened on: {error.strerror}.",
            hint="Another program may have the port: --port N, or --free-port.",
        ) from error


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(1024)
    except OSError:
        listener.close()
        raise
    return listener


class _Server(uvicorn.Server):
    """uvicorn, with the signals left to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Daemon:
    """One daemon from start to stop."""

    def __init__(self, loaded: Loaded, home: DaemonHome, listener: socket.socket) -> None:
        self._loaded, self._home, self._listener = loaded, home, listener
        self._settings = settings = loaded.settings
        self._clock, self._ids, self._signals = SystemClock(), UlidFactory(), Signals()
        self._started_at, self._counters = self._clock.now(), Counters()
        self._db = Database(settings.database.url or sqlite_url(home.store_file))
        self._worker = LocalWorker(
            home.path,
            start_method=settings.executor.start_method,
            capacity=settings.executor.slots + INSPECTION_SLOTS,
        )
        self._stop, self._hurry = asyncio.Event(), asyncio.Event()
        self._kill = False
        self._port: int = listener.getsockname()[1]
        self._url = _url(settings, self._port)

    async def run(self) -> None:
        """Start, serve until told to stop, stop."""
        try:
            revision = await upgrade(self._db)
            await self._worker.start()
            parts = compose(self._given(revision))
            await parts.vault.check_store()
            await parts.environments.start()
            await self._accept_keys(parts.services.keys)
            if self._db.is_sqlite and (taken := await parts.execution.take_over()):
                logger.warning("%d attempts of another home are this one's now", taken)
            parts.recorder.start()
            if parts.reaper is not None:
                await parts.reaper.start()
            await parts.dispatcher.start()
            await parts.courier.start()
            await self._serve(parts)
        finally:
            await self._worker.stop()
            await self._db.close()

    async def _serve(self, parts: Parts) -> None:
        scheduler = Scheduler(
            parts.ticks, parts.housekeeping, clock=self._clock, signals=self._signals
        )
        parts.troubles.extend(scheduler.troubles)
        await scheduler.start()
        daemon = self._settings.daemon
        hosts = local_hosts(self._port, (*daemon.public_hosts, daemon.host))
        app = create_app(parts.services, hosts=hosts, counters=self._counters)
        server = self._server(app)
        serving = asyncio.create_task(server.serve(sockets=[self._listener]))
        stopping = asyncio.create_task(self._stop.wait())
        self._handle_signals()
        self._announce()
        await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        parts.services.house.readiness.drain()
        await scheduler.stop()
        await self._wind_down(parts)
        self._signals.close()
        server.should_exit = True
        await serving
        idle = parts.dispatcher.busy == 0
        await parts.dispatcher.let_go()
        if parts.reaper is not None:
            await parts.reaper.stop(executes_nothing=idle)
        await parts.environments.stop()
        await parts.recorder.stop()
        await parts.courier.stop()
        logger.info("stopped")

    async def _wind_down(self, parts: Parts) -> None:
        """No new claims; wait for what runs, or end it."""
        await parts.dispatcher.stop_claiming()
        patience = self._settings.daemon.drain
        if self._kill:
            await parts.dispatcher.kill_all(
                RunStatus.CANCELLED, "the daemon was stopped with --kill"
            )
            patience += self._settings.executor.grace
        drained = asyncio.create_task(parts.dispatcher.drain(seconds=patience))
        hurried = asyncio.create_task(self._hurry.wait())
        await asyncio.wait({drained, hurried}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, hurried):
            task.cancel()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop)
        loop.add_signal_handler(signal.SIGUSR1, self._told_to_kill)

    def _told_to_stop(self) -> None:
        (self._hurry if self._stop.is_set() else self._stop).set()

    def _told_to_kill(self) -> None:
        self._kill = True
        self._stop.set()

    def _announce(self) -> None:
        self._home.announce(
            host=self._settings.daemon.host,
            port=self._port,
            url=self._url,
            version=__version__,
            now=self._started_at,
        )
        logger.info("taud %s answers on %s, home %s", __version__, self._url, self._home.path)

    async def _accept_keys(self, keys: KeyService) -> None:
        await keys.accept(self._home.local_key(), name="local")
        configured = self._settings.auth.api_key
        if configured is not None:
            await keys.accept(configured.get_secret_value(), name="configured")

    def _given(self, revision: str) -> Given:
        settings = self._settings.executor
        return Given(
            db=self._db,
            clock=self._clock,
            ids=self._ids,
            signals=self._signals,
            worker=self._worker,
            settings=settings,
            retention=self._settings.retention,
            environments=self._settings.environments,
            webhooks=self._settings.webhooks,
            notify=self._settings.notify,
            environ=os.environ,
            keyring=self._keyring(),
            sources=self._home.sources,
            node_id=self._home.node_id(self._ids),
            loaded=self._loaded,
            counters=self._counters,
            facts=DaemonFacts(
                pid=os.getpid(),
                started_at=self._started_at,
                home=str(self._home.path),
                url=self._url,
                revision=revision,
                slots=settings.slots,
            ),
        )

    def _keyring(self) -> Keyring:
        given = self._settings.secrets.key
        return Keyring(
            self._home.path / KEY_FILE, configured=given.get_secret_value() if given else None
        )

    def _server(self, app: FastAPI) -> _Server:
        daemon = self._settings.daemon
        config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=daemon.behind_proxy,
            ssl_certfile=daemon.tls_certificate,
            ssl_keyfile=daemon.tls_key,
            timeout_graceful_shutdown=CONNECTIONS_PATIENCE_S,
        )
        return _Server(config)


def _url(settings: Settings, port: int) -> str:
    """Where a client on this machine reaches the daemon."""
    host = settings.daemon.host
    shown = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    scheme = "https" if settings.daemon.tls_certificate else "http"
    return f"{scheme}://{f'[{shown}]' if ':' in shown else shown}:{port}"
