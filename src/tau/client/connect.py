"""From what a caller says to a daemon that can be talked to, starting a local one if need be."""

import os
from collections.abc import Mapping

from tau.client.home import DaemonInfo, Home, find_home
from tau.client.launch import start_daemon
from tau.client.target import Target, find_remote, local_target
from tau.commands.output import note
from tau.errors import DaemonUnreachable


def find_target(env: str | None = None, *, environ: Mapping[str, str] = os.environ) -> Target:
    """The daemon to talk to. A local one is started where none runs, unless TAU_AUTOSTART=0.

    Raises DaemonUnreachable, DaemonStartFailed, and what the rules of `target` raise.
    """
    remote = find_remote(env, environ=environ)
    if remote:
        return remote
    home = find_home(environ)
    daemon = home.find_daemon() or _start(home, environ=environ)
    return local_target(home, daemon, environ=environ)


def find_running(
    env: str | None = None, *, environ: Mapping[str, str] = os.environ
) -> Target | None:
    """The daemon to talk to without its key, or None where none runs here; starts none."""
    remote = find_remote(env, environ=environ)
    if remote:
        return remote
    daemon = find_home(environ).find_daemon()
    return Target(daemon.url) if daemon else None


def _start(home: Home, *, environ: Mapping[str, str]) -> DaemonInfo:
    if environ.get("TAU_AUTOSTART") == "0":
        raise DaemonUnreachable(
            f"No daemon runs in {home.path}, and TAU_AUTOSTART=0 keeps it from being started.",
            hint="Start it, or set TAU_HOST to one that runs elsewhere.",
            next=["taud start --daemon"],
        )
    daemon = start_daemon(home, arguments=["--free-port"])
    # Always, not only on a terminal: that a process was started is no progress but a fact.
    note(f"tau: started a daemon in {home.path}, at {daemon.url}")
    return daemon
