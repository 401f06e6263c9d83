"""The trace is a fold: complete, partial, doubled and shuffled events give what happened."""

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tau.pipeline.trace import Trace


def start(seq: int, step: int, name: str, parent: int | None = None) -> dict[str, Any]:
    event = {"k": "step_start", "seq": seq, "ts": float(seq), "step": step, "name": name}
    return event | {"kind": "step"} | ({"parent": parent} if parent else {})


def end(seq: int, step: int, **facts: Any) -> dict[str, Any]:
    return {"k": "step_end", "seq": seq, "ts": float(seq), "step": step, "ms": 1.5} | facts


EVENTS = [
    {"k": "hello", "seq": 1, "ts": 1.0, "v": 1},
    start(2, 1, "all"),
    start(3, 2, "x", 1),
    start(4, 3, "y", 1),
    {"k": "log", "seq": 5, "ts": 5.0, "level": "warning", "message": "m"},
    start(6, 4, "x.inner", 2),
    {"k": "check", "seq": 7, "ts": 7.0, "name": "c", "passed": False, "severity": "warn",
     "step": 4, "evidence": {"n": 1}, "line": 9},
    end(8, 4, status="failed", error={"type": "E", "message": "m"}),
    end(9, 3, status="success", rows_in=1, rows_out=2, metrics={"speed": 3}),
    {"k": "log", "seq": 10, "ts": 10.0, "level": "error", "message": "m"},
    {"k": "truncated", "seq": 11, "ts": 11.0, "dropped": 7, "bytes": 700},
    {"k": "failure", "seq": 12, "ts": 12.0, "failure": {"type": "E"}},
]  # fmt: skip


def test_the_whole_document() -> None:
    document = Trace(EVENTS).document(status="failed")
    assert [(s["name"], s["depth"], s.get("parent"), s["status"]) for s in document["steps"]] == [
        ("all", 0, None, "interrupted"),
        ("x", 1, 1, "interrupted"),
        ("x.inner", 2, 2, "failed"),
        ("y", 1, 1, "success"),
    ]
    assert document["steps"][3] == {
        "id": 3,
        "name": "y",
        "kind": "step",
        "depth": 1,
        "parent": 1,
        "started_at": 4.0,
        "status": "success",
        "ms": 1.5,
        "rows_in": 1,
        "rows_out": 2,
        "metrics": {"speed": 3},
    }
    assert document["checks"] == [
        {
            "name": "c",
            "passed": False,
            "severity": "warn",
            "step": "x.inner",
            "evidence": {"n": 1},
            "line": 9,
        }
    ]
    assert document["logs"] == {"lines": 2, "warnings": 1, "errors": 1, "dropped": 7}
    assert document["failure"] == {"type": "E"}
    assert document["result"] is None


@given(st.randoms(use_true_random=False), st.integers(0, 12))
def test_order_and_repetition_change_nothing(shuffler: random.Random, repeated: int) -> None:
    shuffled = EVENTS + EVENTS[:repeated]
    shuffler.shuffle(shuffled)
    assert Trace(shuffled).document(status="failed") == Trace(EVENTS).document(status="failed")


def test_a_run_that_goes_on() -> None:
    steps = Trace(EVENTS[:6]).document()["steps"]
    assert {step["status"] for step in steps} == {"running"}
    assert {s["status"] for s in Trace(EVENTS[:6]).document(status="running")["steps"]} == {
        "running"
    }


def test_a_result_with_its_reason() -> None:
    event = {"k": "result", "seq": 1, "ts": 1.0, "value": 5, "reason": "sys.exit(0)"}
    document = Trace([event]).document()
    assert (document["result"], document["reason"]) == (5, "sys.exit(0)")
    assert document["steps"] == []
    assert document["checks"] == []


@pytest.mark.parametrize("missing", range(len(EVENTS)))
def test_any_event_may_be_missing(missing: int) -> None:
    events = [event for index, event in enumerate(EVENTS) if index != missing]
    document = Trace(events).document(status="crashed")
    assert len(document["steps"]) >= 3
    assert sum(step["depth"] == 0 for step in document["steps"]) >= 1


def test_a_step_of_which_only_the_end_is_known() -> None:
    (step,) = Trace([end(5, 9, status="success")]).document()["steps"]
    assert (step["name"], step["status"], step["depth"]) == ("step 9", "success", 0)


def test_deep_nesting_and_broken_parents_end() -> None:
    deep = [start(n, n, f"s{n}", n - 1 if n > 1 else None) for n in range(1, 3000)]
    assert Trace(deep).document()["steps"][-1]["depth"] == 2998
    loop = [start(1, 1, "a", 2), start(2, 2, "b", 1)]
    assert [step["depth"] for step in Trace(loop).document()["steps"]] == [0, 1]
