"""Catches what a pipeline says without its context: print, stderr, logging and warnings.

Each becomes a log event under the current step. What is written to descriptors 1 and 2 themselves
(by a subprocess, or by `sys.__stdout__`) is the supervisor's to read.
"""

import codecs
import io
import logging
import sys
import threading
import warnings
from typing import Any, cast

from tau.pipeline.protocol import MAX_LOG_CHARS
from tau.pipeline.recorder import STDERR_FD, STDOUT_FD, Recorder
from tau.pipeline.types import Level

_RECORD_ATTRIBUTES = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Lines:
    """Puts the lines of one stream together, for each thread its own.

    Without a lock: one that another thread held would be held for ever in a forked process.
    """

    def __init__(self, recorder: Recorder, *, source: str, level: Level) -> None:
        self._recorder = recorder
        self._source = source
        self._level = level
        self._partial: dict[int, str] = {}

    def write(self, text: str) -> None:
        thread = threading.get_ident()
        *lines, rest = (self._partial.pop(thread, "") + text).split("\n")
        for line in lines:
            self._emit(line)
        if len(rest) > MAX_LOG_CHARS:
            rest = _shown(rest)
            if len(rest) > MAX_LOG_CHARS:
                self._emit(rest)
                rest = ""
        if rest:
            self._partial[thread] = rest

    def finish(self) -> None:
        """Emit the lines that no newline has ended."""
        for thread in list(self._partial):
            rest = self._partial.pop(thread, "")
            if rest:
                self._emit(rest)

    def _emit(self, line: str) -> None:
        self._recorder.log(_shown(line), level=self._level, source=self._source)


def _shown(line: str) -> str:
    """What a terminal would show at the end: a progress bar returns to the line's start."""
    return line.rstrip("\r").rpartition("\r")[2]


class CaptureStream(io.TextIOBase):
    """A text stream in the place of `sys.stdout` or `sys.stderr`."""

    errors = "backslashreplace"

    def __init__(self, lines: Lines, *, fd: int, name: str) -> None:
        self._lines = lines
        self._fd = fd
        self.name = name
        self.mode = "w"
        self.line_buffering = True
        self.write_through = False
        self._buffer = CaptureBuffer(self, fd=fd)

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return "utf-8"

    @property
    def buffer(self) -> "CaptureBuffer":
        """The stream for bytes; they are taken as UTF-8."""
        return self._buffer

    def write(self, text: str, /) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        self._lines.write(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def detach(self) -> "CaptureBuffer":  # type: ignore[override]  # BinaryIO there
        """The stream for bytes, which goes on working."""
        return self._buffer

    def close(self) -> None:
        """Keep it open: what comes later, such as a traceback, is still to be caught."""

    def reconfigure(self, **options: Any) -> None:
        """Take the options of `TextIOWrapper.reconfigure`: each line is UTF-8 and flushed anyway.

        Raises TypeError for an option that it would refuse as well.
        """
        known = {"encoding", "errors", "newline", "line_buffering", "write_through"}
        unknown = set(options) - known
        if unknown:
            raise TypeError(f"reconfigure() got an unexpected argument {min(unknown)!r}")

    def finish(self) -> None:
        """Emit what is still partial."""
        self._buffer.finish()
        self._lines.finish()


class CaptureBuffer(io.BufferedIOBase):
    """The bytes side of a CaptureStream."""

    def __init__(self, text: CaptureStream, *, fd: int) -> None:
        self._text = text
        self._fd = fd
        self._decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")

    def write(self, data: Any, /) -> int:
        view = memoryview(data)
        self._text.write(self._decoder.decode(view.tobytes()))
        return view.nbytes

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def isatty(self) -> bool:
        return False

    def close(self) -> None:
        """Keep it open, like its text stream."""

    def finish(self) -> None:
        rest = self._decoder.decode(b"", final=True)
        if rest:
            self._text.write(rest)


class CaptureHandler(logging.Handler):
    """Makes log events of the records that reach the root logger."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self._recorder = recorder
        self.setFormatter(logging.Formatter())

    def emit(self, record: logging.LogRecord) -> None:
        try:
            message = self.format(record).rstrip("\n")
            self._recorder.log(
                message,
                level=_level_of(record.levelno),
                source="logging",
                logger=record.name,
                fields=_extras(record),
            )
        except Exception:  # a wrong format string is the user's: `logging` has its way to say so
            self.handleError(record)


def _level_of(number: int) -> Level:
    if number < logging.INFO:
        return Level.DEBUG
    if number < logging.WARNING:
        return Level.INFO
    return Level.WARNING if number < logging.ERROR else Level.ERROR


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _RECORD_ATTRIBUTES}


class Capture:
    """The streams and the handler of one process."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        out = Lines(recorder, source="print", level=Level.INFO)
        err = Lines(recorder, source="stderr", level=Level.WARNING)
        self._streams = [
            CaptureStream(out, fd=STDOUT_FD, name="<stdout>"),
            CaptureStream(err, fd=STDERR_FD, name="<stderr>"),
        ]

    def install(self) -> None:
        """Take the place of the standard streams; INFO and above of `logging` is caught.

        For the rest of the process's life: the process is made for one attempt.
        """
        sys.stdout, sys.stderr = self._streams
        root = logging.getLogger()
        root.addHandler(CaptureHandler(self._recorder))
        root.setLevel(logging.INFO)
        logging.captureWarnings(True)

    def finish(self) -> None:
        """Flush logging's handlers and the user's own streams, and emit partial lines."""
        for flush in (logging.shutdown, _flush_user_streams):
            try:
                flush()
            except Exception as error:  # a user's handler or stream may raise anything
                self._recorder.log(f"flush failed: {error!r}", level=Level.ERROR, source="logging")
        for stream in self._streams:
            stream.finish()


def show_deprecations(module_name: str) -> None:
    """Show deprecations that the pipeline's file itself is to blame for, as for a script."""
    # Written as the interpreter writes its own for `__main__`: `filterwarnings` would compile a
    # pattern in each run, a twentieth of what a short one takes.
    filters = cast("list[tuple[Any, ...]]", warnings.filters)
    filters.insert(0, ("default", None, DeprecationWarning, module_name, 0))


def _flush_user_streams() -> None:
    """Flush what the pipeline may have put in the place of ours, such as a TextIOWrapper."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
