"""Cron and intervals against Debian cron's rules, also where the clock changes."""

import json
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau.schedule.policy import MAX_CAUGHT_UP, Catchup, decide
from tau.schedule.ticks import TickSpec, TickSpecError, parse_spec

HOUR = timedelta(hours=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def cron(text: str, zone: str = "UTC") -> TickSpec:
    return parse_spec(cron=text, every=None, timezone=zone)


# What Debian's cron does: a job at a fixed time runs once on each day, in the skipped hour right
# after it, in the repeated hour the first time; one with * in hour or minute follows the clock.
DST = [
    ("Europe/Berlin", "2026-03-28T12:00", "30 2 * * *", ["03-29T01:00", "03-30T00:30"]),
    ("Europe/Berlin", "2026-10-24T12:00", "30 2 * * *", ["10-25T00:30", "10-26T01:30"]),
    ("Europe/Berlin", "2026-03-29T00:30", "0 * * * *", ["03-29T01:00", "03-29T02:00"]),
    (
        "Europe/Berlin", "2026-10-24T23:30", "0 * * * *",
        ["10-25T00:00", "10-25T01:00", "10-25T02:00"],
    ),
    (
        "Europe/Berlin", "2026-10-25T00:10", "*/30 * * * *",
        ["10-25T00:30", "10-25T01:00", "10-25T01:30", "10-25T02:00"],
    ),
    (
        "Europe/Berlin", "2026-03-29T00:40", "*/30 * * * *",
        ["03-29T01:00", "03-29T01:30"],
    ),
    ("America/New_York", "2026-03-07T12:00", "30 2 * * *", ["03-08T07:00", "03-09T06:30"]),
    ("America/New_York", "2026-10-31T12:00", "30 1 * * *", ["11-01T05:30", "11-02T06:30"]),
    (
        "America/New_York", "2026-11-01T04:30", "0 * * * *",
        ["11-01T05:00", "11-01T06:00", "11-01T07:00"],
    ),
    (
        "America/New_York", "2026-11-01T05:10", "*/30 * * * *",
        ["11-01T05:30", "11-01T06:00", "11-01T06:30", "11-01T07:00"],
    ),
    ("Australia/Lord_Howe", "2026-10-03T02:00", "15 2 * * *", ["10-03T15:30", "10-04T15:15"]),
    ("Australia/Lord_Howe", "2026-04-04T02:00", "45 1 * * *", ["04-04T14:45", "04-05T15:15"]),
]  # fmt: skip


@pytest.mark.parametrize(("zone", "after", "text", "expected"), DST)
def test_the_clock_changes(zone: str, after: str, text: str, expected: list[str]) -> None:
    ticks = cron(text, zone).next(at(after), count=len(expected))
    assert ticks == [at(f"2026-{tick}") for tick in expected]


ANSWERS = json.loads((Path(__file__).parent / "debian_cron.json").read_text())
"""What Debian's cron itself has done around these changes; see debian_cron.py."""


@pytest.mark.parametrize("cell", ANSWERS, ids=lambda c: f"{c['zone']}-{c['season']}-{c['kind']}")
def test_the_clock_changes_as_for_debians_own_cron(cell: dict[str, Any]) -> None:
    until = at(cell["until"])
    ticks = takewhile(
        lambda t: t <= until, cron(cell["cron"], cell["zone"]).ticks(at(cell["after"]))
    )
    assert [f"{tick:%Y-%m-%dT%H:%M}" for tick in ticks] == cell["due"]


def test_every_cell_of_the_table_is_there() -> None:
    zones = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe")
    wanted = {
        (zone, season, kind)
        for zone in zones
        for season in ("spring", "autumn")
        for kind in ("daily", "hourly", "half-hourly")
    }
    assert {(c["zone"], c["season"], c["kind"]) for c in ANSWERS} == wanted
    assert all(cell["due"] for cell in ANSWERS)


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("0 9 * * 1", "Mon"), ("0 9 * * 0", "Sun"), ("0 9 * * 7", "Sun"), ("0 9 * * mon", "Mon"),
        ("0 9 * * 1-5", "Mon Tue Wed Thu Fri"), ("@weekly", "Sun"),
    ],
)  # fmt: skip
def test_days_of_the_week(text: str, days: str) -> None:
    ticks = cron(text).next(at("2026-11-01T23:00"), count=len(days.split()))
    assert [tick.strftime("%a") for tick in ticks] == days.split()


def test_day_of_month_or_day_of_week() -> None:
    ticks = cron("0 9 13 * 5").next(at("2026-11-01T00:00"), count=3)
    assert [tick.day for tick in ticks] == [6, 13, 20]


