"""The report as files: one page for people, Markdown for a pull request, JSON for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.report import html, markdown, matrix

if TYPE_CHECKING:
    from pathlib import Path

    from flask_sqlalchemy_testbed.report.matrix import Report


def write(directory: Path, report: Report) -> None:
    """Writes all of them; `power.json` beside the directory becomes part of the page, if it is there."""
    directory.mkdir(parents=True, exist_ok=True)
    matrix.write(directory / "evidence.json", report, indent=None)
    matrix.write(directory / "matrix.json", matrix.matrix_of(report))
    (directory / "summary.md").write_text(markdown.render(report), encoding="utf-8")
    page = html.render(report, power=_power(directory.parent / "power.json"))
    (directory / "index.html").write_text(page, encoding="utf-8")


def _power(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["specimens"] if path.exists() else []
