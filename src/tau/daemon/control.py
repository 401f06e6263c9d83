"""`taud start`, `taud stop`, `taud status`: the daemon of this home as a process."""

import os
import signal
import time
from pathlib import Path
from typing import Any

from tau.client.home import Home, find_home
from tau.core import config
from tau.errors import DaemonAlreadyRunning, DaemonNotRunning, DaemonStopping

STOP_PATIENCE_S = 60.0
POLL_S = 0.02


def start(
    *,
    daemon: bool = False,
    host: str | None = None,
    port: int | None = None,
    free_port: bool = False,
    allow_remote: bool = False,
    behind_proxy: bool = False,
    output: str | None = None,
) -> dict[str, Any] | None:
    """Be the daemon until it is stopped, or start one in the background and say where it is.

    In the foreground `output` is that of its log: a table is text for people.
    """
    home = find_home()
    given: dict[str, Any] = {
        "host": host,
        "port": port,
        "allow_remote": allow_remote or None,
        "behind_proxy": behind_proxy or None,
    }
    given = {key: value for key, value in given.items() if value is not None}
    overrides: dict[str, Any] = {"daemon": given} if given else {}
    if output is not None and not daemon:
        overrides["log"] = {"format": "text" if output == "table" else "json"}
    loaded = config.read(config.find_file(Path.cwd(), os.environ), overrides=overrides)
    if daemon:
        return _start_in_background(home, given, free_port=free_port)
    from tau.daemon.server import serve

    serve(loaded, home, free_port=free_port)
    return None


def _start_in_background(home: Home, given: dict[str, Any], *, free_port: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from tau.client.launch import start_daemon

    running = home.find_daemon()
    if running is not None:
        raise DaemonAlreadyRunning(
            f"A daemon already runs in {home.path}.",
            next=["taud status"],
            pid=running.pid,
            url=running.url,
        )
    arguments = [
        f"--{key.replace('_', '-')}={given[key]}" for key in ("host", "port") if key in given
    ]
    arguments += [f"--{key.replace('_', '-')}" for key in given if key not in ("host", "port")]
    found = config.find_file(Path.cwd(), os.environ)
    if found is not None:
        os.environ["TAU_CONFIG"] = str(found)
    info = start_daemon(home, arguments=arguments + (["--free-port"] if free_port else []))
    return asdict(info) | {"next": ["tau status", "tau deploy FILE"]}


def stop(*, kill: bool = False) -> dict[str, Any]:
    """Stop this home's daemon and wait until it is gone. Raises DaemonNotRunning."""
    home = find_home()
    info = home.find_daemon()
    if info is None:
        raise DaemonNotRunning(f"No daemon runs in {home.path}.", next=["taud start --daemon"])
    os.kill(info.pid, signal.SIGUSR1 if kill else signal.SIGTERM)
    deadline = time.monotonic() + STOP_PATIENCE_S
    while home.is_locked():
        if time.monotonic() > deadline:
            raise DaemonStopping(
                f"The daemon (pid {info.pid}) is still stopping.", next=["taud status"]
            )
        time.sleep(POLL_S)
    return {"stopped": True, "pid": info.pid, "next": ["taud start --daemon"]}


def status() -> dict[str, Any]:
    """Whether a daemon runs in this home, and where it answers."""
    home = find_home()
    info = home.find_daemon()
    if info is None:
        return {"running": False, "home": str(home.path), "next": ["taud start --daemon"]}
    from dataclasses import asdict

    return {"running": True, **asdict(info), "home": str(home.path), "next": ["tau status"]}
