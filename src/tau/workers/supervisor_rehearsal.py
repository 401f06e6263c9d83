"""Attempts for nothing, watched in the zygote, so that supervisors are forked warm.

As for the child's own rehearsal: the interpreter adapts code that it has run some times, and what
is adapted before the fork need be neither adapted nor copied after it, in each supervisor anew.
"""

import gc
import os
import socket
import tempfile
import time
from pathlib import Path

from tau.pipeline.protocol import PROTOCOL_VERSION, JobRequest, encode_line
from tau.workers import attempt_files, processes
from tau.workers.childsetup import Child
from tau.workers.supervisor import watch_attempt

_MEMORY = Path("/dev/shm")  # noqa: S108 - a private folder in it; fsync costs nothing there


def rehearse_supervision(wake_fd: int, *, times: int) -> None:
    """Watch children that say what a short pipeline says. To be called without any child."""
    before = [int(name) for name in os.listdir("/dev/fd")]
    folder = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="tau-", dir=folder) as home:
        control = Path(home) / "control.sock"
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as daemon:
            daemon.bind(str(control))
            daemon.listen(times)
            for number in range(times):
                _rehearse(Path(home) / str(number), control, wake_fd)
    gc.collect()  # a socket closes its descriptor itself, before that number is another's
    processes.close_descriptors(keep=before)


def _rehearse(directory: Path, control: Path, wake_fd: int) -> None:
    request = JobRequest(
        kind="run",
        run_id="0" * 26,
        attempt=1,
        fence=1,
        source_path="",
        file_name="rehearsal.py",
        env={"HOME": "/home/nobody"},
        control_socket=str(control),
    )
    attempt_files.create(directory, request)
    watch_attempt(directory, _fork_speaker(), wake_fd)


def _fork_speaker() -> Child:
    """A child that runs nothing."""
    ours, theirs = (end.detach() for end in socket.socketpair())
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        hello = {"k": "hello", "ts": time.time(), "v": PROTOCOL_VERSION, "pid": 1, "python": ""}
        result = {"k": "result", "ts": time.time(), "value": {"records_processed": 1}}
        os.write(theirs, encode_line(hello) + encode_line(result))
        os._exit(0)
    for end in (theirs, out_write, err_write):
        os.close(end)
    for end in (ours, out_read, err_read):
        os.set_blocking(end, False)
    return Child(pid=pid, channel=ours, stdout=out_read, stderr=err_read)
