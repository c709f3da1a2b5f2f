"""Write a report as one HTML page that needs no network and no other file."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.links import link
from flask_sqlalchemy_testbed.report.causes import begin_with, groups
from flask_sqlalchemy_testbed.report.outcome import Outcome
from flask_sqlalchemy_testbed.report.summary import (
    columns_of,
    counts,
    failed_on,
    reasons_of,
    title,
)
from flask_sqlalchemy_testbed.timeline import drawing
from flask_sqlalchemy_testbed.timeline.drawing import (
    MAX_EVENTS,
    draw,
    duration,
    listed,
    milliseconds,
    numbered,
    summary,
)

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow, Report

_HERE = Path(__file__).parent
_TIMELINE = Path(drawing.__file__).with_name("timeline.css")
# For each outcome: its sign, its word, and the CSS class of its colour.
OUTCOMES: dict[str, tuple[str, str, str]] = {
    Outcome.PASSED: ("✓", "passed", "good"),
    Outcome.FAILED: ("✗", "failed", "bad"),
    Outcome.KNOWN_FAILURE: ("✗", "known", "warn"),
    Outcome.NOT_RUN: ("?", "not run", "warn"),
    Outcome.NOT_APPLICABLE: ("·", "n/a", "none"),
    "": ("", "not selected", "none"),
}


def render(report: Report, *, power: list[dict[str, Any]]) -> str:
    """Return the page.

    Args:
        report: The report with its evidence.
        power: The specimens of `power.json`, which prove that checks can fail; may be empty.

    Returns:
        The HTML, with its styles and its script.
    """
    environment = Environment(
        loader=FileSystemLoader(_HERE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = columns_of(report)
    checks = [_check(report, row, columns) for row in report["checks"]]
    return environment.get_template("page.html.jinja").render(
        title=title(report),
        counts=counts(report),
        report={"made": "", **report},
        columns=columns,
        groups=[(group, list(rows)) for group, rows in groupby(checks, key=lambda check: check["group"])],
        advice=begin_with(report),
        causes=groups(report),
        failed_on=failed_on,
        reasons_of=reasons_of,
        link=link,
        power=power,
        powered=list(dict.fromkeys(column for specimen in power for column in specimen["caught_by"])),
        known={check["id"] for check in checks},
        anchor=anchor,
        css=_asset(_TIMELINE) + _asset(_HERE / "page.css"),
        js=_asset(_HERE / "page.js"),
    )


def anchor(*names: str) -> str:
    """Return the id of the element for a check, and a column of it."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "-", "--".join(names))


def _asset(path: Path) -> Markup:
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - a file of this package


def _check(report: Report, row: CheckRow, columns: list[str]) -> dict[str, Any]:
    evidence = report["evidence"].get(row["id"], {})
    attempts = [attempt for column in columns for attempt in evidence.get(column, [])]
    sources = {_function(attempt): attempt["source"] for attempt in attempts if attempt.get("source")}
    return {
        **row,
        "reported": reported(row["cases"]),
        "anchor": anchor(row["id"]),
        "sources": sources,
        "cells": [_cell(row, column, evidence.get(column, [])) for column in columns],
    }


def _cell(row: CheckRow, column: str, attempts: list[Attempt]) -> dict[str, Any]:
    outcome = row["results"].get(column, "")
    sign, word, kind = OUTCOMES[outcome]
    return {
        "column": column,
        "outcome": outcome or word,
        "sign": sign,
        "word": word,
        "kind": kind,
        "anchor": anchor(row["id"], column) if outcome else anchor(row["id"]),
        "reason": row["reasons"].get(column, ""),
        "attempts": [_attempt(attempt) for attempt in attempts],
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    events = attempt.get("timeline", [])
    return {
        "name": attempt["test"].rpartition("::")[2],
        "outcome": attempt["outcome"],
        "seconds": milliseconds(attempt["seconds"]),
        "reason": attempt["reason"],
        "failure": attempt["failure"].rstrip(),
        "accepted": attempt.get("accepted", ""),
        "sections": attempt.get("sections", []),
        "log": attempt.get("log"),
        "picture": Markup(draw(events)),  # noqa: S704 - `draw` escapes texts
        "summary": summary(events),
        "statements": [
            {"failed": False, **event, "took": duration(event)}
            for event in numbered(events)
            if "number" in event
        ],
        "events": listed(events),
        "more": max(len(events) - MAX_EVENTS, 0),
    }


def _function(attempt: Attempt) -> str:
    return attempt["test"].rpartition("::")[2].partition("[")[0]
