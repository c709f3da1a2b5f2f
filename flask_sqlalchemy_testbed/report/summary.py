"""A report in few words, the same ones in the terminal, in Markdown and on the page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.report.results import FAILED, KNOWN_FAILURE, NOT_APPLICABLE, NOT_RUN, PASSED

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix

KNOWN = (PASSED, FAILED, KNOWN_FAILURE, NOT_RUN, NOT_APPLICABLE)


def title(report: Matrix) -> str:
    """What was tried, and how it went."""
    failed = len(failures(report))
    verdict = f"{failed} of {len(report['checks'])} checks failed" if failed else "nothing failed"
    return f"The battery on {report['subject'].get('app', 'an app')}: {verdict}"


def columns_of(report: Matrix) -> list[str]:
    """The backends that anything is known of, in the order that they were asked for."""
    found = [column for row in report["checks"] for column in row["results"]]
    return list(dict.fromkeys([*report["servers"], *found]))


def counted(report: Matrix) -> str:
    """How many came to what, in one line."""
    checks, columns = len(report["checks"]), len(columns_of(report))
    outcomes = [outcome for row in report["checks"] for outcome in row["results"].values()]
    told = [f"{outcomes.count(known)} {known}" for known in KNOWN if known in outcomes]
    return f"{_many(checks, 'check')} on {_many(columns, 'backend')}: {', '.join(told) or 'nothing'}"


def failures(report: Matrix) -> list[CheckRow]:
    """The checks that failed anywhere."""
    return [row for row in report["checks"] if FAILED in row["results"].values()]


def failed_on(row: CheckRow) -> list[str]:
    """The columns where it failed."""
    return [column for column, outcome in row["results"].items() if outcome == FAILED]


def reasons_of(row: CheckRow) -> dict[str, list[str]]:
    """Why it failed: each reason with the columns that it was met in."""
    found: dict[str, list[str]] = {}
    for column in failed_on(row):
        for reason in row["reasons"].get(column, "").splitlines():
            found.setdefault(reason, []).append(column)
    return found


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
