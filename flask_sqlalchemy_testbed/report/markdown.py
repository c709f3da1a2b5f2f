"""The matrix as Markdown: what failed first, then all of it, folded."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import told_of
from flask_sqlalchemy_testbed.report.results import FAILED, KNOWN_FAILURE, NOT_APPLICABLE, NOT_RUN, PASSED
from flask_sqlalchemy_testbed.report.summary import (
    columns_of,
    counted,
    failed_on,
    failures,
    reasons_of,
    title,
)

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report

SIGNS = {
    PASSED: "✅ passed",
    FAILED: "❌ **failed**",
    KNOWN_FAILURE: "⚠️ known failure",
    NOT_RUN: "⚠️ not run",
    NOT_APPLICABLE: "n/a",
    "": "",
}


def render(report: Report) -> str:
    """For a pull request, or a job's summary."""
    servers = [
        f"{name} {facts['version']}" if name == facts["backend"] else name
        for name, facts in report["servers"].items()
    ]
    lines = [f"## {title(report)}", "", counted(report), "", f"On {', '.join(servers)}.", ""]
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
            f"- **Evidence** ({', '.join(met)}): `{reason.replace('`', ' ')}`"
            for reason, met in reasons_of(row).items()
        ),
        *(f"- **Users met:** {it.met}{f' <{it.url}>' if it.url else ''}" for it in told_of(row["cases"])),
        *([f"- **Remedy:** {row['remedy']}"] if row["remedy"] else []),
        "",
    ]


def _table(report: Report, group: str, rows: list[CheckRow]) -> list[str]:
    columns = columns_of(report)
    outcomes = [outcome for row in rows for outcome in row["results"].values()]
    told = "all passed" if not {FAILED, NOT_RUN} & set(outcomes) else f"{outcomes.count(FAILED)} failed"
    return [
        f"<details><summary><b>{group}</b>: {len(rows)} checks, {told}</summary>",
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
