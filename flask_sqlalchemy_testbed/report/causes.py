"""Group the failures of a report by their causes, in the order in which a person should mend them."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.checks.catalogue import reported
from flask_sqlalchemy_testbed.checks.causes import (
    BESIDE,
    BUSY_THREADS,
    CAUSES,
    COMMITS_LATE,
    DETACHED,
    EARLY_CONNECTION,
    ENDED_EARLY,
    ERROR_HANDLER,
    IN_FACTORY,
    KEPT,
    LEFT_AFTER_CHECK,
    LEFT_BESIDE,
    LEFT_BY_FACTORY,
    MISPLACED,
    NO_CONNECTION_LEFT,
    OTHER_ENGINE,
    PART_OF_GROUP,
    POOL_WAIT,
    SESSIONS_STAY_OPEN,
    SHARED_ENGINE,
    TEARDOWN_ORDER,
    Part,
    remedy_of_lock,
)
from flask_sqlalchemy_testbed.checks.definition import Severity
from flask_sqlalchemy_testbed.checks.explanation import severity_of
from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES, NO_LIBRARY
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.report.migrations import place_in, remedy_of
from flask_sqlalchemy_testbed.report.summary import failed_on, failures, reasons_of
from flask_sqlalchemy_testbed.report.terms import terms_of
from flask_sqlalchemy_testbed.subject.app_threads import MEANWHILE
from flask_sqlalchemy_testbed.subject.raised import CALLED, HANDLER, LOCKED, NO_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flask_sqlalchemy_testbed.checks.catalogue import Case
    from flask_sqlalchemy_testbed.checks.causes import Cause
    from flask_sqlalchemy_testbed.checks.libraries import Library
    from flask_sqlalchemy_testbed.report.matrix import CheckRow, Matrix

# So many checks of a cause are shown with their evidence; the others are named after them.
SHOWN = 3
SEVERITIES = [str(severity) for severity in Severity]
# The evidence of a failure before or after the check itself.
_AROUND = ("setup: ", "teardown: ")
_LEFT_AFTER = re.compile("teardown: .*left (open|in)")
# A call of remove() that raised keeps its session there.
_LEFT_IN_REGISTRY = re.compile("teardown: .*left in its scoped_session: .* closed or was never used")
# The error that the app's own code raised in a view, or in a function that Flask calls, with its line.
_RAISED = re.compile(
    r"(?:.*?(?:a worker failed: (?:500 [A-Z ]+: )?|\b500 (?:[A-Z ]+: |\()))?(?:(?:setup|teardown): )?"
    r"(?P<error>.+?), raised in (?P<at>[^\s'\"]+:\d+)"
    rf"(?: by (?P<by>\S+\(\), which Flask calls (?:{'|'.join({*CALLED.values()})})))?"
)
# The backends that a product is part of; others concern all backends.
BACKENDS_OF = {
    "SQLite": {"sqlite"},
    "Python's SQLite driver": {"sqlite"},
    "MySQL": {"mysql", "mariadb"},
    "PyMySQL": {"mysql", "mariadb"},
    "PostgreSQL and MySQL": {"postgresql", "mysql", "mariadb"},
}
# A function of the app that Flask calls before or after the view, with its place.
_HOOK = re.compile(r"\((?P<file>[^\s()]+), line (?P<line>\d+)\) (answered|raised|changed)\b")
# The app could not be made: the claim itself was not tried.
_NOT_MADE = re.compile(r"\bFactoryError: ")
# The app's session was on the database of another app.
_ELSEWHERE = re.compile(r"\bBoundElsewhereError: ")
# The user's function that logs in raised: the claim itself was not tried.
_LOG_IN = re.compile(
    r"\bSubjectError: (?P<error>--(?:testbed-)?as-user '\S+' raised .*?|\S+ did not end within .*?)"
    r"(?:, raised in (?P<at>[^\s'\"]+:\d+)|\Z)"
)
FAILED_LOG_IN = "failed log-in"
_LEFT = re.compile("left open: |left in its|left in their|in use after the requests|on the server after the")
_BUSY_THREAD = re.compile(f"{MEANWHILE} .*?\\((?P<file>[^()]+), line (?P<line>\\d+)\\)")
# The line of the app that a cause is in, in the evidence of each of its failures.
_PLACED = {
    cause: re.compile(rf"{words} (?P<at>[^\s,]+:\d+)")
    for cause, words in (
        (ENDED_EARLY, DETACHED),
        (ERROR_HANDLER, rf"{HANDLER} \S+ in"),
        (LEFT_BESIDE, BESIDE),
        (OTHER_ENGINE, f"(?:{KEPT}|{MISPLACED})"),
    )
}
_FIRST_USED = re.compile(r"left in .*first used at (?P<at>\S+:\d+) in ")


@dataclass(frozen=True, slots=True)
class Group:
    """The failed checks of one cause."""

    rows: Sequence[CheckRow]
    """The check that shows the cause first, then the others by severity."""
    summary: str
    """The cause in one sentence; empty for a check that fails for a reason of its own."""
    severity: str
    """The severity of the cause, or of the check; empty if it has none."""
    default: str
    """A sentence on the product whose default this is; empty for a mistake of the app."""
    at: str
    """The file and line of the app where the change is made, as `file:line`; empty if unknown."""
    remedy: str
    """The smallest change, in the app's own terms; may be empty."""
    code: str = ""
    """The lines of the change; empty if the remedy has them."""
    cause: Cause | None = None
    """Its cause, if that is known."""

    @property
    def label(self) -> str:
        """Return the severity, and whether a library's default is the cause; empty if neither is known.

        A default harms only the apps that rely on the claim.
        """
        severity = self.severity and f"{self.severity} in some uses" if self.default else self.severity
        return ", ".join(filter(None, [severity, "a library's default" if self.default else ""]))

    @property
    def shown(self) -> Sequence[CheckRow]:
        """Return the first checks, which a report shows with their evidence."""
        return self.rows[:SHOWN]

    @property
    def others(self) -> Sequence[CheckRow]:
        """Return the other checks, which a report only names, or folds."""
        return self.rows[SHOWN:]

    @property
    def cases(self) -> list[Case]:
        """Return the public reports that the first check covers; none if its claim itself did not fail."""
        return reported(self.rows[0]["cases"]) if _own(self.rows[0]) else []


