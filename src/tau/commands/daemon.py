"""The commands of `taud`: start, stop, status, doctor."""

from tau.commands.options import FIELDS
from tau.commands.spec import Command, Option, Output

START = Command(
    name="start",
    group="daemon",
    summary="Start the daemon here; `taud` alone does the same.",
    params=(
        Option(name="--daemon", kind="flag", help="In the background; returns once it answers."),
        Option(name="--host", metavar="H", help="The address to listen on (default 127.0.0.1)."),
        Option(
            name="--port",
            kind="integer",
            metavar="N",
            minimum=0,
            help="The port to listen on (default 8400).",
        ),
        Option(name="--free-port", kind="flag", help="Take a free port where that one is taken."),
        Option(name="--allow-remote", kind="flag", help="Allow an address that others reach."),
        Option(name="--behind-proxy", kind="flag", help="TLS ends at a proxy in front."),
    ),
    output=Output(
        description="With --daemon, where it answers; in the foreground nothing, and its log on "
        "stderr, with -o table as text for people.",
        keys=("pid", "host", "port", "url", "version", "started_at", "next"),
    ),
    errors=(
        "config.invalid",
        "daemon.already_running",
        "daemon.start_failed",
        "security.bind_refused",
        "security.unsafe_file",
        "store.newer_than_code",
        "store.unavailable",
    ),
    examples=("taud", "taud start --daemon", "taud start --port 8500"),
    mutating=True,
    idempotent=False,
    logs=True,
    program="taud",
)

STOP = Command(
    name="stop",
    group="daemon",
    summary="Stop the daemon; what runs goes on and is adopted at the next start.",
    params=(Option(name="--kill", kind="flag", help="End the running attempts too."),),
    output=Output(description="What was stopped.", keys=("stopped", "pid", "running", "next")),
    errors=("daemon.not_running",),
    examples=("taud stop", "taud stop --kill"),
    mutating=True,
    program="taud",
)

STATUS = Command(
    name="status",
    group="daemon",
    summary="Say whether a daemon runs in this home, and where it answers.",
    params=(FIELDS,),
    output=Output(
        description="The daemon of this home.",
        keys=("running", "pid", "host", "port", "url", "version", "started_at", "home", "next"),
    ),
    examples=("taud status",),
    program="taud",
)

DOCTOR = Command(
    name="doctor",
    group="daemon",
    summary="Say what is wrong with this home, its store, its daemon or this machine.",
    params=(FIELDS,),
    output=Output(
        description="One line a check; `ok` where all are well.",
        keys=("ok", "checks"),
        rows="checks",
        row_keys=("name", "ok", "message", "hint"),
    ),
    examples=("taud doctor", "taud doctor -o table"),
    program="taud",
)

COMMANDS = (START, STOP, STATUS, DOCTOR)
