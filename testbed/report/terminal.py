"""The matrix in the terminal, and what failed."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from testbed.report.results import FAILED, NOT_APPLICABLE, NOT_RUN, PASSED
from testbed.report.summary import columns_of, counted, failed_on, failures, reasons_of

if TYPE_CHECKING:
    import pytest

    from testbed.report.matrix import CheckRow, Report

COLOURS = {PASSED: {"green": True}, FAILED: {"red": True, "bold": True}, NOT_RUN: {"yellow": True}}
SHORT = {NOT_APPLICABLE: "n/a"}


def write(terminal: pytest.TerminalReporter, report: Report) -> None:
    """One row a check, one column a backend, groups as headings; then each failure and its remedy."""
    rows = report["checks"]
    columns = columns_of(report)
    terminal.section(f"battery: {report['subject']['app']}")
    width = max(len(row["id"]) for row in rows) + 4
    places = [max(len(column), len(NOT_RUN)) + 2 for column in columns]
    places[-1] = 0  # Nothing follows.
    for group, members in groupby(rows, key=lambda row: row["group"]):
        heading = "".join(column.ljust(place) for column, place in zip(columns, places, strict=True))
        terminal.write_line(f"{group.ljust(width)}{heading}", bold=True)
        for row in members:
            terminal.write(f"  {row['id'].partition('.')[2].ljust(width - 2)}")
            for column, place in zip(columns, places, strict=True):
                outcome = row["results"].get(column, "")
                terminal.write(SHORT.get(outcome, outcome).ljust(place), **COLOURS.get(outcome, {}))
            terminal.write_line("")
    terminal.write_line(counted(report))
    for row in failures(report):
        _explain(terminal, row)


def _explain(terminal: pytest.TerminalReporter, row: CheckRow) -> None:
    columns = failed_on(row)
    terminal.write_line("")
    terminal.write_line(f"{row['id']} failed on {', '.join(columns)}", red=True, bold=True)
    terminal.write_line(f"  claim:    {row['claim']}")
    for reason, met in reasons_of(row).items():
        where = "" if met == columns else f" ({', '.join(met)})"
        terminal.write_line(f"  evidence: {reason}{where}")
    if row["remedy"]:
        terminal.write_line(f"  remedy:   {row['remedy']}")
