"""The daemon's log: one JSON object a line, whoever logs and whatever is said; no secrets."""

import asyncio
import io
import json
import logging
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tau.core.logging import Form, about, configure

SECRET = "hunter2-hunter2"
logger = logging.getLogger("tau.somewhere")


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield io.StringIO()
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(False)


def start(log: io.StringIO, form: Form = "json", level: str = "info") -> None:
    configure(level=level, form=form, secrets=[SECRET, None], stream=log)


def lines(log: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.getvalue().splitlines()]


def test_a_line_says_when_how_bad_who_and_what(log: io.StringIO) -> None:
    start(log)
    logger.warning("the queue of %s\nis long", "orders", extra={"run_id": "01ab", "at": START})
    [line] = lines(log)
    assert list(line)[:4] == ["ts", "level", "logger", "event"]
    assert datetime.fromisoformat(line["ts"]).tzinfo is not None
    assert line["event"] == "the queue of orders\nis long"
    assert (line["level"], line["logger"]) == ("warning", "tau.somewhere")
    assert (line["run_id"], line["at"]) == ("01ab", str(START))


START = datetime(2026, 11, 2, tzinfo=UTC)


def test_others_log_the_same_way(log: io.StringIO) -> None:
    start(log)
    logging.getLogger("uvicorn.error").info("Started", extra={"color_message": "\x1b[1mStarted"})
    logging.getLogger("asyncio").error("Task was destroyed")
    logging.getLogger("apscheduler.executors").info("Running job")
    assert [(line["logger"], line["event"]) for line in lines(log)] == [
        ("uvicorn.error", "Started"),
        ("asyncio", "Task was destroyed"),
    ]
    assert "color_message" not in lines(log)[0]


def test_the_level_is_the_lowest_that_is_written(log: io.StringIO) -> None:
    start(log, level="error")
    logger.warning("no")
    logger.error("yes")
    assert [line["event"] for line in lines(log)] == ["yes"]


def test_an_exception_stays_on_its_line(log: io.StringIO) -> None:
    start(log)
    try:
        raise ValueError("no\nrows")
    except ValueError:
        logger.exception("it failed")
    [line] = lines(log)
    assert line["exception"].startswith("Traceback")
    assert line["exception"].endswith("ValueError: no\nrows")


async def test_what_a_task_logs_is_about_its_run_and_no_other(log: io.StringIO) -> None:
    start(log)

    async def follow(run: str) -> None:
        about(run=run)
        await asyncio.sleep(0)
        logger.info("following")

    await asyncio.gather(*(asyncio.create_task(follow(f"orders#{n}")) for n in (1, 2)))
    logger.info("of nobody")
    assert [line.get("run") for line in lines(log)] == ["orders#1", "orders#2", None]


KEY = "tau_abcdefgh_" + "x" * 43


@pytest.mark.parametrize("form", ["json", "text"])
def test_no_secret_is_written(log: io.StringIO, form: Form) -> None:
    start(log, form)
    logger.info("known %s, and in a url postgresql://tau:pa55word@db/tau", SECRET)
    logger.info("of a header: Bearer %s", KEY, extra={"api_key": "canary-1", "url": f"x:{SECRET}"})
    try:
        raise OSError(f"can't reach https://ann:pa55word@db with {SECRET}")
    except OSError:
        logger.exception("it failed")
    text = log.getvalue()
    assert text.count("[redacted]") >= 6
    for canary in (SECRET, "pa55word", "x" * 20, "canary-1"):
        assert canary not in text


def test_text_is_for_people(log: io.StringIO) -> None:
    start(log, "text")
    logger.warning("the disk is full")
    [line] = log.getvalue().splitlines()
    assert "[warning" in line
    assert "the disk is full" in line
    assert "\x1b" not in line


def test_rich_is_not_imported_for_it() -> None:
    code = (
        "import tau.core.logging, sys; print([m for m in sys.modules if m[:4] in ('rich', 'pygm')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    code = "import tau.core.logging, rich.console; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "fine"