def groups(report: Matrix) -> list[Group]:
    """Return the failures by cause: first mistakes of the app, then defaults; the most severe first.

    Args:
        report: A report; an older one has no severities.
    """
    failed = failures(report)
    showing = [
        (cause.name, row)
        for cause in CAUSES.values()
        # A check that got no connection of the pool shows no cause.
        for row in failed
        if not (_has_waited(row) or _failed_log_in(row))
        if not _has_busy_thread(row) or (cause.name == SESSIONS_STAY_OPEN and _is_never_ended(report))
        if _placed(row)[0] != ERROR_HANDLER
        if (row["id"] == cause.shown_by and _own(row))
        or (row["id"] in cause.left_in and any(map(_LEFT.search, _own(row))))
    ]
    # A check may show one with a place of its own instead, which then has the same consequences.
    shown = {name: " ".join(_placed(row)) for name, row in showing if any(_placed(row))}
    shown |= {name: name for name, row in showing if not any(_placed(row))}
    if any(row.get("cause") == TEARDOWN_ORDER for row in failed):
        shown[TEARDOWN_ORDER] = TEARDOWN_ORDER
    by_cause: dict[str, list[CheckRow]] = {}
    for row in failed:
        by_cause.setdefault(_cause_of(row, shown, report), []).append(row)
    found = [_group(CAUSES.get(name.partition(" ")[0]), rows, report) for name, rows in by_cause.items()]
    found.sort(key=partial(_order, threads_first=not _is_never_ended(report)))
    return _with_changes(found, report)


