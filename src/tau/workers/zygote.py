"""A fresh, single-threaded interpreter with the child's modules loaded, which forks supervisors.

`python -m tau.workers.zygote FD`. On the stream socket FD: requests {"id","attempt_dir"} come as
JSON lines, {"ready"} and then {"id","pid"} or {"id","error"} go back. The end of the socket is
the zygote's end; supervisors that run are not touched by it.
"""

import codecs
import contextlib
import gc
import os
import select
import signal
import sys
from pathlib import Path
from typing import NoReturn

from tau.pipeline import runtime
from tau.pipeline.protocol import JsonObject, decode_line, encode_line
from tau.workers import killtree, processes
from tau.workers.streams import LineBuffer, read_available
from tau.workers.supervisor import supervise

_MAX_REQUEST_BYTES = 64 * 1024


class Zygote:
    """Forks one supervisor per request, and collects those that have ended."""

    def __init__(self, channel: int, wake_fd: int) -> None:
        self._channel = channel
        self._wake_fd = wake_fd
        self._lines = LineBuffer(_MAX_REQUEST_BYTES)
        self._supervisors: set[int] = set()

    def serve(self) -> None:
        """Answer requests until the socket ends; the first line says that it is ready."""
        self._tell({"ready": True})
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._wake_fd, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_fd in ready:
                read_available(self._wake_fd)
                self._reap()
            if self._channel in ready and not self._answer():
                return

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
        threads = processes.thread_count()
        if threads != 1:
            return {"id": request["id"], "error": f"the zygote has {threads} threads"}
        try:
            pid = os.fork()
        except OSError as error:
            return {"id": request["id"], "error": f"fork: {error.strerror}"}
        if pid == 0:
            self._become_supervisor(Path(request["attempt_dir"]))
        self._supervisors.add(pid)
        return {"id": request["id"], "pid": pid}

    def _become_supervisor(self, attempt_dir: Path) -> NoReturn:
        signal.set_wakeup_fd(-1)
        processes.close_descriptors(keep=(0, 1, 2))
        supervise(attempt_dir, fresh_interpreter=False)

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
            if os.WIFSIGNALED(status):
                for stray in killtree.living_descendants(os.getpid(), spare=self._supervisors):
                    killtree.send(stray, signal.SIGKILL)


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
    for encoding in ("ascii", "utf-8-sig"):
        codecs.lookup(encoding)  # imports its module, which each fork would do anew
    gc.collect()
    gc.freeze()
    Zygote(channel, wake_fd).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
