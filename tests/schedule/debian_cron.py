"""Asks Debian's own cron what it does where the clock changes, and prints its answers as JSON.

`apt-get download cron libfaketime`, `dpkg -x` both into a folder, then as root
`uv run python tests/schedule/debian_cron.py FOLDER > tests/schedule/debian_cron.json`. Each cron
lives through some hours at 120 times their speed, in a mount namespace of its own.
"""

import json
import shlex
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SPEED = 120
STEP_S = 300.0
"""All that is asked for is due at multiples of it; what a job is late by is rounded away."""
OF_AN_HOUR = {"hourly": "0 * * * *", "half-hourly": "*/30 * * * *"}
CHANGES = [
    ("Europe/Berlin", "spring", "2026-03-28T23:15", "2026-03-29T03:45", "30 2 * * *"),
    ("Europe/Berlin", "autumn", "2026-10-24T22:15", "2026-10-25T03:45", "30 2 * * *"),
    ("America/New_York", "spring", "2026-03-08T05:15", "2026-03-08T09:45", "30 2 * * *"),
    ("America/New_York", "autumn", "2026-11-01T03:15", "2026-11-01T08:45", "30 1 * * *"),
    ("Australia/Lord_Howe", "spring", "2026-10-03T13:10", "2026-10-03T18:10", "15 2 * * *"),
    ("Australia/Lord_Howe", "autumn", "2026-04-04T12:40", "2026-04-04T17:40", "45 1 * * *"),
]
"""Zone, season, from and until (UTC), and a time of each day that the change skips or repeats."""

LIVE = """
set -e
mount -t tmpfs tmpfs /var/spool
mount -t tmpfs tmpfs /run
mkdir -p /var/spool/cron/crontabs
cp {folder}/crontab /var/spool/cron/crontabs/root
chmod 600 /var/spool/cron/crontabs/root
date +%s.%N > {folder}/began
exec env TZ={zone} FAKETIME={fake} LD_PRELOAD={preload} timeout {seconds} {cron} -f
"""


def ask(debian: Path, zone: str, begin: datetime, end: datetime, crons: list[str]) -> list[Any]:
    """The due times (UTC) of each expression between the two."""
    from zoneinfo import ZoneInfo

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "crontab").write_text(
            "".join(
                f"{cron} date +\\%s.\\%N >> {folder}/{number}\n"
                for number, cron in enumerate(crons)
            )
        )
        local = begin.astimezone(ZoneInfo(zone))
        library = next(debian.glob("usr/lib/*/faketime/libfaketime.so.1"))
        script = LIVE.format(
            folder=folder,
            zone=zone,
            fake=shlex.quote(f"@{local:%Y-%m-%d %H:%M:%S} x{SPEED}"),
            preload=library,
            seconds=(end - begin).total_seconds() / SPEED,
            cron=debian / "usr/sbin/cron",
        )
        subprocess.run(["unshare", "-m", "sh", "-c", script], check=False)
        began = float((folder / "began").read_text())
        return [_moments(folder / str(number), begin, began) for number in range(len(crons))]


def _moments(file: Path, begin: datetime, began: float) -> list[str]:
    lines = file.read_text().split() if file.exists() else []
    seconds = [(float(line) - began) * SPEED + begin.timestamp() for line in lines]
    return [f"{datetime.fromtimestamp(_rounded(s), UTC):%Y-%m-%dT%H:%M}" for s in sorted(seconds)]


def _rounded(seconds: float) -> float:
    down = seconds // STEP_S * STEP_S
    assert seconds - down < STEP_S / 2, "too late: is the machine busy?"
    return down


def main(debian: Path) -> None:
    def cells(change: tuple[str, str, str, str, str]) -> list[dict[str, Any]]:
        zone, season, first, last, daily = change
        begin, end = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (first, last))
        kinds = {"daily": daily, **OF_AN_HOUR}
        found = ask(debian, zone, begin, end, list(kinds.values()))
        return [
            {"zone": zone, "season": season, "kind": kind, "cron": cron, "after": first,
             "until": last, "due": due}
            for (kind, cron), due in zip(kinds.items(), found, strict=True)
        ]  # fmt: skip

    with ThreadPoolExecutor(len(CHANGES)) as pool:
        rows = [row for found in pool.map(cells, CHANGES) for row in found]
    sys.stdout.write("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