def _order(group: Group, *, threads_first: bool) -> tuple[bool, int, int]:
    """Return the key that sorts groups in the order of `groups`.

    Threads may disturb all other checks, and a function that raises where Flask calls it does.
    """
    names = list(CAUSES)
    of_cause = names.index(group.cause.name) if group.cause else len(names)
    raised = _raised(group.rows[0])
    is_of_threads = threads_first and group.cause is CAUSES[BUSY_THREADS]
    is_first = is_of_threads or bool(raised and raised["by"])
    return bool(group.default), -1 if is_first else _weight(group.severity), of_cause


def _with_changes(found: list[Group], report: Matrix) -> list[Group]:
    """Return the groups with their changes; a change that mends several causes is shown with the first."""
    known = [group.cause for group in found if group.cause]
    including = {name: cause for cause in known for name in cause.includes}
    numbers = {one.cause.name: number for number, one in reversed([*enumerate(found, 1)]) if one.cause}
    terms = terms_of(report["subject"], numbers)
    shown: dict[str, int] = {}
    result = []
    for number, group in enumerate(found, 1):
        if group.cause is None:
            result.append(group)
            continue
        cause = group.cause
        while cause.name in including:
            cause = including[cause.name]
        # One example has the arguments of the drivers for all causes.
        change = "arguments of drivers" if cause.connect_args else f"{cause.name} {_placed(group.rows[0])[1]}"
        if first := shown.get(change):
            check = found[first - 1].rows[0]["id"]
            remedy, code = f"The change for cause {first} ({check}) mends this one, too.", ""
            remedy = f"{remedy} {group.cause.note_in(terms)}".rstrip()
        else:
            of_group = {**terms, "OPENED_AT": _placed(group.rows[0])[1]}
            remedy, code = cause.remedy_in(of_group), cause.code_in(terms, known)
            if cause.connect_args and (others := _others_with_arguments(found, number)):
                remedy += f" The code has the arguments for {others}, too."
            shown[change] = number
        result.append(replace(group, remedy=remedy, code=code, at=_place(cause, group.rows, report)))
    return _with_same_places(result)


def _with_same_places(found: list[Group]) -> list[Group]:
    """Return the groups; the first of those whose lines have the same place names the others."""
    numbers: dict[tuple[str, str], list[int]] = {}
    for number, group in enumerate(found):
        for place in ("AFTER_ENGINE", IN_FACTORY):
            if group.code and group.cause and place in group.cause.remedy:
                numbers.setdefault((place, group.at), []).append(number)
    result = list(found)
    for first, *others in numbers.values():
        if others:
            *names, last = (f"cause {number + 1} ({found[number].rows[0]['id']})" for number in others)
            has, its = ("have", "their") if names else ("has", "its")
            words = f"{', '.join(names)} and {last}" if names else last
            sentence = (
                f"C{words[1:]} {has} the same place: add {its} lines below these, in any order, without the"
                " imports and assignments that are there already."
            )
            result[first] = replace(found[first], remedy=f"{found[first].remedy} {sentence}")
    return result


def _others_with_arguments(found: list[Group], first: int) -> str:
    """Return the numbers and checks of the later causes whose arguments of drivers one example has."""
    later = enumerate(found[first:], first + 1)
    return " and ".join(
        f"cause {number} ({group.rows[0]['id']})"
        for number, group in later
        if group.cause and group.cause.connect_args
    )


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
        _count(first, total),
        first.default,
        first.remedy,
        "The code is shown with cause 1." if first.code else "",
        "Run again after each change: it moves the lines that later causes name." if len(found) > 1 else "",
    ]
    return " ".join(filter(None, sentences))


