"""Find out which database an app's session is bound to, without sending a statement."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.errors import BoundElsewhereError, SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from flask import Flask
    from sqlalchemy.engine import URL, Engine

    from flask_sqlalchemy_testbed.subject.subject import Subject


@contextlib.contextmanager
def context_of(app: Flask) -> Iterator[None]:
    """Enter a context of the app; an exception of its teardown is left for the checks to find."""
    context = app.app_context()
    context.push()
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            context.pop()


def engine_of(subject: Subject, app: Flask) -> Engine:
    """Return the engine that the session is bound to inside `app`.

    A session that is made to find out is removed again, even where the app itself would leave it.

    Args:
        subject: The app and its session, by name.
        app: An app of the subject.

    Returns:
        The engine of the session.

    Raises:
        SubjectError: the session has no engine there.
    """
    with _removing_new_session(subject), context_of(app), _removing_new_session(subject):
        try:
            bind = subject.session.get_bind()
        except Exception as error:
            path = subject.session_path
            session = f"{flag('session')} {path!r}" if path else "The session that was found"
            message = (
                f"{session} has no engine inside a context of {subject}: {type(error).__name__}: {error}"
            )
            raise SubjectError(message) from error
    return bind.engine  # type: ignore[no-any-return]


def check_binding(subject: Subject, app: Flask, uri: str) -> Engine:
    """Return the engine of the session inside `app`, if it is on the database of `uri`.

    Args:
        subject: the app and its session, by name.
        app: an app of the subject.
        uri: the database that the app was given.

    Raises:
        BoundElsewhereError: it is on another database.
        SubjectError: the session has no engine there.
    """
    engine = engine_of(subject, app)
    if is_same_database(make_url(uri), engine.url):
        return engine
    engine.dispose()
    message = (
        f"{subject} is bound to {engine.url.render_as_string()}, not to the database that it was given"
        f" {subject.where_the_uri_is}."
    )
    raise BoundElsewhereError(message)


def is_same_database(given: URL, bound: URL) -> bool:
    """Return whether both URLs mean one database; drivers and options may differ."""
    if given.get_backend_name() != "sqlite":
        return (given.host, given.port, given.database) == (bound.host, bound.port, bound.database)
    if bound.get_backend_name() != "sqlite" or is_in_memory(given) != is_in_memory(bound):
        return False
    if is_in_memory(given):
        return True
    path, bound_path = Path(given.database or ""), Path(bound.database or "")
    # The app decides which folder a relative path is in.
    return path.resolve() == bound_path.resolve() if path.is_absolute() else path.name == bound_path.name


def is_in_memory(url: URL) -> bool:
    """Return whether the URL is of a SQLite database that is no file."""
    return url.get_backend_name() == "sqlite" and _names_no_file(url)


def _names_no_file(url: URL) -> bool:
    return url.database in {None, "", ":memory:"} or bool({"memdb", "memory"} & set(url.query.values()))


@contextlib.contextmanager
def _removing_new_session(subject: Subject) -> Iterator[None]:
    before = _scope_has_session(subject)
    yield
    if before is False and _scope_has_session(subject):
        subject.session.remove()


def _scope_has_session(subject: Subject) -> bool | None:
    """Return whether this scope has a session; None where the session has no scopes."""
    with contextlib.suppress(Exception):
        return bool(subject.session.registry.has())
    return None
