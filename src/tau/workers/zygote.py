"""A fresh, single-threaded interpreter with the child's modules loaded, which forks supervisors.

`python -m tau.workers.zygote FD HOME`. On the stream socket FD: requests {"id","attempt_dir"}
come as JSON lines, {"ready"} and then {"id","pid"} or {"id","error"} go back. The end of the
socket is the zygote's end; supervisors that run are not touched by it. HOME is for who looks at
the list of processes.
"""

import contextlib
import gc
import os
import select
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tau.pipeline import runtime
from tau.pipeline.protocol import JsonObject, decode_line, encode_line
from tau.pipeline.rehearsal import rehearse
from tau.workers import killtree, processes
from tau.workers.streams import LineBuffer, read_available
from tau.workers.supervisor import supervise, supervise_on_order
from tau.workers.supervisor_rehearsal import rehearse_supervision

REST_S = 0.02
"""So long after the last request a spare is made: one that is busy has no use for it."""

_MAX_REQUEST_BYTES = 64 * 1024
_REHEARSALS = 12  # after 8 calls the interpreter adapts a function's code to what it does
_SPARE_AGAIN_S = 1.0


@dataclass(frozen=True)
class Spare:
    """A supervisor that has its child ready and waits for an attempt's directory."""

    pid: int
    orders: int


class Zygote:
    """Forks one supervisor per request, and collects those that have ended.

    While it rests it has one in reserve, so that a single attempt need not wait for two forks.
    """

    def __init__(self, channel: int, wake_fd: int) -> None:
        self._channel = channel
        self._wake_fd = wake_fd
        self._lines = LineBuffer(_MAX_REQUEST_BYTES)
        self._supervisors: set[int] = set()
        self._spare: Spare | None = None
        self._spare_due = 0.0

    def serve(self) -> None:
        """Answer requests until the socket ends; the first line says that it is ready."""
        self._tell({"ready": True})
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake_fd, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(self._patience_ms())}
            if self._wake_fd in ready:
                read_available(self._wake_fd)
                self._reap()
            if self._channel in ready and not self._answer():
                return
            if not ready and self._spare is None:
                self._make_spare()

    def _patience_ms(self) -> float | None:
        if self._spare is not None:
            return None
        return max(self._spare_due - time.monotonic(), 0.0) * 1000

    def _answer(self) -> bool:
        data = read_available(self._channel)
        for line, _ in self._lines.feed(data or b""):
            request = decode_line(line)
            if request is not None:
                self._tell(self._launch(request))
        return data != b""

    def _tell(self, answer: JsonObject) -> None:
        with contextlib.suppress(BrokenPipeError):  # the daemon is gone: the next read says so
            os.write(self._channel, encode_line(answer))

    def _launch(self, request: JsonObject) -> JsonObject:
        self._spare_due = time.monotonic() + REST_S
        attempt_dir = Path(request["attempt_dir"])
        pid = self._give_to_spare(attempt_dir)
        if pid is not None:
            return {"id": request["id"], "pid": pid}
        threads = processes.thread_count()
        if threads != 1:
            return {"id": request["id"], "error": f"the zygote has {threads} threads"}
        try:
            pid = os.fork()
        except OSError as error:
            return {"id": request["id"], "error": f"fork: {error.strerror}"}
        if pid == 0:
            _leave_zygote(keep=(0, 1, 2))
            supervise(attempt_dir, fresh_interpreter=False)
        self._supervisors.add(pid)
        return {"id": request["id"], "pid": pid}

    def _give_to_spare(self, attempt_dir: Path) -> int | None:
        """The pid of the spare supervisor that runs the attempt now, if there is one."""
        if self._spare is None:
            return None
        spare, self._spare = self._spare, None
        try:
            os.write(spare.orders, os.fsencode(attempt_dir))
        except BrokenPipeError:  # it has died, and is still to be collected
            return None
        finally:
            os.close(spare.orders)
        return spare.pid

    def _make_spare(self) -> None:
        """Fork one, or come back to it a little later where that is not possible."""
        self._spare_due = time.monotonic() + _SPARE_AGAIN_S
        if processes.thread_count() != 1:
            return
        read, write = os.pipe()
        try:
            pid = os.fork()
        except OSError:
            os.close(read)
            os.close(write)
            return
        if pid == 0:
            _leave_zygote(keep=(0, 1, 2, read))
            supervise_on_order(read)
        os.close(read)
        self._supervisors.add(pid)
        self._spare = Spare(pid, write)

    def _reap(self) -> None:
        """Collect the dead, and end what a supervisor that was killed has left behind.

        The zygote is a subreaper: such orphans become its children, and are none of its own.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self._supervisors.discard(pid)
            if self._spare is not None and pid == self._spare.pid:
                os.close(self._spare.orders)
                self._spare = None
            if os.WIFSIGNALED(status):
                for stray in killtree.living_descendants(os.getpid(), spare=self._supervisors):
                    killtree.send(stray, signal.SIGKILL)


def _leave_zygote(*, keep: tuple[int, ...]) -> None:
    """In a fork of the zygote: what is the zygote's alone is let go of."""
    signal.set_wakeup_fd(-1)
    processes.close_descriptors(keep=keep)


def main(arguments: list[str]) -> None:
    """Prepare this process and serve; returns when the daemon's end of the socket is closed."""
    channel = int(arguments[0])
    processes.close_descriptors(keep=(0, 1, 2, channel))
    processes.new_session()
    processes.become_subreaper()
    processes.ignore_terminal_signals()
    wake_fd = processes.wake_on_child_signals()
    os.set_inheritable(channel, False)
    runtime.preload()
    for _ in range(_REHEARSALS):
        rehearse()
    rehearse_supervision(wake_fd, times=_REHEARSALS)
    gc.collect()
    gc.freeze()
    Zygote(channel, wake_fd).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
