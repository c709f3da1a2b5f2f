"""Summarize a report, in the same words for the terminal, Markdown and the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.report.outcome import Outcome

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix


def title(report: Matrix) -> str:
    """Return the app, and how many of its checks failed."""
    failed = len(failures(report))
    verdict = f"{failed} of {len(report['checks'])} checks failed" if failed else "no check failed"
    return f"{report['subject'].get('app', 'app')}: {verdict}"


def columns_of(report: Matrix) -> list[str]:
    """Return the columns of the matrix: the backends of the run, then others that have results."""
    found = [column for row in report["checks"] for column in row["results"]]
    return list(dict.fromkeys([*report["servers"], *found]))


def counts(report: Matrix) -> str:
    """Return how many results of each outcome there are, in one line."""
    results = [outcome for row in report["checks"] for outcome in row["results"].values()]
    by_outcome = [_count(results.count(outcome), outcome) for outcome in Outcome if outcome in results]
    checks, backends = len(report["checks"]), len(columns_of(report))
    return (
        f"{checks} check{'s' * (checks != 1)} on {backends} backend{'s' * (backends != 1)}:"
        f" {', '.join(by_outcome) or 'no results'}"
    )


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
