"""The versioned protocol between daemon, supervisor and child: shapes, limits, framing.

Three channels, all JSON lines (one compact JSON object, ASCII, ended by a newline):

1. child ↔ supervisor, one stream socketpair. Up: events (`k` is an `EventKind`) and requests
   (`k` = "request"). Down: answers. A line that is no such object is counted, never fatal.
2. supervisor → spool, the file `events.jsonl` of the attempt: each event with its `seq` (1, 2, …)
   in the order of arrival, secrets already redacted. It is the only way events reach the store.
3. supervisor ↔ daemon, the daemon's control socket. Up: attach, poke (the spool grew), request,
   exit (`exit.json` is written). Down: answer, kill, renew (the daemon
   lives: see Limits.leash_s). The supervisor reconnects and attaches
   again after a restart of the daemon, and repeats the requests that were open.

Events (times `ts` are Unix seconds as float):
  {"k":"hello","ts","v":1,"pid","python"}                                user code is about to run
  {"k":"log","ts","level","message","source","step"?,"fields"?,"logger"?}
        source: ctx | print | stderr | logging (captured in the child), stdout | raw_stderr (by
        the supervisor, from descriptors 1 and 2), supervisor (its own warnings)
  {"k":"step_start","ts","step":1,"parent"?,"name","kind":"step"|"transform"}
  {"k":"step_end","ts","step":1,"status":"success"|"failed","ms","rows_in"?,"rows_out"?,
        "metrics"?,"error"?}
  {"k":"check","ts","name","passed","severity","step"?,"evidence"?,"line"?}
  {"k":"result","ts","value","reason"?,"state"?}          the last one of an attempt that returned
  {"k":"failure","ts","failure":{…}}                      the last one of an attempt that raised
  {"k":"secret","ts","name","source":"store"|"environment","version"?}
        a secret was handed out: made by the supervisor before the child gets it, once a value
  {"k":"truncated","ts","dropped","bytes"}                made by the supervisor at its log cap

Requests up: {"k":"request","id":1,"op":"secret","args":{"name":"X"}}; ops: secret, state.
Answers down: {"id":1,"ok":true,"value":…,"secret"?:{"name","source","version"?}}
or {"id":1,"ok":false,"error":{…}}.
        secret: args {"name"}, value the text, or null where none is set.
        state: args {}, value {"data":{…},"run_number":n or null}.

Where the child's descriptor is broken when its last message is due, the message (a `result` or a
`failure`) is written to the file `outcome.json` of the attempt instead.

Failure: {"type","module","message","code"?,"retry"?,"notes"?,"causes":[{type,message}],
  "frames":[{"file","line","function","code","source":["11  …","12> …"],"locals":{name: shape}}],
  "hidden_frames":n,"raised_in"?:{module,function,line},"step"?,"exit_code"?,
  "hint"?,"details"?:{…}}
  With a `code` of the catalogue, `hint` and `details` are that error's: for one of the file's
  loading {"file","line","source_line",…}, for params.invalid {"fields":[{"field","reason"}]}.
"""

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROTOCOL_VERSION = 1

MAX_MESSAGE_BYTES = 1024 * 1024
"""One line of the child's channel; a longer one is dropped and counted as malformed."""

MAX_RESULT_BYTES = 512 * 1024
"""A run's result as JSON; a larger one fails the run with a reason."""

MAX_LOG_CHARS = 32 * 1024
"""One log message; the middle of a longer one is cut, with a mark saying so."""

MAX_STATE_BYTES = 64 * 1024
"""`ctx.state` as JSON."""

REQUEST_FILE = "request.json"
LOCK_FILE = "lock"
TOMBSTONE_FILE = "tombstone"
SPOOL_FILE = "events.jsonl"
EXIT_FILE = "exit.json"
OUTCOME_FILE = "outcome.json"
WORK_DIR = "work"

JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one attempt may use; None is no limit. Sizes in bytes, times in seconds.

    `leash_s` is how long it may go on without hearing from its daemon, where others may take its
    run meanwhile.
    """

    timeout_s: float | None = 3600.0
    grace_s: float = 5.0
    leash_s: float | None = None
    memory_bytes: int | None = None
    open_files: int = 1024
    log_bytes: int = 16 * 1024 * 1024
    log_tail_bytes: int = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class JobRequest:
    """What the supervisor is told in `request.json` of the attempt's directory.

    `kind` is "run" (call one pipeline), "inspect" (import the file, answer its pipelines) or
    "outline" (read what it declares without importing it: what it imports may not be there).
    `interpreter` is the command that user code gets an interpreter of its own by, empty for Tau's.
    `origin` is the path the file was deployed from, the module's `__file__`.
    `facts` are the context's: run_number, trigger, last_successful_run, interval_start,
    interval_end (ISO 8601 or None). `control_socket` None means that nobody is to be attached to.
    """

    kind: str
    run_id: str
    attempt: int
    fence: int
    source_path: str
    file_name: str
    origin: str | None = None
    pipeline: str | None = None
    params: JsonObject = field(default_factory=dict)
    facts: JsonObject = field(default_factory=dict)
    env: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    control_socket: str | None = None
    interpreter: tuple[str, ...] = ()
    version: int = PROTOCOL_VERSION

    def write(self, attempt_dir: Path) -> None:
        """Leave the request for its supervisor and child, readable by their owner alone."""
        document = vars(self) | {"limits": vars(self.limits)}
        with open(attempt_dir / REQUEST_FILE, "wb", opener=_open_private) as file:
            file.write(json.dumps(document).encode("ascii"))

    @classmethod
    def read(cls, attempt_dir: Path) -> "JobRequest":
        with open(attempt_dir / REQUEST_FILE, "rb") as file:
            document = json.load(file)
        return cls(**document | {"limits": Limits(**document["limits"])})


@dataclass(frozen=True, kw_only=True)
class ExitRecord:
    """How an attempt ended: the supervisor's last word, written once to `exit.json`.

    `status` is success, failed, timeout, cancelled or crashed. `usage` holds cpu_s, max_rss_mb
    (child and its reaped descendants). `leftovers` counts processes that had to be killed.
    """

    run_id: str
    attempt: int
    fence: int
    status: str
    reason: str | None = None
    exit_code: int | None = None
    signal: str | None = None
    started_at: float = 0.0
    ended_at: float = 0.0
    result: Any = None
    state: JsonObject | None = None
    failure: JsonObject | None = None
    usage: JsonObject = field(default_factory=dict)
    events: int = 0
    malformed: int = 0
    dropped: int = 0
    leftovers: int = 0
    version: int = PROTOCOL_VERSION

    def to_json(self) -> bytes:
        return json.dumps(vars(self)).encode("ascii")

    @classmethod
    def find(cls, attempt_dir: Path) -> "ExitRecord | None":
        """The record of an attempt that has ended, else None."""
        try:
            with open(attempt_dir / EXIT_FILE, "rb") as file:
                document = json.load(file)
        except FileNotFoundError:
            return None
        return cls(**document)


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


def encode_line(message: JsonObject) -> bytes:
    """One message as a line; ASCII, so that any cut is seen and any store can hold it."""
    return _ENCODER.encode(message).encode("ascii") + b"\n"


def decode_line(line: bytes) -> JsonObject | None:
    """The message of a line, or None where the line holds no JSON object."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return message if isinstance(message, dict) else None


def _open_private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
