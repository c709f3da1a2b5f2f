"""Summarize a report, in the same words for the terminal, Markdown and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.report.outcome import Outcome, worst

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix


def title(report: Matrix) -> str:
    """Return the app, and how many of its checks failed, are known to fail, or were not run."""
    verdicts = [worst(row["results"].values()) for row in report["checks"]]
    others = [one for one in (Outcome.KNOWN_FAILURE, Outcome.NOT_RUN) if one in verdicts]
    if failed := verdicts.count(Outcome.FAILED):
        verdict = f"{failed} of {len(verdicts)} checks failed"
    else:
        verdict = "no new failure" if Outcome.KNOWN_FAILURE in others else "no check failed"
    parts = [verdict, *(_count(verdicts.count(one), one) for one in others)]
    return f"{report['subject'].get('app', 'app')}: {', '.join(parts)}"


def columns_of(report: Matrix) -> list[str]:
    """Return the columns of the matrix: the backends of the run, then others that have results."""
    found = [column for row in report["checks"] for column in row["results"]]
    return list(dict.fromkeys([*report["servers"], *found]))


def counts(report: Matrix) -> str:
    """Return how many results of each outcome there are, in one line."""
    checks, backends = len(report["checks"]), len(columns_of(report))
    return (
        f"{checks} check{'s' * (checks != 1)} on {backends} backend{'s' * (backends != 1)}:"
        f" {by_outcome(report['checks'])}"
    )


def by_outcome(rows: Iterable[CheckRow]) -> str:
    """Return how many results of each outcome these checks have."""
    results = [outcome for row in rows for outcome in row["results"].values()]
    found = [_count(results.count(outcome), outcome) for outcome in Outcome if outcome in results]
    return ", ".join(found) or "no results"


def _count(number: int, outcome: Outcome) -> str:
    return f"{number} {outcome}{'s' * (outcome is Outcome.KNOWN_FAILURE and number != 1)}"


def failures(report: Matrix) -> list[CheckRow]:
    """Return the checks that failed on any backend."""
    return [row for row in report["checks"] if Outcome.FAILED in row["results"].values()]


def failed_on(row: CheckRow) -> list[str]:
    """Return the columns in which the check failed."""
    return [column for column, outcome in row["results"].items() if outcome == Outcome.FAILED]


def notes(report: Matrix) -> list[str]:
    """Return a line for each note on a check that passed."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in report["checks"]:
        for column, reason in row["reasons"].items():
            if row["results"][column] == Outcome.PASSED:
                found.setdefault((row["id"], reason), []).append(column)
    return [f"{check} ({', '.join(columns)}): {note}" for (check, note), columns in found.items()]


def reasons_of(row: CheckRow) -> dict[str, list[str]]:
    """Return each reason for the check's failure, with the columns in which it occurred."""
    found: dict[str, list[str]] = {}
    for column in failed_on(row):
        for reason in row["reasons"].get(column, "").splitlines():
            found.setdefault(reason, []).append(column)
    return found
