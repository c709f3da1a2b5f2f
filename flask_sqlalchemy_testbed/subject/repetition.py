"""Find out how many apps one process can make, by making a second one on another database."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.redaction import redact
from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import check_binding, engine_of
from flask_sqlalchemy_testbed.subject.errors import BoundElsewhereError, FactoryError, SubjectError
from flask_sqlalchemy_testbed.subject.lookups import Lookups
from flask_sqlalchemy_testbed.subject.other_process import make_in_another_process
from flask_sqlalchemy_testbed.subject.subject import Apps

if TYPE_CHECKING:
    from flask_sqlalchemy_testbed.subject.attempt import Attempt
    from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
    from flask_sqlalchemy_testbed.subject.subject import Subject

READ_ON_IMPORT = "the app reads the URI when its modules are imported, so all apps of a process share it"
STARTS = "each app starts threads that outlive its check, so make it without them if they use the database:"
LONGEST_REASON = 160


def with_number_of_apps(attempt: Attempt, modules: ProjectModules, uri: str, other_uri: str) -> Subject:
    """Return the subject of an attempt, with the number of apps that one process can make.

    Args:
        attempt: The attempt, which has made an app on `uri`; it is closed.
        modules: The modules of the project.
        uri: The database of that app.
        other_uri: Another empty database of the run.

    Raises:
        SubjectError: A second app cannot be made, not even in another process.
    """
    before = set(threading.enumerate())
    reason = attempt.subject.why_not_several or _why_not_several(attempt, uri, other_uri)
    attempt.close()
    started = sorted({thread.name for thread in threading.enumerate() if thread not in before})
    notes = (f"{STARTS} {', '.join(map(repr, started))}",) if started else ()
    subject = replace(attempt.subject, notes=attempt.subject.notes + notes)
    if not reason:
        return subject
    if not subject.is_for_the_testbed:  # Nothing of such a function is imported again.
        single = replace(subject, apps=Apps.ONE_AT_A_TIME, why_not_several=reason)
        with contextlib.suppress(SubjectError), contextlib.closing(AppMaker(single, modules)) as maker:
            maker.start(other_uri, dict.fromkeys(single.binds, other_uri))
            engine_of(single, maker.make(other_uri)).dispose()
            return replace(single, imports_once=modules.import_twice is False)
        if modules.import_error and not subject.makes_several_apps:
            reason = f"{reason}, and a second import raised {_short(modules.import_error)}"
    try:
        found = make_in_another_process(replace(subject, why_not_several=reason), other_uri)
    except SubjectError as error:
        message = f"{subject} made one app, but no second one: {reason}. Also in another process: {error}"
        raise SubjectError(message) from error
    return replace(found, notes=subject.notes)


def _why_not_several(attempt: Attempt, uri: str, other_uri: str) -> str:
    """Make a second app beside the first, and return why that fails; empty if it does not."""
    subject = attempt.subject
    with Lookups() as lookups:
        try:
            second = attempt.maker.make(other_uri)
        except FactoryError as error:
            return (
                f"the factory makes one app only: its second call raised {_short(error.__cause__ or error)}"
            )
        except BoundElsewhereError:
            if subject.is_for_the_testbed:
                return "the function made its second app on the database of the first"
            # Otherwise the app was told of its database and ignored it: that is left to the checks.
            reads_later = set(subject.variables) & lookups.names.keys()
            return READ_ON_IMPORT if attempt.call.by_environment and not reads_later else ""
        except SubjectError:
            return ""
    engine_of(subject, second).dispose()
    if subject.is_for_the_testbed:
        try:
            check_binding(subject, attempt.app, uri)
        except SubjectError:
            return "the second app of the function changed the database of the first"
    return ""


def _short(error: BaseException) -> str:
    """Return the first sentence of an error."""
    lines = redact(f"{type(error).__name__}: {error}").strip().splitlines()
    text = lines[0].partition(". ")[0].rstrip(".")
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]} …"
