"""Define the contents of `matrix.json` and `evidence.json`, and write such files.

`matrix.json` has the outcome of each check on each backend; `evidence.json` also has the records of tests.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = Path(__file__).with_name("matrix.schema.json")
# The beginning of both files.
_BEGINNING = re.compile(r'\s*\{\s*"subject"\s*:')


class Attempt(TypedDict):
    """One test of a check on one backend, with its records."""

    test: str
    outcome: str
    """A value of `Outcome`."""
    reason: str
    """Why it did not pass, or a note of a check that passed, in one line."""
    seconds: float
    failure: str
    """The failure as pytest shows it."""
    accepted: NotRequired[str]
    """The reason in the baseline for which a failure is known."""
    source: NotRequired[str]
    sections: NotRequired[list[tuple[str, str]]]
    """Captured output, logs and other sections of pytest's report, each with its title."""
    log: NotRequired[str | None]
    """The log of the server during the test; None if it cannot be read."""
    timeline: NotRequired[list[dict[str, Any]]]
    """The events, as `timeline.events.as_json` returns them."""


class ServerFacts(TypedDict):
    """A server of the run, as it describes itself."""

    backend: str
    version: str
    source: str
    settings: NotRequired[dict[str, str]]


class CheckRow(TypedDict):
    """A check, with its outcome and reason in each column where it was selected."""

    id: str
    group: str
    claim: str
    severity: NotRequired[str]
    """A value of `Severity`; empty if the check states none. An older report lacks it, and the next two."""
    cause: NotRequired[str]
    """The name of a cause in `checks/causes.py`."""
    default_of: NotRequired[str]
    """The product whose own default fails the check."""
    cases: list[int]
    remedy: str
    results: dict[str, str]
    reasons: dict[str, str]


class Matrix(TypedDict):
    """The matrix. Its columns are named after backends; merged reports may have longer names."""

    subject: dict[str, str]
    software: dict[str, str]
    servers: dict[str, ServerFacts]
    checks: list[CheckRow]


class Report(Matrix):
    """The matrix with the evidence, by check and column."""

    made: NotRequired[str]
    """The time in UTC, in the format of ISO 8601."""
    evidence: dict[str, dict[str, list[Attempt]]]


def matrix_of(report: Report) -> Matrix:
    """Return the report without its evidence.

    Args:
        report: A report, as `evidence.json` holds it.
    """
    return {
        "subject": report["subject"],
        "software": report["software"],
        "servers": report["servers"],
        "checks": report["checks"],
    }


def is_ours(path: Path) -> bool:
    """Return whether a file holds a matrix or evidence, or nothing.

    Args:
        path: A regular file.

    Raises:
        OSError: It cannot be read.
    """
    beginning = beginning_of(path, 100)
    return not beginning or _BEGINNING.match(beginning) is not None


def beginning_of(path: Path, size: int) -> str:
    """Return the first bytes of a file as text.

    Args:
        path: A regular file.
        size: The number of bytes.

    Raises:
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        return file.read(size).decode(errors="replace")


def write(path: Path, document: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write a document as JSON, atomically.

    A concurrent reader sees the old file or the new one, never a part.

    Args:
        path: The file; its directory is created if necessary.
        document: The document.
        indent: As for `json.dumps`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