def _count(group: Group, total: int) -> str:
    """Return a sentence on the number of checks with a cause; empty for one check."""
    if len(group.rows) == 1:
        return ""
    some = f"{len(group.rows)} of {total} failed checks"
    if group.cause is CAUSES[BUSY_THREADS]:
        return f"{some} ran while such a thread used the database: it may be the cause."
    return f"{some} have this cause."


def _backends(report: Matrix, row: CheckRow) -> set[str]:
    """Return the backends on which a check failed; a column may be one of a backend's variants."""
    servers = report["servers"]
    return {servers[column]["backend"] if column in servers else column for column in failed_on(row)}


def _own(row: CheckRow) -> list[str]:
    """Return the reasons for which the claim itself failed."""
    return [reason for reason in reasons_of(row) if not reason.startswith(_AROUND)]


def _cause_of(row: CheckRow, shown: Mapping[str, str], report: Matrix) -> str:
    """Return the name of the cause of a failure, perhaps with its place; or the id of its check."""
    reasons, backends = reasons_of(row), _backends(report, row)
    left = any(map(_LEFT.search, reasons))
    never_ended = left and SESSIONS_STAY_OPEN in shown and _is_never_ended(report)
    by_thread = _is_of_busy_thread(row, report) and not never_ended
    named = BUSY_THREADS if by_thread else _in_evidence(row)
    # Sessions that stay open have the connections that an error handler waited for, and SQLite's locks.
    waits = SESSIONS_STAY_OPEN in shown and _has_waited(row) and named.startswith(ERROR_HANDLER)
    is_kept_out = SESSIONS_STAY_OPEN in shown and _is_locked(row)
    # The change for the other cause deletes the line, too.
    deleted = f"{ENDED_EARLY} {report['subject'].get('removed_early', '')}"
    is_deleted = SESSIONS_STAY_OPEN in shown and named == deleted
    if named and not (waits or is_kept_out or is_deleted):
        return named
    if SESSIONS_STAY_OPEN in shown and (
        _has_waited(row)
        or is_kept_out
        or left
        or (not row.get("cause") and all(map(_NOT_MADE.search, reasons)))
    ):
        return shown[SESSIONS_STAY_OPEN]
    if early := NO_CONNECTION_LEFT if _has_waited(row) else _left_by_factory(reasons, report["subject"]):
        return early
    # A failing teardown leaves its session by itself, and so does one after a lost connection.
    if row.get("cause") != TEARDOWN_ORDER and reasons and all(map(_LEFT_AFTER.match, reasons)):
        is_kept = TEARDOWN_ORDER in shown and all(map(_LEFT_IN_REGISTRY.match, reasons))
        return TEARDOWN_ORDER if is_kept else LEFT_AFTER_CHECK
    cause = CAUSES.get(row.get("cause", ""))
    if cause and not _has_option(row) and (not cause.backends or backends & set(cause.backends)):
        # The commit of a callback fails after a failed flush.
        late = COMMITS_LATE in shown and any("PendingRollbackError" in reason for reason in reasons)
        if cause.shown_by and cause.name not in shown:
            cause_here = COMMITS_LATE if late else _causing(row, shown)
        else:
            cause_here = shown.get(cause.name, cause.name)
        return cause_here or row["id"]
    return row["id"]


def _causing(row: CheckRow, shown: Mapping[str, str]) -> str:
    """Return the first shown cause whose consequences include a failure; empty if there is none."""
    names = (name for name in CAUSES if name in shown and row["id"] in CAUSES[name].consequences)
    return next((shown[name] for name in names), "")


def _left_by_factory(reasons: Iterable[str], subject: Mapping[str, str]) -> str:
    """Return the cause if all that is left is a session that the app used while it was made; else empty."""
    places = {found["at"] if (found := _FIRST_USED.search(reason)) else "" for reason in reasons}
    for use, cause in (("used_outside", LEFT_BY_FACTORY), ("used_early", SESSIONS_STAY_OPEN)):
        if places and places <= set(subject.get(use, "").split(", ")) - {""}:
            return cause
    return ""


