"""Finds out what nobody told: where the app is, how it is made, and where it keeps its session."""

from __future__ import annotations

import contextlib
import traceback
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject import discovery
from flask_sqlalchemy_testbed.subject.discovery import find, imported
from flask_sqlalchemy_testbed.subject.errors import (
    BoundElsewhereError,
    FruitlessError,
    NoSessionError,
    StartedElsewhereError,
    SubjectError,
)
from flask_sqlalchemy_testbed.subject.guard import ForbiddenDatabaseError
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, context_of

if TYPE_CHECKING:
    from flask import Flask

    from flask_sqlalchemy_testbed.subject.subject import Subject


LIBRARIES = {"sqlalchemy", "sqlite3", "alembic"}
ADVICE = "Name the place where it reads the URI: --testbed-uri-key KEY, or --testbed-uri-env VARIABLE."


def resolve(subject: Subject, uri: str) -> None:
    """Complete the subject, trying it on the empty database of `uri`; `SubjectError` says what was tried.

    Each way of making it that its signature allows is tried once: the way counts that makes an app whose
    session is bound to that database.
    """
    _locate(subject, uri)
    on_import = subject.by_environment
    tried: dict[str, SubjectError] = {}
    notes, session = list(subject.notes), subject.session_path
    for way in list(subject.ways()):
        if tried:
            subject.end()
            subject.notes, subject.session_path = list(notes), session
            if isinstance(list(tried.values())[-1], BoundElsewhereError):
                # The engine of that attempt may be kept in a global.
                subject.forget()
        subject.way = way.name
        subject.by_environment = on_import or way.by_environment
        try:
            subject.start(uri)
            app = subject.call(way, uri)
            _find_session(subject, app)
            subject.check_binding(app, uri).dispose()
        except NoSessionError:
            raise
        except SubjectError as error:
            tried[way.told] = error
        else:
            subject.notes.append(_told(subject, way.told))
            subject.own = sorted(subject.modules())
            return
    subject.end()
    raise _complaint(subject, tried)


def _complaint(subject: Subject, tried: dict[str, SubjectError]) -> SubjectError:
    kind = FruitlessError if any(_is_of_the_database(error) for error in tried.values()) else SubjectError
    if not tried:
        return kind(
            f"{subject} takes arguments that nobody can guess. Write them out, and have it read the URI from"
            " its environment: --testbed-app \"myapp:create_app('testing')\" --testbed-uri-env DATABASE_URL."
        )
    if len(tried) == 1:
        (error,) = tried.values()
        return kind(f"{error} {ADVICE}" if isinstance(error, BoundElsewhereError) else str(error))
    reasons: dict[str, list[str]] = {}
    for way, error in tried.items():
        reasons.setdefault(_short(subject, error).replace(f" when called {way}", ""), []).append(way)
    lines = "".join(f"\n  {', '.join(them)}: {reason}" for reason, them in reasons.items())
    told = f"{subject} was made in {len(tried)} ways, and none led to the database that it was given:"
    return kind(f"{told}{lines}\n{ADVICE}")


def _is_of_the_database(error: BaseException | None) -> bool:
    """Whether it was raised by a library of the database, which may have asked too much of this one."""
    while error is not None:
        frames = traceback.walk_tb(error.__traceback__)
        if any(frame.f_globals.get("__name__", "").partition(".")[0] in LIBRARIES for frame, _ in frames):
            return not isinstance(error, ForbiddenDatabaseError)
        error = error.__cause__
    return False


def _short(subject: Subject, error: SubjectError) -> str:
    """The first sentence, without what all of them say."""
    return str(error).strip().splitlines()[0].removeprefix(f"{subject} ").partition(". ")[0]


