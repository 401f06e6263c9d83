"""A run for nothing, so that a process in which a real one follows is warm.

The interpreter has then adapted its code and filled its caches, imports have been made, and, in a
fork, the memory that a run writes to is the fork's own already. Of a rehearsal nothing is left
that user code could see.
"""

import asyncio
import linecache
import socket
import sys
import warnings
from pathlib import Path

from tau.pipeline.attempt import Attempt
from tau.pipeline.capture import Lines
from tau.pipeline.channel import SocketChannel
from tau.pipeline.context import RunFacts
from tau.pipeline.loader import load_file
from tau.pipeline.protocol import PROTOCOL_VERSION
from tau.pipeline.recorder import Recorder
from tau.pipeline.types import EventKind, Level

SOURCE = Path(__file__).with_name("rehearsal_source.py")
FILE_NAME = "tau_rehearsal.py"


def rehearse() -> None:
    """Load a file, run its pipeline and tell of it, to nobody. Starts no thread."""
    ours, theirs = socket.socketpair()
    with ours, theirs, warnings.catch_warnings():
        channel = SocketChannel(theirs.fileno())
        recorder = Recorder(channel)
        recorder.emit(EventKind.HELLO, v=PROTOCOL_VERSION, pid=0, python="")
        try:
            loaded = load_file(SOURCE, FILE_NAME)
            (pipeline,) = loaded.pipelines
            attempt = Attempt(
                pipeline.function,
                pipeline.spec,
                facts=RunFacts(run_id="", pipeline=pipeline.spec.name),
                channel=channel,
                file_name=FILE_NAME,
            )
            # A loop of our own making is never set as the thread's, as asyncio.run would do.
            with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
                ending = runner.run(attempt.run({}))
            message, error = attempt.conclude(ending)
            if error is not None:
                raise error
            Lines(recorder, source="print", level=Level.INFO).write("rehearsed\n")
            channel.finish(message)
        finally:
            linecache.cache.pop(FILE_NAME, None)
            sys.modules.pop(Path(FILE_NAME).stem, None)
