"""The supervisor's loop: serves the child and the daemon until the child's whole tree is gone."""

import os
import selectors
import signal
import time
from functools import partial

from tau.errors import DaemonUnreachable
from tau.pipeline.protocol import (
    MAX_MESSAGE_BYTES,
    PROTOCOL_VERSION,
    JobRequest,
    JsonObject,
    encode_line,
)
from tau.pipeline.redaction import Redactor, is_secret_name
from tau.pipeline.types import FINAL_STATUSES, RunStatus
from tau.workers import killtree, processes
from tau.workers.childsetup import Child
from tau.workers.control import ControlClient
from tau.workers.ending import End, Ending
from tau.workers.intake import MAX_LOG_LINE_BYTES, Intake
from tau.workers.spool import Spool
from tau.workers.streams import LineSource, Outbox, read_available

REAP_S = 10.0
_LEASH_LOOK_S = 1.0

_PAUSE_S = 0.05  # between two reads from a child that has flooded its log
_MAX_UNREAD_ANSWER_BYTES = 4 * 1024 * 1024
_MIN_ENV_SECRET_CHARS = 8
_WORKING_DIRECTORIES = frozenset({"PWD", "OLDPWD"})


class Watch:
    """Watches one child. Deadlines are looked at on every pass, however busy the child is."""

    def __init__(self, request: JobRequest, child: Child, *, spool: Spool, wake_fd: int) -> None:
        self.request, self.spool = request, spool
        self._child, self._wake_fd = child, wake_fd
        self._selector = selectors.DefaultSelector()
        self.redactor = _redactor_for(request)
        self.intake = Intake(spool, self.redactor, on_request=self._ask)
        self.ending = Ending(child.pid, grace_s=request.limits.grace_s)
        self.reaper = killtree.Reaper(child.pid)
        self.leftovers = 0
        self.control = ControlClient(
            request.control_socket,
            attach=_attach_message(request, child),
            selector=self._selector,
            on_message=self._take_control,
        )
        self._sources = {
            child.channel: LineSource(MAX_MESSAGE_BYTES, self.intake.take_message),
            child.stdout: LineSource(
                MAX_LOG_LINE_BYTES, partial(self.intake.take_output, "stdout")
            ),
            child.stderr: LineSource(
                MAX_LOG_LINE_BYTES, partial(self.intake.take_output, "raw_stderr")
            ),
        }
        self._answers = Outbox(child.channel)
        timeout = request.limits.timeout_s
        self._deadline = None if timeout is None else time.monotonic() + timeout
        self._leash_ends: float | None = None
        self._renew_leash()
        self._leave_by: float | None = None
        self._resume_at: float | None = None

    def until_all_have_ended(self) -> None:
        """Serve until the child has ended; then end its descendants and read what is left."""
        self._selector.register(self._wake_fd, selectors.EVENT_READ, self._reap)
        self._listen()
        self._after_pass()  # attach also where the child has ended before we first look
        self._reap()
        while not self.reaper.child_is_gone:
            for key, mask in self._selector.select(self._timeout()):
                key.data(mask)
            self._after_pass()
        if not processes.SUPPORTS_FORK:  # no way to find descendants: at least the group is known
            killtree.send_group(self._child.pid, signal.SIGKILL)
        self.leftovers = killtree.end_descendants(self.reaper, within=REAP_S)
        for descriptor, source in self._sources.items():
            source.drain(descriptor)

    def _after_pass(self) -> None:
        now = time.monotonic()
        if not self.reaper.child_is_gone:
            self._enforce(now)
        if self.control.due is not None and now >= self.control.due:
            self.control.connect()
        if self.spool.flush():
            self.control.poke()
        if self._resume_at is not None and now >= self._resume_at:
            self._resume_at = None
            self._listen()

    def _enforce(self, now: float) -> None:
        if self._deadline is not None and now >= self._deadline:
            reason = f"no end within {self.request.limits.timeout_s:g} s"
            self._end(RunStatus.TIMEOUT, reason, dump=True)
        if self._leash_ends is not None and processes.boot_time() >= self._leash_ends:
            self._end(RunStatus.CRASHED, "its daemon was not heard of any more")
        if self.intake.last is not None:
            # It has said its last word: what keeps the process alive is not worth the deadline.
            self._leave_by = self._leave_by or now + max(self.request.limits.grace_s, 1.0)
            if now >= self._leave_by:
                self.ending.begin(now, None)
        self.ending.step(now)

    def _end(self, status: str, reason: str, *, dump: bool = False) -> None:
        """End the child as that, unless it has told its outcome already."""
        end = End(status, reason) if self.intake.last is None else None
        self.ending.begin(time.monotonic(), end, dump=dump and end is not None)

    def _timeout(self) -> float | None:
        begun = self.ending.has_begun
        dues = (
            self.ending.due,
            self.control.due,
            self._resume_at,
            None if begun else self._deadline,
            None if begun or self._leash_ends is None else time.monotonic() + _LEASH_LOOK_S,
            None if begun else self._leave_by,
        )
        known = [due for due in dues if due is not None]
        return max(min(known) - time.monotonic(), 0.0) if known else None

    def _reap(self, _mask: int = 0) -> None:
        read_available(self._wake_fd)
        self.reaper()

    def _listen(self) -> None:
        for descriptor, source in self._sources.items():
            if not source.has_ended:
                read = partial(self._read, descriptor)
                self._selector.register(descriptor, self._events_of(descriptor), read)

    def _events_of(self, descriptor: int) -> int:
        waits_to_write = descriptor == self._child.channel and len(self._answers) > 0
        return selectors.EVENT_READ | (selectors.EVENT_WRITE if waits_to_write else 0)

    def _pause(self) -> None:
        """Read no more for a moment: what floods blocks itself on full pipes."""
        for descriptor in self._sources:
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)
        self._resume_at = time.monotonic() + _PAUSE_S

    def _read(self, descriptor: int, mask: int) -> None:
        if descriptor not in self._selector.get_map():
            return  # paused within this pass
        if mask & selectors.EVENT_WRITE:
            self._answer_child(b"")
        if not mask & selectors.EVENT_READ:
            return
        source = self._sources[descriptor]
        source.read(descriptor)
        if source.has_ended:
            self._selector.unregister(descriptor)
        if self.intake.is_flooded or source.is_wasting:
            self._pause()

    def _ask(self, request: JsonObject) -> None:
        if self.control.ask(request):
            return
        error = DaemonUnreachable("No daemon is attached, or too many requests are open.")
        self._answer_child(
            encode_line({"id": request["id"], "ok": False, "error": error.to_dict()})
        )

    def _take_control(self, message: JsonObject) -> None:
        kind = message.get("k")
        if kind == "kill":
            status = message.get("status")
            known = status if status in FINAL_STATUSES else RunStatus.CANCELLED
            self._end(str(known), str(message.get("reason") or "killed"))
        elif kind == "renew":
            self._renew_leash()
        elif kind == "answer":
            self._learn(message)
            answer = {name: value for name, value in message.items() if name != "k"}
            self._answer_child(encode_line(answer))

    def _learn(self, answer: JsonObject) -> None:
        """A secret is known to the redactor, and that it is handed out on record, before it is."""
        facts = answer.get("secret")
        if facts:
            self.redactor.add(answer.get("value"))
            self.intake.note_secret(facts)
            self.spool.flush()

    def _renew_leash(self) -> None:
        leash = self.request.limits.leash_s
        self._leash_ends = None if leash is None else processes.boot_time() + leash

    def _answer_child(self, line: bytes) -> None:
        if len(self._answers) > _MAX_UNREAD_ANSWER_BYTES:
            return  # a child that asks and never reads
        try:
            self._answers.put(line)
        except OSError:
            return  # it closed its end; reading tells so as well
        if self._child.channel in self._selector.get_map():
            events = self._events_of(self._child.channel)
            key = self._selector.get_key(self._child.channel)
            self._selector.modify(self._child.channel, events, key.data)


def _attach_message(request: JobRequest, child: Child) -> JsonObject:
    return {
        "k": "attach",
        "v": PROTOCOL_VERSION,
        "run": request.run_id,
        "attempt": request.attempt,
        "fence": request.fence,
        "pid": os.getpid(),
        "child": child.pid,
    }


def _redactor_for(request: JobRequest) -> Redactor:
    """A redactor that knows the secrets among the environment's variables."""
    redactor = Redactor()
    for name, value in request.env.items():
        if name in _WORKING_DIRECTORIES or len(value) < _MIN_ENV_SECRET_CHARS:
            continue
        if is_secret_name(name):
            redactor.add(value)
    return redactor
