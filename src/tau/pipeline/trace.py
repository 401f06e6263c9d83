"""The trace: a pure fold of an attempt's events into what happened, whatever order they come in."""

from collections.abc import Iterable, Iterator
from typing import Any

from tau.pipeline.protocol import JsonObject
from tau.pipeline.types import EventKind, Level, RunStatus

_STEP_FACTS = ("status", "ms", "rows_in", "rows_out", "metrics", "error")
_CHECK_FACTS = ("name", "passed", "severity", "evidence", "line")


class Trace:
    """Folds events with `seq`; one that comes twice counts once.

    `document()` gives {"steps","checks","logs","result","failure"}:
      steps   [{"id","name","kind","status","depth","parent"?,"started_at","ms"?,"rows_in"?,
              "rows_out"?,"metrics"?,"error"?}], each followed by those inside it, in start order
      checks  [{"name","passed","severity","step"?,"evidence"?,"line"?}]
      logs    {"lines","warnings","errors","dropped"?}
      result  what the run returned; `reason` stands beside it where it says why
      failure the failure document
      secrets the names of those that were handed out, in the order of the first time; or absent
    """

    def __init__(self, events: Iterable[JsonObject] = ()) -> None:
        self._seen: set[int] = set()
        self._starts: dict[int, JsonObject] = {}
        self._ends: dict[int, JsonObject] = {}
        self._checks: list[JsonObject] = []
        self._levels: dict[str, int] = {}
        self._lines = 0
        self._dropped = 0
        self._secrets: dict[str, None] = {}
        self._last: JsonObject = {}
        self.extend(events)

    def extend(self, events: Iterable[JsonObject]) -> None:
        """Take more events."""
        for event in events:
            self.add(event)

    def add(self, event: JsonObject) -> None:
        """Take one event; a kind that the trace does not show is passed over."""
        seq = event.get("seq")
        if isinstance(seq, int):
            if seq in self._seen:
                return
            self._seen.add(seq)
        kind = event.get("k")
        if kind == EventKind.LOG:
            level = str(event.get("level"))
            self._lines += 1
            self._levels[level] = self._levels.get(level, 0) + 1
        elif kind == EventKind.STEP_START:
            self._starts[event["step"]] = event
        elif kind == EventKind.STEP_END:
            self._ends[event["step"]] = event
        elif kind == EventKind.CHECK:
            self._checks.append(event)
        elif kind == EventKind.TRUNCATED:
            self._dropped += int(event.get("dropped") or 0)
        elif kind == EventKind.SECRET:
            self._secrets[str(event.get("name"))] = None
        elif kind in (EventKind.RESULT, EventKind.FAILURE):
            self._last = event

    def document(self, *, status: str | None = None) -> JsonObject:
        """The trace so far. With the run's final status, open steps are `interrupted`."""
        is_final = status is not None and RunStatus(status).is_final
        document: JsonObject = {
            "steps": [self._step(number, depth, is_final) for number, depth in self._walk()],
            "checks": [self._check(event) for event in sorted(self._checks, key=_order)],
            "logs": self._logs(),
            "result": self._last.get("value"),
            "failure": self._last.get("failure"),
        }
        if self._secrets:
            document["secrets"] = list(self._secrets)
        if "reason" in self._last:
            document["reason"] = self._last["reason"]
        return document

    def _walk(self) -> Iterator[tuple[int, int]]:
        """Each step's number and depth: those inside a step follow it, in start order."""
        inside: dict[int | None, list[int]] = {}
        numbers = sorted(self._starts.keys() | self._ends.keys())
        for number in sorted(numbers, key=lambda n: _order(self._starts.get(n, {"seq": n}))):
            inside.setdefault(self._parent(number), []).append(number)
        waiting = [(number, 0) for number in reversed(inside.get(None, []))]
        while waiting:
            number, depth = waiting.pop()
            yield number, depth
            waiting.extend((child, depth + 1) for child in reversed(inside.get(number, [])))

    def _parent(self, number: int) -> int | None:
        """The step around it, if its start is known and it started before: numbers only rise."""
        parent = self._starts.get(number, {}).get("parent")
        known = isinstance(parent, int) and parent in self._starts and parent < number
        return parent if known else None

    def _step(self, number: int, depth: int, is_final: bool) -> JsonObject:
        start, end = self._starts.get(number, {}), self._ends.get(number)
        step: JsonObject = {
            "id": number,
            "name": start.get("name", f"step {number}"),
            "kind": start.get("kind", "step"),
            "depth": depth,
            "parent": self._parent(number),
            "started_at": start.get("ts"),
        }
        if end is None:
            step["status"] = "interrupted" if is_final else "running"
        else:
            step |= {fact: end.get(fact) for fact in _STEP_FACTS}
        return _known(step)

    def _check(self, event: JsonObject) -> JsonObject:
        check = {fact: event.get(fact) for fact in _CHECK_FACTS}
        start = self._starts.get(event.get("step") or 0)
        return _known(check | {"step": start and start["name"]})

    def _logs(self) -> JsonObject:
        counts: JsonObject = {
            "lines": self._lines,
            "warnings": self._levels.get(Level.WARNING, 0),
            "errors": self._levels.get(Level.ERROR, 0),
        }
        return counts | ({"dropped": self._dropped} if self._dropped else {})


def _order(event: JsonObject) -> Any:
    return event.get("seq", 0), event.get("ts", 0.0)


def _known(document: JsonObject) -> JsonObject:
    return {name: fact for name, fact in document.items() if fact is not None}
