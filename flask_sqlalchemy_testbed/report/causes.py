"""Group the failures of a report by their causes, in the order in which a person should mend them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.causes import CAUSES, LEFT_AFTER_CHECK, PART_OF_GROUP, SESSIONS_STAY_OPEN
from flask_sqlalchemy_testbed.checks.definition import Severity
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY
from flask_sqlalchemy_testbed.report.summary import failed_on, failures, reasons_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flask_sqlalchemy_testbed.checks.catalogue import Case
    from flask_sqlalchemy_testbed.checks.causes import Cause
    from flask_sqlalchemy_testbed.checks.libraries import Library
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix

SEVERITIES = [str(severity) for severity in Severity]
# The evidence of a failure before or after the check itself.
_AROUND = ("setup: ", "teardown: ")
_LEFT_AFTER = re.compile("teardown: .*left (open|in)")
# The error that the app's own code raised in a view, with its line.
_RAISED = re.compile(r"\b500 [A-Z ]+: (?P<error>.+?), raised in (?P<at>[^\s'\"]+:\d+)")
# Where a check has found the code to change.
_MODEL = re.compile(r"The model is at (?P<at>\S+:\d+)\.")
# The backends that a product is part of; others concern all backends.
BACKENDS_OF = {
    "SQLite": {"sqlite"},
    "Python's SQLite driver": {"sqlite"},
    "MySQL": {"mysql", "mariadb"},
    "PyMySQL": {"mysql", "mariadb"},
    "PostgreSQL and MySQL": {"postgresql", "mysql", "mariadb"},
}
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
    code: str = ""
    """The lines of the change; empty if the remedy has them."""

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
        by_cause.setdefault(_cause_of(row, ids, _backends(report, row)), []).append(row)
    known = [CAUSES[name] for name in by_cause if name in CAUSES]
    found = [_group(CAUSES.get(name), rows, report, known) for name, rows in by_cause.items()]
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
        "The code is shown with cause 1." if first.code else "",
    ]
    return " ".join(filter(None, sentences))


def _backends(report: Matrix, row: CheckRow) -> set[str]:
    """Return the backends on which a check failed; a column may be one of a backend's variants."""
    servers = report["servers"]
    return {servers[column]["backend"] if column in servers else column for column in failed_on(row)}


def _cause_of(row: CheckRow, failed: set[str], backends: set[str]) -> str:
    """Return the name of the cause of a failure, or the id of its check."""
    reasons = reasons_of(row)
    if raised := _raised(row):
        return raised[0]
    if CAUSES[SESSIONS_STAY_OPEN].shown_by in failed and any(map(_LEFT.search, reasons)):
        return SESSIONS_STAY_OPEN
    if reasons and all(map(_LEFT_AFTER.match, reasons)):
        return LEFT_AFTER_CHECK
    cause = CAUSES.get(row.get("cause", ""))
    if cause and (not cause.backends or backends & set(cause.backends)):
        return cause.name if not cause.shown_by or cause.shown_by in failed else row["id"]
    return row["id"]


def _raised(row: CheckRow) -> re.Match[str] | None:
    """Return the first error that the app's own code raised in a view of the check."""
    return next(filter(None, map(_RAISED.search, reasons_of(row))), None)


def _group(cause: Cause | None, rows: list[CheckRow], report: Matrix, known: Sequence[Cause]) -> Group:
    subject = report["subject"]
    library = LIBRARIES.get(subject.get("library", ""), NO_LIBRARY)
    rows.sort(key=lambda row: (not cause or row["id"] != cause.shown_by, _weight(row.get("severity", ""))))
    part = cause.part if cause else PART_OF_GROUP.get(rows[0]["group"])
    if raised := _raised(rows[0]):
        return Group(
            rows=rows,
            summary=f"A view raised {raised['error']}.",
            severity=min((row.get("severity", "") for row in rows), key=_weight),
            default="",
            at=raised["at"],
            remedy="Mend this line of the app; then other failures may show.",
        )
    remedy, code = rows[0]["remedy"], ""
    if cause:
        session, engine = subject.get("session_name", "session"), subject.get("engine_name", "engine")
        remedy = cause.remedy_in(session=session, engine=engine, option=library.option, note=library.note)
        code = cause.code_in(session=session, engine=engine, causes=known)
    products = dict.fromkeys(_product(row, cause, library, _backends(report, row)) for row in rows)
    if len(products) > 1:
        products.pop(library.name, None)  # It keeps the default of the others.
    return Group(
        rows=rows,
        summary=cause.summary if cause else "",
        severity=min((row.get("severity", "") for row in rows), key=_weight),
        default="" if "" in products else _default(" and ".join(products), library.name),
        at=found["at"]
        if (found := next(filter(None, map(_MODEL.search, reasons_of(rows[0]))), None))
        else subject.get(f"{part}_at", "") or subject.get("factory_at", ""),
        remedy=remedy,
        code=code,
    )


def _product(row: CheckRow, cause: Cause | None, library: Library, backends: set[str]) -> str:
    """Return the product whose default a failure is; empty if the evidence shows a mistake of the app."""
    if cause and row.get("cause") != cause.name:
        return ""
    product = library.name if row["id"] in library.fails else row.get("default_of", "")
    return product if backends <= BACKENDS_OF.get(product, backends) else ""


def _weight(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _default(product: str, library: str) -> str:
    if library == product:
        return f"{library} fails this check by itself."
    return f"This is a default of {product}{f', and {library} keeps it' if library else ''}."
