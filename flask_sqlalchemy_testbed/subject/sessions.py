"""Find the session of an app: named by the user, in an extension, or in a module."""

from __future__ import annotations

import ast
import contextlib
import inspect
import sys
from typing import TYPE_CHECKING, Any

from sqlalchemy.orm import scoped_session

from flask_sqlalchemy_testbed.checks.libraries import LIBRARIES
from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import file_of, find
from flask_sqlalchemy_testbed.subject.errors import NoSessionError, ReadingError, SubjectError
from flask_sqlalchemy_testbed.subject.raised import in_words, line_of_app
from flask_sqlalchemy_testbed.subject.source import parsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from flask import Flask

# Names in `app.extensions`, and the attribute or method that is the session of the current context.
SESSION = "session"
WITHOUT_A_SESSION = (
    " The battery cannot test an app that opens a session for each block:"
    " for it, write tests with the fixtures."
)
NAME_A_CALLABLE = "Name a callable that returns the session of the context"
# How the battery reads the session of an app before the checks, to end a clause.
WITHOUT_A_REQUEST = " in an app context without a request"
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
    scoped = _objects(modules, lambda value: isinstance(value, scoped_session))
    # As in alchemical: the object keeps the session of the context, and no extension is registered.
    keepers = {} if scoped else _objects(modules, _keeps_a_session)
    paths = [*scoped.values(), *(f"{path}.{SESSION}" for path in keepers.values())]
    if len(paths) == 1:
        kind = "scoped_session" if scoped else "object with a session"
        return paths[0], f"session {paths[0]}, the only {kind} of its modules"
    what = f"several sessions: {', '.join(paths)}" if paths else "no scoped_session"
    if not paths and (message := _of_an_extension(app, modules)):
        raise NoSessionError(message)
    advice = (
        f"Name the session: {flag('session')} {paths[0]}." if paths else name_a_session() + WITHOUT_A_SESSION
    )
    message = f"No extension of the app keeps a session, and the app's modules hold {what}. {advice}"
    raise NoSessionError(message)


def _of_an_extension(app: Flask, modules: Iterable[str]) -> str:
    """Return why the app's extension keeps no session, and what to do; empty if there is no extension."""
    registered = {id(extension) for extension in app.extensions.values()}
    for number, path in _objects(modules, _is_an_extension_with_a_session).items():
        module, _, name = path.partition(":")
        value = getattr(sys.modules[module], name)
        if not _is_of_a_library(value):  # Its init_app() need not register it.
            return (
                f"{path}.{SESSION} {_complaint(value)}. {NAME_A_CALLABLE}: {flag('session')} module:function."
            )
        if number not in registered:
            return f"{path} is not registered with the app. Call its init_app(app) in the factory."
    return ""


def _is_of_a_library(value: Any) -> bool:
    known = {library.module for library in LIBRARIES.values()}
    return any(kind.__module__.partition(".")[0] in known for kind in type(value).__mro__)


def _complaint(value: Any) -> str:
    """Return what is wrong with an attribute `session`, to follow its name."""
    try:
        found = value.session
    except Exception as error:  # noqa: BLE001 - the code of the app may raise any
        line = line_of_app(error)
        return f"raised an error{WITHOUT_A_REQUEST}{f', at {line}' if line else ''}: {in_words(error)}"
    if _is_session(found):
        return "is another session each time that it is read"
    return f"is no session{WITHOUT_A_REQUEST}: it is of the type {type(found).__name__}"


def name_a_session() -> str:
    """Return the remedy of an app whose session was not found, in one sentence."""
    return (
        "Name the session, or a function that returns it, such as one that returns g.db:"
        f" {flag('session')} myapp.db:get_db."
    )


def _objects(modules: Iterable[str], is_wanted: Callable[[Any], bool]) -> dict[int, str]:
    """Return the path of each wanted object, by its id: the first in a module that assigns the name."""
    found: dict[int, str] = {}
    defined: dict[int, str] = {}
    for module in sorted(modules):
        for name, value in list(vars(sys.modules.get(module, object)).items()):
            if is_wanted(value):
                found.setdefault(id(value), f"{module}:{name}")
                if id(value) not in defined and _assigns(module, name):
                    defined[id(value)] = f"{module}:{name}"
    return found | defined


