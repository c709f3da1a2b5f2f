"""Print the matrix and the failures in pytest's terminal summary."""

from __future__ import annotations

import textwrap
from itertools import groupby
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.links import link
from flask_sqlalchemy_testbed.report.causes import begin_with, groups
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.report.summary import columns_of, failed_on, notes, reasons_of

if TYPE_CHECKING:
    import pytest

    from flask_sqlalchemy_testbed.report.causes import Group
    from flask_sqlalchemy_testbed.report.matrix import Report

COLOURS: dict[str, dict[str, bool]] = {
    Outcome.PASSED: {"green": True},
    Outcome.FAILED: {"red": True, "bold": True},
    Outcome.KNOWN_FAILURE: {"yellow": True},
    Outcome.NOT_RUN: {"yellow": True},
}
SHORT: dict[str, str] = {Outcome.NOT_APPLICABLE: "n/a", Outcome.KNOWN_FAILURE: "known"}
LABEL_WIDTH, MAX_WIDTH = 12, 100


def write(terminal: pytest.TerminalReporter, report: Report) -> None:
    """Print a row for each check and a column for each backend, then each failure.

    Args:
        terminal: Where to print.
        report: The report; its evidence is not used.
    """
    rows = report["checks"]
    columns = columns_of(report)
    terminal.section(f"battery: {report['subject']['app']}")
    width = max(len(row["id"]) for row in rows) + 4
    places = [max(len(column), len(Outcome.NOT_RUN)) + 2 for column in columns]
    places[-1] = 0  # No column follows.
    for group, members in groupby(rows, key=lambda row: row["group"]):
        heading = "".join(column.ljust(place) for column, place in zip(columns, places, strict=True))
        terminal.write_line(f"{group.ljust(width)}{heading}", bold=True)
        for row in members:
            terminal.write(f"  {row['id'].partition('.')[2].ljust(width - 2)}")
            for column, place in zip(columns, places, strict=True):
                outcome = row["results"].get(column, "")
                terminal.write(SHORT.get(outcome, outcome).ljust(place), **COLOURS.get(outcome, {}))
            terminal.write_line("")
    for note in notes(report):
        terminal.write_line(f"note, no failure: {note}")
    write_advice(terminal, report)
    found = groups(report)
    for number, group in enumerate(found, 1):
        _explain(terminal, group, f"{number} of {len(found)}")


def write_advice(terminal: pytest.TerminalReporter, report: Report) -> None:
    """Print which change to make first, if a check failed.

    Args:
        terminal: Where to print.
        report: The report; its evidence is not used.
    """
    if advice := begin_with(report):
        for line in _wrapped(terminal, advice, indent=0):
            terminal.write_line(line, yellow=True)


def end_with(terminal: pytest.TerminalReporter, line: str) -> None:
    """Have pytest's last line count something else than tests; it still counts warnings.

    Args:
        terminal: Where pytest prints.
        line: The counts.
    """
    build = terminal.build_summary_stats_line

    def parts() -> tuple[list[tuple[str, dict[str, bool]]], str]:
        of_tests, colour = build()
        warnings = [part for part in of_tests if "warning" in part[0]]
        return [(line, {colour: True, "bold": True}), *warnings], colour

    vars(terminal)["build_summary_stats_line"] = parts


def _explain(terminal: pytest.TerminalReporter, group: Group, number: str) -> None:
    """Print a cause: the change that mends it, then its first checks with their evidence, and the others."""
    terminal.write_line("")
    label = f", {group.label}" if group.label else ""
    title = group.summary or f"{group.rows[0]['id']} fails."
    terminal.write_line(f"Cause {number}{label}: {title}", yellow=True, bold=True)
    _write_change(terminal, group)
    for row in group.shown:
        columns = failed_on(row)
        terminal.write_line(f"{row['id']} failed on {', '.join(columns)}", red=True, bold=True)
        _write(terminal, "claim:", row["claim"])
        for reason, on in reasons_of(row).items():
            where = "" if on == columns else f" ({', '.join(on)})"
            _write(terminal, "evidence:", f"{reason}{where}")
    for case in group.cases:
        _write(terminal, "reported:", case.failure)
        if case.url:
            _write(terminal, "", case.url)
    if group.others:
        _write(terminal, "others:", ", ".join(row["id"] for row in group.others))
    if more := link(group.rows[0]["id"]):
        _write(terminal, "more:", more)


def _write_change(terminal: pytest.TerminalReporter, group: Group) -> None:
    if group.at:
        _write(terminal, "where:", group.at)
    if group.remedy:
        _write(terminal, "remedy:", group.remedy)
    for number, line in enumerate(group.code.splitlines()):
        label = "" if number else "code:"
        terminal.write_line(f"  {label.ljust(LABEL_WIDTH)}{line}".rstrip())
    if group.default:
        _write(terminal, "default:", group.default)


def _write(terminal: pytest.TerminalReporter, label: str, text: str) -> None:
    """Write a paragraph beside its label."""
    for number, line in enumerate(_wrapped(terminal, text, indent=LABEL_WIDTH + 2) or [""]):
        terminal.write_line(f"  {(label if number == 0 else '').ljust(LABEL_WIDTH)}{line}")


def _wrapped(terminal: pytest.TerminalReporter, text: str, *, indent: int) -> list[str]:
    """Return the lines of a paragraph; words that are too long, such as URLs, are not broken."""
    width = max(40, min(terminal._tw.fullwidth, MAX_WIDTH) - indent)  # noqa: SLF001 - pytest has no public way
    return textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)
