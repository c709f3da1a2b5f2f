"""Find the session of an app: named by the user, in an extension, or in a module."""

from __future__ import annotations

import contextlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.errors import NoSessionError, SubjectError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from flask import Flask

# Names in `app.extensions`, and the attribute or method that is the session of the current context.
EXTENSIONS = {"sqlalchemy": "session", "advanced_alchemy": "get_sync_session"}


def extension_session(app: Flask) -> tuple[str, Any] | None:
    """Return the name of the extension that keeps a session, and the session.

    Call it in a context of `app`.
    """
    for name, attribute in EXTENSIONS.items():
        extension = app.extensions.get(name)
        if hasattr(type(extension), attribute) or attribute in getattr(extension, "__dict__", {}):
            found = getattr(extension, attribute)
            return name, found() if inspect.ismethod(found) else found
    return None


def find_session(app: Flask, modules: Iterable[str]) -> tuple[str, str]:
    """Find the session of an app whose user names none; call it in a context of `app`.

    Args:
        app: its extensions are searched first.
        modules: the names of the app's own modules.

    Returns:
        The session as `module:attribute`, empty where an extension keeps it; and a note on where it is.

    Raises:
        NoSessionError: there is none, or there are several.
    """
    if kept := extension_session(app):
        return "", f"session in app.extensions[{kept[0]!r}]"
    found: dict[int, str] = {}
    for module in sorted(modules):
        for name, value in vars(sys.modules.get(module, object)).items():
            if isinstance(value, scoped_session):
                found.setdefault(id(value), f"{module}:{name}")
    if len(found) != 1:
        what = f"several scoped_sessions: {', '.join(found.values())}" if found else "no scoped_session"
        message = (
            f"No extension of the app keeps a session, and the app's modules hold {what}."
            f" Name the session: {flag('session')} myapp.db:session."
        )
        raise NoSessionError(message)
    (path,) = found.values()
    return path, f"session {path}, the only scoped_session of its modules"


def is_callable_for_session(path: str) -> bool:
    """Return whether a path names a callable that returns the session.

    Raises:
        SubjectError: the path names neither.
    """
    found = find(path, flag("session"))
    try:
        if _is_session(found):
            return False
        if callable(found) and not isinstance(found, type):
            return True
    except RuntimeError:  # Flask raises it: the session is kept in a context, and is there only.
        return False
    kind = found.__name__ if isinstance(found, type) else type(found).__name__
    message = (
        f"{flag('session')} {path!r} is not a session: a {kind} has no get_bind and execute."
        " Name a scoped_session, or a callable that returns the session of the context."
    )
    raise SubjectError(message)


def check_returned_session(path: str) -> None:
    """Check that a callable returns one session in one context; call it in a context of the app.

    Raises:
        NoSessionError: the callable raises, returns no session, or returns another session at each call.
    """
    call = find(path, flag("session"))
    try:
        first, second = call(), call()
    except Exception as error:
        message = f"{flag('session')} {path!r} raised {type(error).__name__} when called: {error}"
        raise NoSessionError(message) from error
    if first is second and _is_session(first):
        return
    for made in (first, second):
        with contextlib.suppress(Exception):
            made.close()
    what = f"a {type(first).__name__}" if first is second else "another one at each call"
    message = (
        f"{flag('session')} {path!r} returned {what} in a context."
        " Name a callable that returns the session of the context, the same at each call."
    )
    raise NoSessionError(message)


def _is_session(found: object) -> bool:
    return not isinstance(found, type) and all(
        callable(getattr(found, name, None)) for name in ("get_bind", "execute")
    )
