"""The spool numbers, bounds and never tears."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tau.pipeline.protocol import SPOOL_FILE, Limits
from tau.workers.attempt_files import mark_started
from tau.workers.following import SpoolReader
from tau.workers.spool import Spool


def event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"k": kind, "ts": 1.0} | fields).encode()


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_numbers_events_in_their_order(tmp_path: Path) -> None:
    spool = Spool(mark_started(tmp_path), Limits())
    spool.add("log", event("log", message="a"))
    spool.add("hello", event("hello"))

    assert spool.flush() is True
    assert spool.flush() is False
    assert [(e["k"], e["seq"]) for e in read(tmp_path / SPOOL_FILE)] == [("log", 1), ("hello", 2)]


def test_is_made_once(tmp_path: Path) -> None:
    mark_started(tmp_path)

    with pytest.raises(FileExistsError):
        mark_started(tmp_path)


def test_log_lines_beyond_the_cap_keep_the_tail(tmp_path: Path) -> None:
    spool = Spool(mark_started(tmp_path), Limits(log_bytes=1000, log_tail_bytes=500))
    for number in range(100):
        spool.add("log", event("log", message=number))
    spool.add("check", event("check"))
    spool.finish()

    events = read(tmp_path / SPOOL_FILE)
    shown = [e["message"] for e in events if e["k"] == "log"]
    (note,) = [e for e in events if e["k"] == "truncated"]
    assert shown[0] == 0
    assert shown[-1] == 99
    assert note["dropped"] == 100 - len(shown) == spool.dropped > 50
    assert [e["seq"] for e in events] == list(range(1, spool.events + 1))
    assert (tmp_path / SPOOL_FILE).stat().st_size < 1700


def test_a_tail_that_lost_nothing_needs_no_note(tmp_path: Path) -> None:
    spool = Spool(mark_started(tmp_path), Limits(log_bytes=10, log_tail_bytes=500))
    spool.add("log", event("log", message=1))
    spool.finish()

    assert [e["k"] for e in read(tmp_path / SPOOL_FILE)] == ["log"]


def test_other_events_are_bounded_but_the_outcome_always_passes(tmp_path: Path) -> None:
    spool = Spool(mark_started(tmp_path), Limits())
    line = event("step_start")
    for _ in range(100_010):
        spool.add("step_start", line)
    spool.add("result", event("result", value=1))
    spool.finish()

    assert (spool.events, spool.dropped) == (100_001, 10)
    assert read(tmp_path / SPOOL_FILE)[-1]["k"] == "result"


def test_a_full_disk_loses_whole_events_and_no_numbers(tmp_path: Path) -> None:
    program = f"""
import json, resource, signal
from pathlib import Path
from tau.pipeline.protocol import Limits
from tau.workers.attempt_files import mark_started
from tau.workers.spool import Spool
spool = Spool(mark_started(Path({str(tmp_path)!r})), Limits())
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for n in range(100):
    spool.add("log", json.dumps({{"k": "log", "message": n}}).encode())
    spool.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
spool.add("log", b'{{"k":"log","message":"room again"}}')
spool.finish()
print(spool.events, spool.dropped)
"""
    output = subprocess.check_output([sys.executable, "-c", program], text=True)

    events = read(tmp_path / SPOOL_FILE)
    assert output.split() == [str(len(events)), str(101 - len(events))]
    assert [e["seq"] for e in events] == list(range(1, len(events) + 1))
    assert events[-1]["message"] == "room again"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_the_reader_takes_complete_lines_in_bounded_pieces(tmp_path: Path) -> None:
    path = tmp_path / SPOOL_FILE
    reader = SpoolReader(path, 0)
    assert reader.next_batch() is None
    large = b"x" * (3 << 20)
    path.write_bytes(b"".join(b"%d\n" % n for n in range(700)) + large + b"\nrest")

    taken: list[list[bytes]] = []
    while batch := reader.next_batch():
        taken.append(batch[0])
        reader.offset = batch[1]
    reader.close()

    assert [len(lines) for lines in taken] == [500, 200, 1]
    assert taken[2] == [large]
    assert reader.offset == os.path.getsize(path) - len(b"rest")
