"""A rehearsal leaves nothing that user code could see."""

import json
import subprocess
import sys

PROGRAM = """
import asyncio, json, linecache, logging, os, signal, sys, threading, warnings
from tau.pipeline.rehearsal import rehearse

def seen():
    return {
        "modules": sorted(sys.modules),
        "lines": sorted(linecache.cache),
        "warnings": [str(each) for each in warnings.filters],
        "threads": threading.active_count(),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "streams": [sys.stdout is sys.__stdout__, sys.stderr is sys.__stderr__],
        "handlers": len(logging.getLogger().handlers),
        "signals": [str(signal.getsignal(n)) for n in (signal.SIGINT, signal.SIGTERM)],
        "loop": asyncio.get_event_loop_policy()._local._set_called,
    }

rehearse()  # imports what it needs
before = seen()
for _ in range(3):
    rehearse()
print(json.dumps([before, seen()]))
"""


def test_leaves_nothing() -> None:
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    before, after = json.loads(done.stdout)
    assert after == before
    assert after["loop"] is False
    assert not [name for name in after["modules"] if name.startswith("tau_rehearsal")]
    assert done.stderr == ""