@pytest.mark.parametrize(
    "text",
    ["", "* * * *", "* * * * * *", "61 * * * *", "0 24 * * *", "0 0 32 * *", "0 0 30 2 *",
     "@reboot", "@nightly", "a b c d e", "*/0 * * * *", "5-1 * * * *", "0 9 * * 8"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(TickSpecError):
        cron(text)


@pytest.mark.parametrize("every", [0, 0.5, -1, 1e9])
def test_refused_intervals(every: float) -> None:
    with pytest.raises(TickSpecError):
        parse_spec(cron=None, every=every, timezone="UTC")


def test_refused_zones_and_doubles() -> None:
    for zone in ("Mars/X", "", "../etc/passwd", "Europe/berlin/x"):
        with pytest.raises(TickSpecError):
            cron("@daily", zone)
    with pytest.raises(TickSpecError):
        parse_spec(cron="@daily", every=60, timezone="UTC")


def test_intervals_do_not_depend_on_when_they_are_asked_for() -> None:
    spec = parse_spec(cron=None, every=7, timezone="UTC")
    start = at("2026-11-01T00:00")
    all_ticks = spec.next(start, count=50)
    assert spec.next(all_ticks[20], count=29) == all_ticks[21:]
    assert spec.next(all_ticks[20] + timedelta(seconds=3), count=1) == [all_ticks[21]]


SPECS = st.sampled_from(
    [
        cron("*/5 * * * *"), cron("0 * * * *", "Europe/Berlin"),
        cron("30 2 * * *", "America/New_York"), cron("0 9 * * 1"),
        parse_spec(cron=None, every=60, timezone="UTC"),
    ]
)  # fmt: skip
MOMENTS = st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1)).map(
    lambda moment: moment.replace(tzinfo=UTC)
)


@given(SPECS, MOMENTS, st.lists(st.integers(0, 3 * 86_400), max_size=8), st.sampled_from(Catchup))
def test_however_the_clock_jumps_every_tick_is_decided_on_once(
    spec: TickSpec, start: datetime, jumps: list[int], catchup: Catchup
) -> None:
    """Late, doubled or backward calls: watermarks rise, no tick comes twice, the newest counts."""
    watermark, seen = start, []
    for jump in jumps:
        now = start + timedelta(seconds=jump)
        for _ in range(2):
            decision = decide(
                spec, after=watermark, now=now, catchup=catchup, deadline=timedelta(days=365)
            )
            seen += [tick.at for tick in decision.ticks]
            assert decision.watermark >= watermark
            assert decision.next_fire_at > max(watermark, decision.watermark)
            watermark = decision.watermark
    assert seen == sorted(set(seen))
    if jumps and catchup is not Catchup.NONE:
        latest = start + timedelta(seconds=max(jumps))
        due = [tick for tick in _ticks(spec, start, latest)]
        assert seen[-1:] == due[-1:]
        if catchup is Catchup.ALL and len(due) <= MAX_CAUGHT_UP and len(jumps) == 1:
            assert seen == due


def _ticks(spec: TickSpec, start: datetime, end: datetime) -> list[datetime]:
    found = []
    for tick in spec.ticks(start):
        if tick > end:
            break
        found.append(tick)
    return found


def test_a_long_absence_is_looked_back_on_quickly() -> None:
    every_second = parse_spec(cron=None, every=1, timezone="UTC")
    now = at("2026-11-01T00:00")
    decision = decide(
        every_second, after=now - timedelta(days=3000), now=now, catchup=Catchup.ALL,
        deadline=timedelta(days=9999),
    )  # fmt: skip
    assert len(decision.ticks) == MAX_CAUGHT_UP
    assert (decision.watermark, decision.next_fire_at) == (now, now + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("catchup", "late", "skipped"),
    [
        (Catchup.LATEST, timedelta(minutes=59), None),
        (Catchup.LATEST, timedelta(minutes=61), "deadline"),
        (Catchup.NONE, timedelta(seconds=30), None),
        (Catchup.NONE, timedelta(minutes=5), "catchup is none"),
    ],
)
def test_what_is_missed(catchup: Catchup, late: timedelta, skipped: str | None) -> None:
    due = at("2026-11-02T00:00")
    decision = decide(
        cron("@daily"), after=due - 3 * timedelta(days=1), now=due + late, catchup=catchup,
        deadline=HOUR,
    )  # fmt: skip
    [tick] = decision.ticks
    assert tick.at == due
    assert (tick.skipped is None) == (skipped is None)
    assert skipped is None or skipped in str(tick.skipped)
