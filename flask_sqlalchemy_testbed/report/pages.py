"""Write the files of a report: an HTML page, Markdown and JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.report import html, markdown, matrix

if TYPE_CHECKING:
    from pathlib import Path

    from flask_sqlalchemy_testbed.report.matrix import Report

# In the order in which they are written.
FILES = ("evidence.json", "matrix.json", "summary.md", "index.html")


def conflict(directory: Path) -> str:
    """Say which files of another program a report would replace; empty if there are none.

    Args:
        directory: The folder for a report; it need not exist.

    Raises:
        OSError: A file cannot be read.
    """
    found = [name for name in FILES if (directory / name).exists()]
    known = {name for name in found if name.endswith(".json") and matrix.is_ours(directory / name)}
    if FILES[0] in known:
        known.update(FILES)
    foreign = " and ".join(name for name in found if name not in known)
    return f"holds {foreign}, which no report wrote. Name another folder, or delete this." if foreign else ""


def write(directory: Path, report: Report) -> None:
    """Write all files of a report.

    Args:
        directory: Where to write; it is created if necessary, and Git ignores the files of a new one. If
            there is a `power.json` beside it, the page shows it too.
        report: The report with its evidence.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if not any(directory.iterdir()):
        (directory / ".gitignore").write_text("*\n", encoding="utf-8")
    matrix.write(directory / "evidence.json", report, indent=None)
    matrix.write(directory / "matrix.json", matrix.matrix_of(report))
    (directory / "summary.md").write_text(markdown.render(report), encoding="utf-8")
    page = html.render(report, power=_power(directory.parent / "power.json"))
    (directory / "index.html").write_text(page, encoding="utf-8")


def _power(path: Path) -> list[dict[str, Any]]:
    return json.loads(path.read_text(encoding="utf-8"))["specimens"] if path.exists() else []
