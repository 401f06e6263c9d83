"""The child's main: runs or inspects one pipeline file and sends how it ended.

What is true when the last message goes out: the function has returned, asyncio has cancelled the
tasks that were left and joined its pool, logging's handlers are flushed, and partial lines
are sent. Threads that the pipeline started itself are not waited for and `atexit` functions are
not called: the process ends at once, with 0 after a result and 1 after a failure.
"""

import asyncio
import faulthandler
import importlib
import json
import os
import platform
import random
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from tau.pipeline.attempt import Attempt
from tau.pipeline.capture import Capture
from tau.pipeline.channel import SocketChannel
from tau.pipeline.context import RunFacts
from tau.pipeline.failure import describe
from tau.pipeline.invoke import Ending
from tau.pipeline.loader import LoadedPipeline, LoadFailed, check_source, load_file
from tau.pipeline.protocol import OUTCOME_FILE, PROTOCOL_VERSION, JobRequest, JsonObject
from tau.pipeline.recorder import STDERR_FD, Recorder
from tau.pipeline.types import EventKind

EXIT_RESULT, EXIT_FAILURE, EXIT_UNTOLD = 0, 1, 70


PRELOADED = (
    "concurrent.futures.thread",
    "csv",
    "decimal",
    "encodings.utf_8_sig",
    "sqlite3",
    "subprocess",
    "tau.pipeline.checks",
    "tau.pipeline.transforms",
    "tempfile",
    "urllib.request",
    "uuid",
    "zoneinfo",
)
"""What a run imports beyond this module (found by running one in a fork), and the standard modules
that pipelines import most: 13 ms in a fresh interpreter, nothing in a fork. None starts a thread.
"""


@dataclass(frozen=True)
class Stage:
    """What an attempt is executed on: this process, made ready before it is known which."""

    channel: SocketChannel
    recorder: Recorder
    capture: Capture


def main(request: JobRequest, channel_fd: int, attempt_dir: Path) -> NoReturn:
    """Execute the request and end the process.

    Expects the supervisor's set-up: session, signals, limits, environment, working directory, and
    descriptors 1 and 2 led to its log pipes.
    """
    _exit_with(lambda: _main(prepare(channel_fd), request, attempt_dir))


def execute(stage: Stage, request: JobRequest, attempt_dir: Path) -> NoReturn:
    """The same in a process that was prepared."""
    _exit_with(lambda: _main(stage, request, attempt_dir))


def prepare(channel_fd: int) -> Stage:
    """Take the process over, for one attempt: its streams, logging, faults and randomness.

    What differs between a fresh interpreter and a fork of the zygote is made equal.
    """
    channel = SocketChannel(channel_fd)
    recorder = Recorder(channel)
    capture = Capture(recorder)
    random.seed()
    with suppress(OSError, ValueError):  # descriptor 2 may be closed: then there is no dump
        faulthandler.enable(STDERR_FD)
    capture.install()
    return Stage(channel, recorder, capture)


def preload() -> None:
    """Import what a child needs, so that a fork of this process starts at once."""
    for name in PRELOADED:
        importlib.import_module(name)


def _exit_with(work: Callable[[], int]) -> NoReturn:
    code = EXIT_UNTOLD
    try:
        code = work()
    except BaseException:
        with suppress(OSError):
            os.write(STDERR_FD, traceback.format_exc().encode("utf-8", "backslashreplace"))
    finally:
        os._exit(code)


def _main(stage: Stage, request: JobRequest, attempt_dir: Path) -> int:
    channel, recorder = stage.channel, stage.recorder
    sys.argv = [request.file_name]
    recorder.emit(
        EventKind.HELLO, v=PROTOCOL_VERSION, pid=os.getpid(), python=platform.python_version()
    )
    last = _execute(request, channel, recorder)
    if channel.is_foreign:
        return EXIT_RESULT  # a fork by the pipeline came back here: it has nothing to say
    stage.capture.finish()
    # More than once: whatever still holds a descriptor that the pipeline closed, such as a loop
    # that is collected only now, closes its number again, which may be this file's meanwhile.
    if not channel.finish(last) and not any(_write_outcome(attempt_dir, last) for _ in range(3)):
        return EXIT_UNTOLD
    return EXIT_RESULT if last["k"] == EventKind.RESULT else EXIT_FAILURE


def _execute(request: JobRequest, channel: SocketChannel, recorder: Recorder) -> JsonObject:
    try:
        if request.kind == "outline":
            return recorder.event(EventKind.RESULT, value={"pipelines": _outline(request)})
        loaded = load_file(Path(request.source_path), request.file_name, origin=request.origin)
        if request.kind == "inspect":
            needs = {"secrets": _secret_names(Path(request.source_path))}
            specs = [pipeline.spec.to_dict() | needs for pipeline in loaded.pipelines]
            return recorder.event(EventKind.RESULT, value={"pipelines": specs})
        return _run(loaded.get(request.pipeline or ""), request, channel)
    except LoadFailed as failed:
        return recorder.event(EventKind.FAILURE, failure=failed.failure)
    except BaseException as error:
        failure = describe(error, request.file_name)
        return recorder.event(EventKind.FAILURE, failure=failure)


def _outline(request: JobRequest) -> list[JsonObject]:
    from tau.pipeline.outline import outline

    check_source(Path(request.source_path), request.file_name)
    return outline(Path(request.source_path))


def _secret_names(path: Path) -> list[str]:
    from tau.pipeline.needs import secret_names

    return secret_names(path)


def _run(pipeline: LoadedPipeline, request: JobRequest, channel: SocketChannel) -> JsonObject:
    attempt = Attempt(
        pipeline.function,
        pipeline.spec,
        facts=_facts(request),
        channel=channel,
        file_name=request.file_name,
    )
    try:
        ending = asyncio.run(attempt.run(request.params))
    except BaseException as error:  # SystemExit in a task of the pipeline's ends the whole loop
        ending = Ending(error=error)
    message, _ = attempt.conclude(ending)
    return message


def _facts(request: JobRequest) -> RunFacts:
    facts = request.facts
    return RunFacts(
        run_id=request.run_id,
        pipeline=request.pipeline or "",
        attempt=request.attempt,
        run_number=facts.get("run_number"),
        trigger=facts.get("trigger"),
        last_successful_run=_time(facts.get("last_successful_run")),
        interval_start=_time(facts.get("interval_start")),
        interval_end=_time(facts.get("interval_end")),
    )


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    time = datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _write_outcome(attempt_dir: Path, message: JsonObject) -> bool:
    """Leave the last message as a file, atomically: the pipeline closed the way to send it."""
    partial = attempt_dir / f"{OUTCOME_FILE}.{os.getpid()}"
    try:
        with partial.open("w", encoding="ascii") as file:
            json.dump(message, file)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(attempt_dir / OUTCOME_FILE)
    except OSError:
        return False
    return True


def _command(arguments: list[str]) -> NoReturn:
    """`python -m tau.pipeline.runtime ATTEMPT_DIR FD`: the same in a fresh interpreter."""
    attempt_dir = Path(arguments[0])
    main(JobRequest.read(attempt_dir), int(arguments[1]), attempt_dir)


if __name__ == "__main__":
    _command(sys.argv[1:])
