"""What was measured, and what it had to reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Figure:
    """What one contender took in one case, each time that it was asked; `at` is its place on a line."""

    case: str
    contender: str
    samples: Sequence[float]
    unit: str
    at: float | None = None

    @property
    def median(self) -> float:
        """The middle one: a machine that does something else for a moment does not move it."""
        return median(self.samples)


@dataclass(frozen=True)
class Goal:
    """A claim that holds when what was measured is at most, or at least, the limit."""

    claim: str
    measured: float
    limit: float
    unit: str
    at_least: bool = False

    @property
    def reached(self) -> bool:
        """Whether it holds; what cannot be told apart from failure (NaN) does not."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def bound(self) -> str:
        """The limit, to read."""
        return f"{'≥' if self.at_least else '≤'} {quantity(self.limit, self.unit)}"

    @property
    def missed_by(self) -> str:
        """How far the measured is from the limit."""
        return quantity(abs(self.measured - self.limit), self.unit)


@dataclass
class Row:
    """One promise: the figures of everybody, the goals that they are judged by, and what to know of both.

    In each case ours come first; `along` is what counts on a line.
    """

    name: str
    title: str
    figures: list[Figure] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    along: str = ""

    def median(self, case: str, contender: str, at: float | None = None) -> float:
        """The median of that figure; `KeyError` where nothing was measured."""
        for figure in self.figures:
            if (figure.case, figure.contender, figure.at) == (case, contender, at):
                return figure.median
        raise KeyError(case, contender, at)

    def as_json(self) -> dict[str, Any]:
        """Everything, down to the samples."""
        return {
            "name": self.name,
            "title": self.title,
            "figures": [
                {
                    "case": figure.case,
                    "contender": figure.contender,
                    "at": figure.at,
                    "unit": figure.unit,
                    "median": figure.median,
                    "samples": list(figure.samples),
                }
                for figure in self.figures
            ],
            "goals": [
                {
                    "claim": goal.claim,
                    "measured": goal.measured,
                    "limit": goal.limit,
                    "at_least": goal.at_least,
                    "unit": goal.unit,
                    "reached": goal.reached,
                }
                for goal in self.goals
            ],
            "notes": self.notes,
        }


def quantity(value: float, unit: str) -> str:
    """Three digits that count, and the unit."""
    # From a hundred on, no digit after the point counts.
    text = f"{value:.3g}" if 0 < abs(value) < 100 else f"{value:,.0f}"  # noqa: PLR2004
    return f"{text} {unit}".strip()
