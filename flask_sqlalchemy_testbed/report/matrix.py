"""The files: `matrix.json`, which check held on which backend, and `evidence.json`, how one knows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA = Path(__file__).with_name("matrix.schema.json")


class Attempt(TypedDict):
    """One test of a check on one backend, and what it left to look at."""

    test: str
    outcome: str
    reason: str
    """Why it did not pass, in a line."""
    seconds: float
    failure: str
    """What pytest shows of the failure."""
    source: NotRequired[str]
    sections: NotRequired[list[tuple[str, str]]]
    """What was printed or logged, and what others have added, each with its title."""
    log: NotRequired[str | None]
    """What the server wrote meanwhile; None where that is out of reach."""
    timeline: NotRequired[list[dict[str, Any]]]
    """`flask_sqlalchemy_testbed.timeline.events.as_json`."""


class ServerFacts(TypedDict):
    """A server, as it describes itself."""

    backend: str
    version: str
    source: str
    settings: NotRequired[dict[str, str]]


class CheckRow(TypedDict):
    """A check, and what came of it in each column where it was wanted."""

    id: str
    group: str
    claim: str
    cases: list[int]
    remedy: str
    results: dict[str, str]
    reasons: dict[str, str]


class Matrix(TypedDict):
    """The columns are called by their backends; where reports were merged they may need longer names."""

    subject: dict[str, str]
    software: dict[str, str]
    servers: dict[str, ServerFacts]
    checks: list[CheckRow]


class Report(Matrix):
    """With the evidence, by check and column."""

    made: NotRequired[str]
    """When, in UTC, as ISO 8601 writes it."""
    evidence: dict[str, dict[str, list[Attempt]]]


def matrix_of(report: Report) -> Matrix:
    """The report without its evidence."""
    return {
        "subject": report["subject"],
        "software": report["software"],
        "servers": report["servers"],
        "checks": report["checks"],
    }


def write(path: Path, document: Mapping[str, Any], *, indent: int | None = 1) -> None:
    """Write it as JSON; whoever looks meanwhile sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    part.write_text(json.dumps(document, indent=indent, ensure_ascii=False) + "\n", encoding="utf-8")
    part.replace(path)
