"""The app under test, which the command line names: nothing here knows a particular one."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask
from sqlalchemy import make_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy.engine import URL, Engine


class SubjectError(Exception):
    """The subject cannot be tried; one sentence says what was tried and how to say it right."""


class RefusedError(SubjectError):
    """The factory itself raised."""


def find(path: str, option: str) -> Any:
    """What `module:attribute.path` names, looked up anew; the working directory is searched too."""
    module, colon, attributes = path.partition(":")
    if not (module and colon and attributes):
        message = f"{option} {path!r} is not of the form module:attribute."
        raise SubjectError(message)
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(module)
    except Exception as error:
        message = f"{option} {path!r}: importing {module!r} raised {type(error).__name__}: {error}"
        raise SubjectError(message) from error
    for name in attributes.split("."):
        if not hasattr(found, name):
            message = f"{option} {path!r}: {module!r} has no {attributes!r}; {name!r} was not found."
            raise SubjectError(message)
        found = getattr(found, name)
    return found


class Subject:
    """An app's factory and its session, by name.

    `app` names a callable that takes a mapping; the database's URI is in it under `uri_key`, whose
    dots reach into nested mappings. `session` names a `scoped_session`, or anything that is used
    like a session inside a context. `uri_env` names the environment variable in which an app that
    makes its engine when it is imported finds the URI; see `start`.
    """

    def __init__(self, app: str, session: str, uri_key: str, uri_env: str = "") -> None:
        self.app_path = app
        self.session_path = session
        self.uri_key = uri_key
        self.uri_env = uri_env

    def load(self) -> None:
        """Import both, or raise `SubjectError`; nothing is called yet."""
        if not callable(self._factory()):
            message = f"--app {self.app_path!r} is no factory: it cannot be called."
            raise SubjectError(message)
        try:
            session = self.session
            is_one = all(callable(getattr(session, name, None)) for name in ("get_bind", "execute"))
        except RuntimeError:
            # Flask's own: one that is kept in a context can be looked at in none but that.
            return
        if not is_one:
            message = (
                f"--session {self.session_path!r} is no session: a {type(session).__name__} has no"
                " get_bind and execute. Name a scoped_session, such as app.database:db_session."
            )
            raise SubjectError(message)

    def start(self, uri: str) -> None:
        """Begin as a process does whose environment holds the URI, where the subject reads it there.

        Its modules are imported anew, for what they did with the variable they did on import.
        """
        if not self.uri_env:
            return
        os.environ[self.uri_env] = uri
        for path in (self.app_path, self.session_path):
            module = path.partition(":")[0]
            for name in [name for name in sys.modules if name == module or name.startswith(f"{module}.")]:
                del sys.modules[name]

    def beside_session(self, name: str) -> Any:
        """What is called that in the session's own module."""
        return find(f"{self.session_path.partition(':')[0]}:{name}", "--session")

    @property
    def session(self) -> Any:
        """The session as the app's own code sees it, looked up anew at each use."""
        return find(self.session_path, "--session")

    def configuration(self, uri: str) -> dict[str, Any]:
        """The mapping that the factory is called with."""
        configuration: dict[str, Any] = {}
        inner = configuration
        *path, last = self.uri_key.split(".")
        for part in path:
            inner = inner.setdefault(part, {})
        inner[last] = uri
        return configuration

    def make(self, uri: str) -> Flask:
        """Make an app on the database of `uri`, and refuse one that is bound to another."""
        try:
            app = self._factory()(self.configuration(uri))
        except Exception as error:
            message = (
                f"--app {self.app_path!r} raised {type(error).__name__} when called with a mapping that"
                f" holds {self.uri_key!r}: {error}"
            )
            raise RefusedError(message) from error
        if not isinstance(app, Flask):
            message = (
                f"--app {self.app_path!r} is no factory of Flask apps: it returned a {type(app).__name__}."
            )
            raise SubjectError(message)
        engine = self.engine(app)
        wanted, bound = make_url(uri), engine.url
        if not means(wanted, bound):
            engine.dispose()
            message = (
                f"--app {self.app_path!r} is bound to {bound.render_as_string()}, not to the database that it"
                f" was given under {self.uri_key!r}. If it reads another key, name that one with --uri-key."
            )
            raise SubjectError(message)
        return app

    def engine(self, app: Flask) -> Engine:
        """The engine that the session is bound to inside `app`; no statement is sent.

        A session that is made for that is removed, though the subject may forget it.
        """
        with self._removing_what_is_made(), app.app_context(), self._removing_what_is_made():
            try:
                bind = self.session.get_bind()
            except Exception as error:
                message = (
                    f"--session {self.session_path!r} has no engine inside a context of --app"
                    f" {self.app_path!r}: {type(error).__name__}: {error}"
                )
                raise SubjectError(message) from error
        return bind.engine  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _removing_what_is_made(self) -> Iterator[None]:
        """Leave the scope as it was, where the session is one that has scopes."""
        before = self._has_a_session()
        yield
        if before is False and self._has_a_session():
            self.session.remove()

    def _has_a_session(self) -> bool | None:
        """Whether there is one in this scope; None where that cannot be asked."""
        with contextlib.suppress(Exception):
            return bool(self.session.registry.has())
        return None

    def _factory(self) -> Callable[[dict[str, Any]], Any]:
        return find(self.app_path, "--app")  # type: ignore[no-any-return]


def means(wanted: URL, bound: URL) -> bool:
    """Whether both are the same database, whatever drivers and options they name."""
    if wanted.get_backend_name() != "sqlite":
        return (wanted.host, wanted.port, wanted.database) == (bound.host, bound.port, bound.database)
    if bound.get_backend_name() != "sqlite" or is_in_memory(wanted) != is_in_memory(bound):
        return False
    if is_in_memory(wanted):
        return True
    path, bound_path = Path(wanted.database or ""), Path(bound.database or "")
    # Where a relative path leads is the app's to say.
    return path.resolve() == bound_path.resolve() if path.is_absolute() else path.name == bound_path.name


def is_in_memory(url: URL) -> bool:
    """Whether a URL means a database of SQLite's that is no file."""
    return url.database in {None, "", ":memory:"} or bool({"memdb", "memory"} & set(url.query.values()))
