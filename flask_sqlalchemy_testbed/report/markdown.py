"""Write a report as Markdown: failures first, then the matrix in folded tables."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.links import link
from flask_sqlalchemy_testbed.report.causes import begin_with, groups
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.report.summary import (
    by_outcome,
    columns_of,
    counts,
    failed_on,
    notes,
    reasons_of,
    title,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask_sqlalchemy_testbed.report.causes import Group
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
    lines += [line for note in notes(report) for line in (f"Note, no failure: {note}", "")]
    if advice := begin_with(report):
        lines += [f"**{advice}**", ""]
    for number, group in enumerate(groups(report), 1):
        lines += _group(group, number)
    for group, rows in groupby(report["checks"], key=lambda row: row["group"]):
        lines += _table(report, group, list(rows))
    return "\n".join(lines) + "\n"


def _group(group: Group, number: int) -> list[str]:
    label = f" ({group.label})" if group.label else ""
    lines = [f"### {number}. {group.summary or group.rows[0]['id']}{label}", ""]
    lines += [f"- **Where:** `{group.at}`"] if group.at else []
    lines += [f"- **Remedy:** {group.remedy}"] if group.remedy else []
    if group.code:
        lines += ["", "  ```python", *(f"  {line}".rstrip() for line in group.code.splitlines()), "  ```", ""]
    lines += [f"- **Default:** {group.default}"] if group.default else []
    lines += _checks(group.shown)
    lines += [f"- **Reported:** {case.failure}{f' <{case.url}>' if case.url else ''}" for case in group.cases]
    more = link(group.rows[0]["id"])
    lines += [f"- **More:** {f'<{more}>' if more.startswith('https:') else f'`{more}`'}"] if more else []
    if count := len(group.others):
        summary = f"<details><summary>{count} more check{'s' * (count != 1)} failed</summary>"
        lines += ["", summary, "", *_checks(group.others), "", "</details>"]
    return [*lines, ""]


def _checks(rows: Iterable[CheckRow]) -> list[str]:
    """Return a line for each check, and one for each of its reasons."""
    lines = []
    for row in rows:
        lines += [f"- ❌ `{row['id']}` failed on {', '.join(failed_on(row))}: {row['claim']}"]
        lines += [
            f"  - **Evidence** ({', '.join(columns)}): `{reason.replace('`', ' ')}`"
            for reason, columns in reasons_of(row).items()
        ]
    return lines


def _table(report: Report, group: str, rows: list[CheckRow]) -> list[str]:
    columns = columns_of(report)
    checks = f"{len(rows)} check{'s' * (len(rows) != 1)}"
    return [
        f"<details><summary><b>{group}</b>: {checks}: {by_outcome(rows)}</summary>",
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
