"""What the figures depend on: the machine, how busy it is, how fast its disk keeps a promise."""

import os
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.figures import Samples

BUSY_LOAD = 0.5
SYNCS = 50


def describe() -> dict[str, Any]:
    """The facts that belong beside any figure."""
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "fsync_ms": round(sync_time().median, 2),
    }


def is_quiet() -> bool:
    """Whether nothing else worth speaking of has been running in the last minute."""
    return os.getloadavg()[0] <= BUSY_LOAD


def sync_time() -> Samples:
    """Milliseconds to append 4 KiB to a file and have it on disk, where the homes lie."""
    times = []
    with tempfile.TemporaryDirectory(prefix="tau-bench-") as folder:
        file = os.open(Path(folder) / "file", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            for _ in range(SYNCS):
                begin = time.perf_counter()
                os.write(file, b"x" * 4096)
                os.fdatasync(file)
                times.append((time.perf_counter() - begin) * 1e3)
        finally:
            os.close(file)
    return Samples(times)
