"""The outcomes of checks."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Outcome(StrEnum):
    """The outcome of a check on one backend; the values stand in matrix.json and in all reports."""

    PASSED = "passed"
    FAILED = "failed"
    KNOWN_FAILURE = "known failure"
    """The check failed, and the baseline lists the failure."""
    NOT_RUN = "not run"
    """The run ended before, or the test was skipped."""
    NOT_APPLICABLE = "not applicable"
    """The backend or the app lacks a capability that the check needs."""


# The outcome of a check is the first of these that one of its tests has.
_BY_WEIGHT = (
    Outcome.FAILED,
    Outcome.KNOWN_FAILURE,
    Outcome.NOT_RUN,
    Outcome.PASSED,
    Outcome.NOT_APPLICABLE,
)


def worst(outcomes: Iterable[str]) -> Outcome:
    """Return the outcome of a check whose tests have these outcomes; not run if it has no test."""
    return min(map(Outcome, outcomes), key=_BY_WEIGHT.index, default=Outcome.NOT_RUN)
