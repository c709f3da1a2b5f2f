"""Group the failures of a report by their causes, in the order in which a person should mend them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.causes import CAUSES, LEFT_AFTER_CHECK, PART_OF_GROUP, SESSIONS_STAY_OPEN
from flask_sqlalchemy_testbed.checks.definition import Severity
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY
from flask_sqlalchemy_testbed.report.summary import failures, reasons_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flask_sqlalchemy_testbed.checks.catalogue import Case
    from flask_sqlalchemy_testbed.checks.causes import Cause
    from flask_sqlalchemy_testbed.checks.libraries import Library
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix

SEVERITIES = [str(severity) for severity in Severity]
# The evidence of a failure before or after the check itself.
_AROUND = ("setup: ", "teardown: ")
_LEFT_AFTER = re.compile("teardown: .*left (open|in)")
_LEFT = re.compile("left open: |left in its|left in their")


@dataclass(frozen=True, slots=True)
class Group:
    """The failed checks of one cause."""

    rows: Sequence[CheckRow]
    """The check that shows the cause first, then the others by severity."""
    summary: str
    """The cause in one sentence; empty for a check that fails for a reason of its own."""
    severity: str
    """The worst severity of the checks; empty if none has one."""
    default: str
    """A sentence on the product whose default this is; empty for a mistake of the app."""
    at: str
    """The file and line of the app where the change is made, as `file:line`; empty if unknown."""
    remedy: str
    """The smallest change, in the app's own terms; may be empty."""

    @property
    def label(self) -> str:
        """Return the severity, and whether a library's default is the cause; empty if neither is known."""
        return ", ".join(filter(None, [self.severity, "a library's default" if self.default else ""]))

    @property
    def cases(self) -> list[Case]:
        """Return the public reports that the first check covers; none if its claim itself did not fail."""
        own = [reason for reason in reasons_of(self.rows[0]) if not reason.startswith(_AROUND)]
        return reported(self.rows[0]["cases"]) if own else []


def groups(report: Matrix) -> list[Group]:
    """Return the failures by cause: first mistakes of the app, then defaults; the most severe first.

    Args:
        report: A report; an older one has no severities.
    """
    failed = failures(report)
    ids = {row["id"] for row in failed}
    by_cause: dict[str, list[CheckRow]] = {}
    for row in failed:
        by_cause.setdefault(_cause_of(row, ids), []).append(row)
    found = [_group(CAUSES.get(name), rows, report["subject"]) for name, rows in by_cause.items()]
    return sorted(found, key=lambda group: (bool(group.default), _weight(group.severity), -len(group.rows)))


def begin_with(report: Matrix) -> str:
    """Return the advice on the first change to make; empty if no check failed.

    Args:
        report: A report.
    """
    if not (found := groups(report)):
        return ""
    first, total = found[0], sum(len(group.rows) for group in found)
    check = first.rows[0]["id"]
    sentences = [
        f"Begin with {check}{f', in {first.at}' if first.at else ''}.",
        first.summary,
        f"{len(first.rows)} of {total} failed checks have this cause." if len(first.rows) > 1 else "",
        first.default,
        first.remedy,
    ]
    return " ".join(filter(None, sentences))


def _cause_of(row: CheckRow, failed: set[str]) -> str:
    """Return the name of the cause of a failure, or the id of its check."""
    reasons = reasons_of(row)
    if CAUSES[SESSIONS_STAY_OPEN].shown_by in failed and any(map(_LEFT.search, reasons)):
        return SESSIONS_STAY_OPEN
    if reasons and all(map(_LEFT_AFTER.match, reasons)):
        return LEFT_AFTER_CHECK
    cause = CAUSES.get(row.get("cause", ""))
    return cause.name if cause and (not cause.shown_by or cause.shown_by in failed) else row["id"]


def _group(cause: Cause | None, rows: list[CheckRow], subject: Mapping[str, str]) -> Group:
    library = LIBRARIES.get(subject.get("library", ""), NO_LIBRARY)
    rows.sort(key=lambda row: (not cause or row["id"] != cause.shown_by, _weight(row.get("severity", ""))))
    part = cause.part if cause else PART_OF_GROUP.get(rows[0]["group"])
    remedy = rows[0]["remedy"]
    if cause:
        remedy = cause.remedy_in(
            session=subject.get("session_name", "session"),
            engine=subject.get("engine_name", "engine"),
            option=library.option,
            note=library.note,
        )
    products = dict.fromkeys(_product(row, cause, library) for row in rows)
    return Group(
        rows=rows,
        summary=cause.summary if cause else "",
        severity=min((row.get("severity", "") for row in rows), key=_weight),
        default="" if "" in products else _default(" and ".join(products), library.name),
        at=subject.get(f"{part}_at", "") or subject.get("factory_at", ""),
        remedy=remedy,
    )


def _product(row: CheckRow, cause: Cause | None, library: Library) -> str:
    """Return the product whose default a failure is; empty if the evidence shows a mistake of the app."""
    if cause and row.get("cause") != cause.name:
        return ""
    return library.name if row["id"] in library.fails else row.get("default_of", "")


def _weight(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _default(product: str, library: str) -> str:
    if library == product:
        return f"{library} fails this check by itself."
    return f"This is a default of {product}{f', and {library} keeps it' if library else ''}."
