"""Explain a check: its claim, why it matters, what fails it, what mends it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.causes import CAUSES
from flask_sqlalchemy_testbed.checks.claims import CHECKS
from flask_sqlalchemy_testbed.checks.definition import Severity
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask_sqlalchemy_testbed.checks.definition import Check

MISTAKES = Path(__file__).with_name("mistakes.json")
"""The mistakes of the specimens, each with the checks that catch it; `make checks-page` writes it."""
# For the checks that describe the databases.
NO_APP = "No app fails it: it describes the databases, and fails if a new version of one behaves differently."


def severity_of(cause: str) -> str:
    """Return the harm that a cause does, which is the worst of its checks; empty if no check has it.

    Args:
        cause: The name of the cause.
    """
    found = {check.severity for check in CHECKS.values() if check.cause == cause}
    return next((str(severity) for severity in Severity if severity in found), "")


def explanation(check: Check) -> Iterator[tuple[str, str]]:
    """Yield the paragraphs on a check, each with its label; a label may come several times.

    Args:
        check: A check of the battery.
    """
    yield "claim", check.claim
    if check.severity:
        of_cause = severity_of(check.cause) if check.cause else check.severity
        more = f"; a report that names its cause shows the severity of the cause: {of_cause}"
        yield "severity", f"{check.severity}{more if of_cause != check.severity else ''}"
    for case in reported(check.cases):
        yield "reported", f"{case.failure} {case.url}".strip()
    for mistake in _mistakes(check):
        yield "fails it", mistake
    if check.remedy:
        yield "remedy", check.remedy
    cause = CAUSES.get(check.cause)
    if cause and cause.shown_by not in {"", check.id}:
        shown_by = cause.shown_by
        yield (
            "remedy",
            f"If {shown_by} fails, too, the report shows the remedy of that check: both have one cause.",
        )
    if check.option:
        yield "runs", f"only if you give `--{check.option}`, or name it with `--check`."
    if check.needs:
        yield "needs", f"{', '.join(check.needs)}: without these capabilities it is not applicable."
    if check.connections > 1:
        yield "needs", f"a pool of {check.connections} connections: with fewer it is not applicable."


def _mistakes(check: Check) -> Iterator[str]:
    if check.records:
        yield NO_APP
    if check.default_of:
        yield f"A default of {check.default_of}, which an app may change."
    if libraries := [name for name, library in LIBRARIES.items() if check.id in library.fails]:
        yield f"{' and '.join(libraries)}, as its documentation sets it up."
    if cause := CAUSES.get(check.cause):
        yield cause.summary
    for mistake, checks in json.loads(MISTAKES.read_text(encoding="utf-8")).items():
        if check.id in checks:
            yield mistake
    for backend, reason in check.unfailable.items():
        yield f"Nothing on {backend}: {reason}."