def _in_evidence(row: CheckRow) -> str:
    """Return the cause that the evidence of a check names, with its place; empty if it names none."""
    if _failed_log_in(row):
        return FAILED_LOG_IN
    if raised := _raised(row):
        return f"raised {raised['at']}"
    is_elsewhere = bool(own := _own(row)) and all(map(_ELSEWHERE.search, own))
    return SHARED_ENGINE if is_elsewhere else " ".join(_placed(row)).strip()


def _placed(row: CheckRow) -> tuple[str, str]:
    """Return the cause that the evidence of a check names, and its place; two empty texts if none."""
    for cause, pattern in _PLACED.items():
        for found in filter(None, map(pattern.search, reasons_of(row))):
            return cause, found["at"]
    return "", ""


def _raised(row: CheckRow) -> re.Match[str] | None:
    """Return the first error that the app's own code raised in a request of the check.

    A line that waited for a connection of the pool is no mistake: others have the connections.
    """
    return None if _has_waited(row) else next(filter(None, map(_RAISED.match, reasons_of(row))), None)


def _has_waited(row: CheckRow) -> bool:
    """Return whether a request of the check waited for a connection of the pool and got none."""
    return any(POOL_WAIT in reason for reason in reasons_of(row))


def _is_locked(row: CheckRow) -> bool:
    """Return whether SQLite's database was locked for a function of the app in a request of the check."""
    return bool((found := _raised(row)) and LOCKED.search(found["error"]))


def _has_busy_thread(row: CheckRow) -> bool:
    """Return whether a thread of the app used the database while something was left open."""
    return any(_BUSY_THREAD.search(reason) for reason in reasons_of(row))


def _failed_log_in(row: CheckRow) -> re.Match[str] | None:
    """Return the error of the user's function that logs in, if that is all that the check shows."""
    found = [_LOG_IN.search(reason.removeprefix("setup: ")) for reason in reasons_of(row)]
    return found[0] if found and all(found) else None


def _is_of_busy_thread(row: CheckRow, report: Matrix) -> bool:
    """Return whether a thread is the cause of a failure: a default of a product fails without one, too."""
    return _has_busy_thread(row) and not (row.get("default_of") or row["id"] in _library(report).fails)


def _is_never_ended(report: Matrix) -> bool:
    """Return whether no code of the app ends its session: what is left open then needs no thread."""
    return bool(report["subject"].get("never_ended"))


def _has_option(row: CheckRow) -> bool:
    """Return whether the engine has the option that would mend the cause of the check."""
    cause = CAUSES.get(row.get("cause", ""))
    return cause is not None and cause.is_mended_in(reasons_of(row))


def _library(report: Matrix) -> Library:
    return LIBRARIES.get(report["subject"].get("library", ""), NO_LIBRARY)


def _place(cause: Cause, rows: Sequence[CheckRow], report: Matrix) -> str:
    """Return where the change for a cause is made, as `file:line`; empty if unknown."""
    if cause is CAUSES[EARLY_CONNECTION] and (used := report["subject"].get("used_early")):
        return used.partition(",")[0]
    moved = _library(report).after_engine and "AFTER_ENGINE" in cause.remedy
    part = Part.LIBRARY if moved else cause.part
    return _at(part, rows, report, by_thread=cause is CAUSES[BUSY_THREADS])


def _at(part: Part | None, rows: Sequence[CheckRow], report: Matrix, *, by_thread: bool = False) -> str:
    """Return where a change is made, as `file:line`; empty if unknown."""
    if found := place_in(rows[0]) or _placed(rows[0])[1]:
        return found
    thread = next(filter(None, map(_BUSY_THREAD.search, reasons_of(rows[0]))), None)
    if thread and by_thread:
        return f"{thread['file']}:{thread['line']}"
    if _has_option(rows[0]):
        hook = next(filter(None, map(_HOOK.search, reasons_of(rows[0]))), None)
        return f"{hook['file']}:{hook['line']}" if hook else ""
    subject = report["subject"]
    return subject.get(f"{part}_at", "") or subject.get("factory_at", "")


