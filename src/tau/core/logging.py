"""The daemon's log on stderr, made by structlog: one JSON object a line, or text for people.

Everyone logs through the standard library, uvicorn and APScheduler too; here each record gets its
shape: ts, level, logger, event, then what it is about (run, attempt, request_id, …). Ids are told
by `about`, for all that its task logs, or by `extra=` for one line.
"""

import logging
import sys
from collections.abc import Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

from tau.pipeline.redaction import Redactor

Form = Literal["json", "text"]
Event = MutableMapping[str, Any]
TALKATIVE = ("aiosqlite", "alembic.runtime.plugins", "apscheduler", "httpcore", "httpx")
"""Who says too much at debug or info: statements with their values, headers, whole URLs."""
_FIRST = ("ts", "level", "logger", "event")


@contextmanager
def _without_rich() -> Iterator[None]:
    """structlog imports rich wherever that is installed, for tracebacks in colour, and it in turn
    pygments: a tenth of a second of the daemon's start and 6 MB, for nothing.
    """
    if "rich" in sys.modules:
        yield
        return
    sys.modules["rich"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["rich"]


with _without_rich():
    import structlog


def configure(
    *, level: str, form: Form, secrets: Iterable[str | None] = (), stream: TextIO | None = None
) -> None:
    """Make this the only way that records leave the process; `secrets` never do."""
    redactor = Redactor()
    for secret in secrets:
        if secret:
            redactor.add(secret)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(form, redactor))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    logging.captureWarnings(True)
    for talkative in TALKATIVE:
        logging.getLogger(talkative).setLevel(logging.WARNING)


def about(**ids: object) -> None:
    """What this task logs from now on is about these."""
    structlog.contextvars.bind_contextvars(**ids)


def _plain(value: Any) -> Any:
    is_json = value is None or isinstance(value, str | int | float | list | dict)
    return value if is_json else str(value)


def _formatter(form: Form, redactor: Redactor) -> logging.Formatter:
    renderer: Any = (
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str)
        if form == "json"
        else structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback, timestamp_key="ts"
        )
    )

    def redact(_logger: object, _method: str, event: Event) -> Event:
        """The last look at a record; what frames it is left alone."""
        kept = {key: event.pop(key) for key in _FIRST if key != "event" and key in event}
        told: Event = redactor.redact_message({"told": dict(event)})["told"]
        return {**kept, **told}

    def order(_logger: object, _method: str, event: Event) -> Event:
        event.pop("color_message", None)  # uvicorn's line once more, for terminals
        told = {key: _plain(value) for key, value in event.items()}
        return {key: told[key] for key in _FIRST if key in told} | told

    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.contextvars.merge_contextvars,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            order,
            redact,
            renderer,
        ],
    )
