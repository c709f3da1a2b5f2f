"""Write a report as Markdown: failures first, then the matrix in folded tables."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.report.summary import (
    columns_of,
    common_cause,
    counts,
    failed_on,
    failures,
    reasons_of,
    remedy_of,
    title,
)

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report

SIGNS: dict[str, str] = {
    Outcome.PASSED: "✅ passed",
    Outcome.FAILED: "❌ **failed**",
    Outcome.KNOWN_FAILURE: "⚠️ known failure",
    Outcome.NOT_RUN: "⚠️ not run",
    Outcome.NOT_APPLICABLE: "n/a",
    "": "",
}


def render(report: Report) -> str:
    """Return the Markdown of a report, for a pull request or the summary of a CI job."""
    servers = [
        f"{name} {facts['version']}" if name == facts["backend"] else name
        for name, facts in report["servers"].items()
    ]
    lines = [f"## {title(report)}", "", counts(report), "", f"Databases: {', '.join(servers)}.", ""]
    if cause := common_cause(report):
        lines += [cause, ""]
    for row in failures(report):
        lines += _failure(row)
    for group, rows in groupby(report["checks"], key=lambda row: row["group"]):
        lines += _table(report, group, list(rows))
    return "\n".join(lines) + "\n"


def _failure(row: CheckRow) -> list[str]:
    return [
        f"### ❌ `{row['id']}` failed on {', '.join(failed_on(row))}",
        "",
        f"- **Claim:** {row['claim']}",
        *(
            f"- **Evidence** ({', '.join(columns)}): `{reason.replace('`', ' ')}`"
            for reason, columns in reasons_of(row).items()
        ),
        *(
            f"- **Reported:** {case.failure}{f' <{case.url}>' if case.url else ''}"
            for case in reported(row["cases"])
        ),
        *([f"- **Remedy:** {remedy}"] if (remedy := remedy_of(row)) else []),
        "",
    ]


def _table(report: Report, group: str, rows: list[CheckRow]) -> list[str]:
    columns = columns_of(report)
    outcomes = [outcome for row in rows for outcome in row["results"].values()]
    passed = not {Outcome.FAILED, Outcome.NOT_RUN}.intersection(outcomes)
    verdict = "all passed" if passed else f"{outcomes.count(Outcome.FAILED)} failed"
    return [
        f"<details><summary><b>{group}</b>: {len(rows)} checks, {verdict}</summary>",
        "",
        f"| check | {' | '.join(columns)} |",
        f"|---|{'---|' * len(columns)}",
        *(
            f"| {row['id']}<br><sub>{row['claim']}</sub>"
            f" | {' | '.join(SIGNS[row['results'].get(column, '')] for column in columns)} |"
            for row in rows
        ),
        "",
        "</details>",
        "",
    ]
