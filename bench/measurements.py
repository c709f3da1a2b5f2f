"""Hold measurements, and compare them with the goals."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """The samples of one contender in one case; `at` is the x coordinate if the chart has lines."""

    case: str
    contender: str
    samples: Sequence[float]
    unit: str
    at: float | None = None

    @property
    def median(self) -> float:
        """Return the median, on which single slow samples have no effect."""
        return median(self.samples)


@dataclass(frozen=True)
class Goal:
    """A claim that is reached if the measured value is at most, or at least, the limit."""

    claim: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Return whether the goal is reached; NaN never is."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def bound(self) -> str:
        """Return the limit as text."""
        return f"{'≥' if self.at_least else '≤'} {quantity(self.limit, self.unit)}"

    @property
    def missed_by(self) -> str:
        """Return the distance from the limit as text."""
        return quantity(abs(self.measured - self.limit), self.unit)


@dataclass
class Row:
    """A promise: the figures of all contenders, its goals, and notes on both.

    In each case this repository comes first; `along` is the label of the x axis. `parts` are measured in the
    same run and show what a missed goal is limited by; the contender of each is the name of the part.
    """

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    along: str = ""
    parts: list[Figure] = field(default_factory=list)

    def median(self, case: str, contender: str, at: float | None = None) -> float:
        """Return the median of a figure; raise `KeyError` if it was not measured."""
        for figure in self.figures:
            if (figure.case, figure.contender, figure.at) == (case, contender, at):
                return figure.median
        raise KeyError(case, contender, at)

    def as_json(self) -> dict[str, Any]:
        """Return everything, with all samples."""
        return {
            "name": self.name,
            "title": self.title,
            "figures": [{**asdict(figure), "median": figure.median} for figure in self.figures],
            "goals": [{**asdict(goal), "reached": goal.reached} for goal in self.goals],
            "parts": [{**asdict(part), "median": part.median} for part in self.parts],
            "notes": self.notes,
        }


def quantity(value: float, unit: str) -> str:
    """Return the value with three significant digits, and the unit."""
    text = f"{value:.3g}" if 0 < abs(value) < 100 else f"{value:,.0f}"  # noqa: PLR2004
    return f"{text} {unit}".strip()
