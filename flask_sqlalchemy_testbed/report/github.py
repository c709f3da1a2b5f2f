"""Show the failures in a job of GitHub Actions: as annotations of the app's code, and in its summary."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.links import link
from flask_sqlalchemy_testbed.report import markdown
from flask_sqlalchemy_testbed.report.causes import groups
from flask_sqlalchemy_testbed.report.sarif import level
from flask_sqlalchemy_testbed.report.source import located

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.report.causes import Group
    from flask_sqlalchemy_testbed.report.matrix import Report


def in_job() -> bool:
    """Return whether this process runs in a job of GitHub Actions."""
    return os.environ.get("GITHUB_ACTIONS") == "true"


def annotate(report: Report, folder: Path) -> list[str]:
    """Return a workflow command for each cause, which annotates the place of its remedy.

    https://docs.github.com/en/actions/reference/workflow-commands-for-github-actions

    Args:
        report: The report.
        folder: The folder that the run began in.
    """
    return [_annotation(group, folder) for group in groups(report)]


def add_to_summary(report: Report) -> None:
    """Add the report to the summary of the job, if there is one.

    Args:
        report: The report.

    Raises:
        OSError: The summary cannot be written.
    """
    if path := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(markdown.render(report))


def _annotation(group: Group, folder: Path) -> str:
    checks = ", ".join(row["id"] for row in group.shown)
    more = f" and {len(group.others)} more" if group.others else ""
    title = f"{group.severity or 'failed'}: {group.rows[0]['id']}"
    place = located(group.at, folder)
    properties = {"title": title, **({"file": place[0], "line": str(place[1])} if place else {})}
    failed = f"Failed: {checks}{more}."
    parts = [group.summary, group.remedy, group.code, group.default, failed, link(group.rows[0]["id"])]
    named = ",".join(f"{name}={_escaped(value, ':,')}" for name, value in properties.items())
    return f"::{level(group.severity)} {named}::{_escaped(chr(10).join(filter(None, parts)))}"


def _escaped(text: str, more: str = "") -> str:
    """Escape the characters that have a meaning in a workflow command."""
    for character in f"%\r\n{more}":
        text = text.replace(character, f"%{ord(character):02X}")
    return text
