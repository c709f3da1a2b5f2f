"""The report as one page that opens anywhere, with no network and nothing beside it."""

from __future__ import annotations

import re
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

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
from flask_sqlalchemy_testbed.timeline import drawing
from flask_sqlalchemy_testbed.timeline.drawing import draw, duration, milliseconds, numbered, summary

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import Attempt, CheckRow, Report

_HERE = Path(__file__).parent
_TIMELINE = Path(drawing.__file__).with_name("timeline.css")
# A word beside each sign, and a class for its colour.
OUTCOMES = {
    PASSED: ("✓", "passed", "good"),
    FAILED: ("✗", "failed", "bad"),
    KNOWN_FAILURE: ("✗", "known", "warn"),
    NOT_RUN: ("?", "not run", "warn"),
    NOT_APPLICABLE: ("·", "n/a", "none"),
    "": ("", "not wanted", "none"),
}
# The list of one test's events ends here; `evidence.json` has them all.
MOST_LISTED = 400


def render(report: Report, *, power: list[dict[str, Any]]) -> str:
    """The page."""
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
        counted=counted(report),
        report={"made": "", **report},
        columns=columns,
        groups=[(group, list(rows)) for group, rows in groupby(checks, key=lambda check: check["group"])],
        told_of=told_of,
        failures=[(row, failed_on(row), reasons_of(row)) for row in failures(report)],
        power=power,
        powered=list(dict.fromkeys(column for specimen in power for column in specimen["caught_by"])),
        known={check["id"] for check in checks},
        anchor=anchor,
        css=_asset(_TIMELINE) + _asset(_HERE / "page.css"),
        js=_asset(_HERE / "page.js"),
    )


def anchor(*names: str) -> str:
    """What links to that lead to."""
    return re.sub(r"[^a-zA-Z0-9.-]+", "-", "--".join(names))


def _asset(path: Path) -> Markup:
    return Markup(path.read_text(encoding="utf-8"))  # noqa: S704 - our own


def _check(report: Report, row: CheckRow, columns: list[str]) -> dict[str, Any]:
    evidence = report["evidence"].get(row["id"], {})
    attempts = [attempt for column in columns for attempt in evidence.get(column, [])]
    sources = {_function(attempt): attempt["source"] for attempt in attempts if attempt.get("source")}
    return {
        **row,
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
    events = numbered(attempt.get("timeline", []))
    return {
        "name": attempt["test"].rpartition("::")[2],
        "outcome": attempt["outcome"],
        "seconds": milliseconds(attempt["seconds"]),
        "reason": attempt["reason"],
        "failure": attempt["failure"].rstrip(),
        "sections": attempt.get("sections", []),
        "log": attempt.get("log"),
        "picture": Markup(draw(events)),  # noqa: S704 - it escapes what it is given
        "in_words": summary(events),
        "statements": [
            {"failed": False, **event, "took": duration(event)} for event in events if "number" in event
        ],
        "events": [
            {"text": "", "failed": False, "number": None, **event, "when": milliseconds(event["at"])}
            for event in events[:MOST_LISTED]
        ],
        "more": max(len(events) - MOST_LISTED, 0),
    }


def _function(attempt: Attempt) -> str:
    return attempt["test"].rpartition("::")[2].partition("[")[0]