def _group(cause: Cause | None, rows: list[CheckRow], report: Matrix) -> Group:
    library = _library(report)
    first = (cause.shown_by, *cause.left_in) if cause else ()
    # A consequence has no place, or that of another cause.
    name = cause.name if cause else ""
    rows.sort(
        key=lambda row: (_placed(row)[0] != name, row["id"] not in first, _weight(row.get("severity", "")))
    )
    severity = rows[0].get("severity", "")
    summary = remedy = ""
    if found := _failed_log_in(rows[0]):
        summary = f"The battery could not log in: {found['error']}."
        remedy = (
            "Correct this function, or the app: it is called for each check, on an app that was just made,"
            " with an empty database. The claims of these checks were not tried."
        )
    elif found := _raised(rows[0]):
        summary = f"{found['by'] or 'A view'}{',' if found['by'] else ''} raised {found['error']}."
        remedy = _remedy_of_error(found["error"], report)
    if found:
        return Group(
            rows=rows, summary=summary, severity=severity, default="", at=found["at"] or "", remedy=remedy
        )
    products = dict.fromkeys(_product(row, cause, library, _backends(report, row)) for row in rows)
    if len(products) > 1:
        products.pop(library.name, None)  # It keeps the default of the others.
    return Group(
        rows=rows,
        summary=cause.summary if cause else "",
        severity=(cause and severity_of(cause.name)) or severity,
        default="" if "" in products else _default(", and of ".join(products), library.name),
        at=_at(PART_OF_GROUP.get(rows[0]["group"]), rows, report),
        remedy=_remedy_of_check(rows[0], report),
        cause=cause,
    )


def _remedy_of_error(error: str, report: Matrix) -> str:
    """Return the remedy of an error that the app's own code raised."""
    if LOCKED.search(error):
        return remedy_of_lock(terms_of(report["subject"], {}))
    if NO_TABLE.search(error):
        return (
            f"The battery did not create this table: name its metadata with {flag('metadata')}"
            " MODULE:ATTRIBUTE, or have this line expect that the table is missing."
        )
    return "Mend this line of the app; then other failures may show."


def _remedy_of_check(row: CheckRow, report: Matrix) -> str:
    """Return the remedy of a check by itself; name the check that was left out and could show a cause."""
    cause = CAUSES.get(row.get("cause", ""))
    if cause and _has_option(row):
        return f"The engine has {cause.option} already. Mend the error or the function in the evidence."
    if cause and cause.backends and not _backends(report, row) & set(cause.backends):
        # The check's remedy is for other drivers.
        left = any(map(_LEFT.search, reasons_of(row)))
        return CAUSES[LEFT_AFTER_CHECK].remedy_in(terms_of(report["subject"], {})) if left else ""
    if not cause or not cause.shown_by or any(one["id"] == cause.shown_by for one in report["checks"]):
        return remedy_of(row)
    return f"{row['remedy']} Run {cause.shown_by}, too: if it fails, the output shows the code of the change."


def _product(row: CheckRow, cause: Cause | None, library: Library, backends: set[str]) -> str:
    """Return the product whose default a failure is; empty if the evidence shows a mistake of the app."""
    if _has_option(row) or _failed_log_in(row) or (cause and row.get("cause") != cause.name):
        return ""
    product = library.name if row["id"] in library.fails else row.get("default_of", "")
    return product if backends <= BACKENDS_OF.get(product, backends) else ""


def _weight(severity: str) -> int:
    return SEVERITIES.index(severity) if severity in SEVERITIES else len(SEVERITIES)


def _default(product: str, library: str) -> str:
    if library == product:
        return f"{library} fails this check by itself."
    return f"This is a default of {product}{f', and {library} keeps it' if library else ''}."
