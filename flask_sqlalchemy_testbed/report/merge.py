"""Merge the reports of several runs, such as the jobs of CI, each with some of the backends."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.report.findings import sort_key

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Report


def merge(reports: dict[str, Report]) -> Report:
    """Return one report with the columns of all reports.

    Args:
        reports: The reports by the names of their jobs.

    Returns:
        A new report. A column is named after its backend; also after its version if several columns have the
        same backend; and after its job if several have the same version.
    """
    names = _names(reports)
    merged: Report = {"subject": {}, "software": {}, "servers": {}, "checks": [], "evidence": {}}
    rows: dict[str, CheckRow] = {}
    for job, report in reports.items():
        merged["subject"] |= report["subject"]
        for package, version in report["software"].items():
            known = merged["software"].get(package, "").split(", ")
            merged["software"][package] = ", ".join(sorted({*known, version} - {""}))
        for column, facts in report["servers"].items():
            merged["servers"][names[job, column]] = facts
        for row in report["checks"]:
            into = rows.setdefault(row["id"], {**row, "results": {}, "reasons": {}})
            into["results"] |= {names[job, column]: outcome for column, outcome in row["results"].items()}
            into["reasons"] |= {names[job, column]: reason for column, reason in row["reasons"].items()}
        for check, columns in report.get("evidence", {}).items():
            found = {names[job, column]: attempts for column, attempts in columns.items()}
            merged["evidence"].setdefault(check, {}).update(found)
    merged["made"] = max(report.get("made", "") for report in reports.values())
    merged["checks"] = sorted(rows.values(), key=sort_key)
    return merged


def _names(reports: dict[str, Report]) -> dict[tuple[str, str], str]:
    """Return the names of the columns in the merged report, by job and column."""
    keys = [(job, column) for job, report in reports.items() for column in report["servers"]]
    facts = {(job, column): reports[job]["servers"][column] for job, column in keys}
    plain = {key: facts[key]["backend"] for key in keys}
    # MariaDB and Debian add words to the number.
    numbers = {key: re.split(r"[\s-]", facts[key]["version"])[0] for key in keys}
    versioned = {key: f"{facts[key]['backend']} {numbers[key]}" for key in keys}
    backends, versions = Counter(plain.values()), Counter(versioned.values())
    names = {}
    for key in keys:
        if backends[plain[key]] == 1:
            names[key] = plain[key]
        elif versions[versioned[key]] == 1:
            names[key] = versioned[key]
        else:
            names[key] = f"{versioned[key]} ({key[0]})"
    return names