def _locate(subject: Subject, uri: str) -> None:
    """Imports it. Nothing is called yet."""
    place = discovery.locate(subject.app_path)
    subject.roots, subject.folder = [place.module], place.folder
    if subject.uri_env:
        subject.set_environment(uri)
    try:
        _import(subject, place)
    except SubjectError as error:
        if not _wants_its_variable_on_import(subject, error):
            raise
        subject.by_environment = True
        subject.set_environment(uri)
        subject.forget()
        try:
            _import(subject, place)
        except StartedElsewhereError:
            raise error from None
    with subject.guarded():
        found = place if place.attribute else place.with_attribute(discovery.best_of(place))
        subject.app_path = str(found)
        if place.how or not place.attribute:
            subject.notes.append(f"found {place.how or f'in {place.module}'}")
        app = subject.found()
        if not callable(app):
            message = f"{subject} is no factory and no app: it cannot be called."
            raise SubjectError(message)
        subject.roots = list(dict.fromkeys([place.module, getattr(app, "__module__", None) or place.module]))
        if subject.session_path:
            _check_session(subject)


def _import(subject: Subject, place: discovery.Place) -> None:
    with subject.guarded():
        imported(place.module, f"--testbed-app {str(place)!r}")


def _wants_its_variable_on_import(subject: Subject, error: SubjectError) -> bool:
    """Many an app reads it then: does not do without, or connects to a database of its own at once."""
    if subject.uri_env:
        return False
    if isinstance(error.__cause__, KeyError) and error.__cause__.args[0] in URI_VARIABLES:
        subject.uri_env = str(error.__cause__.args[0])
        return True
    return isinstance(error, StartedElsewhereError)


def _check_session(subject: Subject) -> None:
    """Refuses a name that can mean no session."""
    found = find(subject.session_path, "--testbed-session")
    with contextlib.suppress(RuntimeError):  # Flask's own: it is kept in a context, and there only.
        subject.session_is_called = not _is_session(found) and callable(found)
        if isinstance(found, type) or not (_is_session(found) or callable(found)):
            kind = found.__name__ if isinstance(found, type) else type(found).__name__
            message = (
                f"--testbed-session {subject.session_path!r} is no session: a {kind} has no get_bind and"
                " execute."
                " Name a scoped_session, such as app.database:db_session, or a callable that returns the"
                " session of the context."
            )
            raise SubjectError(message)


def _find_session(subject: Subject, app: Flask) -> None:
    """Where none is named: that of an extension, else the only `scoped_session` of the project."""
    with context_of(app):
        kept = None if subject.session_path else discovery.kept_in(app)
        if subject.session_is_called:
            _check_what_it_returns(subject)
    if kept or subject.session_path:
        if kept:
            subject.notes.append(f"session in app.extensions[{kept[0]!r}]")
        return
    found = discovery.scoped_sessions(subject.modules())
    if len(found) != 1:
        several = f"there are several: {', '.join(found.values())}" if found else "there is none"
        message = (
            f"{subject} keeps no session in app.extensions, and of scoped_session in its modules {several}."
            f" Name it: --testbed-session myapp.db:session."
        )
        raise NoSessionError(message)
    subject.session_path = next(iter(found.values()))
    subject.notes.append(f"session {subject.session_path}, the only scoped_session of its modules")


def _check_what_it_returns(subject: Subject) -> None:
    """The session of the context: one, however often it is asked."""
    call = find(subject.session_path, "--testbed-session")
    try:
        first, second = call(), call()
    except Exception as error:
        message = (
            f"--testbed-session {subject.session_path!r} raised {type(error).__name__} when called: {error}"
        )
        raise NoSessionError(message) from error
    if first is second and _is_session(first):
        return
    for made in (first, second):
        with contextlib.suppress(Exception):
            made.close()
    what = f"a {type(first).__name__}" if first is second else "another one at each call"
    message = (
        f"--testbed-session {subject.session_path!r} returned {what} in a context. It should return the"
        " session of the context, always the same."
    )
    raise NoSessionError(message)


def _told(subject: Subject, way: str) -> str:
    how = f"made {way}" if subject.makes_several_apps else f"one app, {way}"
    if subject.by_environment:
        return f"{how}, the URI in {subject.variables()}"
    return f"{how}, the URI under {subject.keys()}" if "=" not in way else how


def _is_session(found: object) -> bool:
    return not isinstance(found, type) and all(
        callable(getattr(found, name, None)) for name in ("get_bind", "execute")
    )
