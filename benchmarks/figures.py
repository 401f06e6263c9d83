"""What a benchmark answers with: figures, each beside its floor or peer and against its goal."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Samples:
    """What was measured, warm-ups left out; never empty."""

    values: Sequence[float]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def p95(self) -> float:
        """The smallest value that 95 of 100 do not exceed."""
        ordered = sorted(self.values)
        return ordered[max(-(-95 * len(ordered) // 100) - 1, 0)]

    @property
    def p99(self) -> float:
        ordered = sorted(self.values)
        return ordered[max(-(-99 * len(ordered) // 100) - 1, 0)]

    def to_dict(self) -> dict[str, Any]:
        return {
            "median": round(self.median, 3),
            "min": round(self.low, 3),
            "p95": round(self.p95, 3),
            "n": len(self.values),
        }


@dataclass(frozen=True)
class Goal:
    """Bounds on a figure's median, and on its ratio to what it stands beside."""

    at_most: float | None = None
    at_least: float | None = None
    aim: float | None = None
    ratio_at_most: float | None = None

    def __str__(self) -> str:
        bounds = []
        if self.at_most is not None:
            bounds.append(f"≤ {self.at_most:g}")
        if self.at_least is not None:
            bounds.append(f"≥ {self.at_least:g}")
        if self.aim is not None:
            bounds.append(f"aim {self.aim:g}")
        if self.ratio_at_most is not None:
            bounds.append(f"≤ {self.ratio_at_most:g}×")
        return ", ".join(bounds)

    def is_met(self, value: float, ratio: float | None) -> bool:
        return not (
            (self.at_most is not None and value > self.at_most)
            or (self.at_least is not None and value < self.at_least)
            or (self.ratio_at_most is not None and (ratio is None or ratio > self.ratio_at_most))
        )


@dataclass(frozen=True)
class Figure:
    """One line of the table. `beside` was measured in the same run, turn by turn where it can."""

    name: str
    unit: str
    samples: Samples
    beside: Samples | None = None
    beside_name: str = ""
    goal: Goal = field(default_factory=Goal)

    @property
    def ratio(self) -> float | None:
        if self.beside is None or self.beside.median == 0:
            return None
        return self.samples.median / self.beside.median

    @property
    def is_met(self) -> bool | None:
        """None where no goal was set."""
        return self.goal.is_met(self.samples.median, self.ratio) if str(self.goal) else None

    def to_dict(self) -> dict[str, Any]:
        document: dict[str, Any] = {"figure": self.name, "unit": self.unit}
        document |= self.samples.to_dict()
        if self.beside is not None:
            document["beside"] = {"name": self.beside_name} | self.beside.to_dict()
            document["ratio"] = self.ratio and round(self.ratio, 3)
        if self.is_met is not None:
            document |= {"goal": str(self.goal), "met": self.is_met}
        return document


def one(value: float) -> Samples:
    """A figure that is measured once."""
    return Samples([value])
