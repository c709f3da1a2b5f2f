"""The matrix in the terminal, and what failed."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import told_of
from flask_sqlalchemy_testbed.report.results import FAILED, KNOWN_FAILURE, NOT_APPLICABLE, NOT_RUN, PASSED
from flask_sqlalchemy_testbed.report.summary import columns_of, counted, failed_on, failures, reasons_of

if TYPE_CHECKING:
    import pytest

    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report

COLOURS = {
    PASSED: {"green": True},
    FAILED: {"red": True, "bold": True},
    KNOWN_FAILURE: {"yellow": True},
    NOT_RUN: {"yellow": True},
}
SHORT = {NOT_APPLICABLE: "n/a", KNOWN_FAILURE: "known"}
LABEL, WIDEST = 12, 100


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
    """As a good review: what fails, how one knows, who met it, and the smallest change that mends it."""
    columns = failed_on(row)
    terminal.write_line("")
    terminal.write_line(f"{row['id']} failed on {', '.join(columns)}", red=True, bold=True)
    _tell(terminal, "claim:", row["claim"])
    for reason, met in reasons_of(row).items():
        where = "" if met == columns else f" ({', '.join(met)})"
        _tell(terminal, "evidence:", f"{reason}{where}")
    for case in told_of(row["cases"]):
        _tell(terminal, "users met:", case.met)
        if case.url:
            _tell(terminal, "", case.url)
    if row["remedy"]:
        _tell(terminal, "remedy:", row["remedy"])


def _tell(terminal: pytest.TerminalReporter, label: str, text: str) -> None:
    """A paragraph beside its label; a word that is too long, such as a URL, stays whole."""
    room = max(40, min(terminal._tw.fullwidth, WIDEST) - LABEL - 2)  # noqa: SLF001 - pytest has no other way
    lines = textwrap.wrap(text, room, break_long_words=False, break_on_hyphens=False) or [""]
    for number, line in enumerate(lines):
        terminal.write_line(f"  {(label if number == 0 else '').ljust(LABEL)}{line}")