def _assigns(module: str, name: str) -> bool:
    """Return whether the code of a module assigns a name; an import only repeats it."""
    tree = parsed(file_of(module))
    return tree is not None and any(
        isinstance(node, ast.Name) and node.id == name and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )


def _is_an_extension_with_a_session(value: Any) -> bool:
    # Not getattr: a proxy reads its context.
    return not isinstance(value, type) and all(
        inspect.getattr_static(value, name, None) is not None for name in ("init_app", SESSION)
    )


def _keeps_a_session(value: Any) -> bool:
    """Return whether a property of an object is the session of the current context."""
    kind = type(value)
    if kind.__module__.partition(".")[0] in {"flask", "werkzeug"}:  # Proxies read their context.
        return False
    if not isinstance(inspect.getattr_static(kind, SESSION, None), property):
        return False
    try:
        return _is_session(value.session) and value.session is value.session
    except Exception:  # noqa: BLE001 - it is no session of this context, whatever it is
        return False


def check_session(path: str) -> bool:
    """Return whether a path names a callable that returns the session; call it in a context of the app.

    Args:
        path: The session or the callable, as `module:attribute`.

    Raises:
        NoSessionError: the path names neither.
    """
    try:
        found = find(path, flag("session"))
    except ReadingError as error:
        message = f"{error}. It was read{WITHOUT_A_REQUEST}. {NAME_A_CALLABLE}."
        raise NoSessionError(message) from error
    except SubjectError as error:
        raise NoSessionError(str(error)) from error
    try:
        if _is_session(found):
            return False
    except Exception as error:  # A proxy may need a request.
        message = (
            f"{flag('session')} {path!r} is not a session of SQLAlchemy: reading its attributes raised"
            f" {type(error).__name__}. Name a scoped_session, or a callable that returns the session of the"
            " context."
        )
        raise NoSessionError(message) from error
    if callable(found) and not isinstance(found, type):
        _check_returned_session(path, found)
        return True
    kind = found.__name__ if isinstance(found, type) else type(found).__name__
    message = (
        f"{flag('session')} {path!r} is not a session: a {kind} has no get_bind and execute."
        " Name a scoped_session, or a callable that returns the session of the context."
    )
    raise NoSessionError(message)


def _check_returned_session(path: str, call: Callable[[], Any]) -> None:
    """Raise NoSessionError if the callable raises, or does not return one session in one context."""
    try:
        first, second = call(), call()
    except Exception as error:
        raise NoSessionError(_refused_call(path, error)) from error
    if first is second and _is_session(first):
        return
    for made in (first, second):
        with contextlib.suppress(Exception):
            made.close()
    what = f"a {type(first).__name__}" if first is second else "another one at each call"
    message = (
        f"{flag('session')} {path!r} returned {what} in a context."
        " Name a callable that returns the session of the context, the same at each call."
        f"{'' if first is second else WITHOUT_A_SESSION}"
    )
    raise NoSessionError(message)


def _refused_call(path: str, error: Exception) -> str:
    """Return the fault of a call that raised, and its remedy."""
    kind, _, text = in_words(error).partition(": ")
    where = f", in {line}" if (line := line_of_app(error)) else ""
    remedy = (
        "The session must exist in such a context, too: have the function open it when it is first asked for,"
        ' such as with `if "db" not in g: g.db = Session()`.'
        if where
        else "Name a callable without arguments that returns the session of the context."
    )
    return (
        f"{flag('session')} {path!r} raised {kind} when called{WITHOUT_A_REQUEST}{where}"
        f"{f': {text}' if text else ''}. {remedy}"
    )


def _is_session(found: object) -> bool:
    return not isinstance(found, type) and all(
        callable(getattr(found, name, None)) for name in ("get_bind", "execute")
    )
