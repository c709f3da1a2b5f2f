"""The app under test, which the command line names: nothing here knows a particular one."""

from __future__ import annotations

import contextlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flask import Flask, current_app
from sqlalchemy import make_url

from flask_sqlalchemy_testbed.subject import discovery
from flask_sqlalchemy_testbed.subject.discovery import find
from flask_sqlalchemy_testbed.subject.drivers import with_driver
from flask_sqlalchemy_testbed.subject.errors import (
    BoundElsewhereError,
    RefusedError,
    StartedElsewhereError,
    SubjectError,
)
from flask_sqlalchemy_testbed.subject.factories import Way, ways
from flask_sqlalchemy_testbed.subject.guard import only_databases_of_the_run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from sqlalchemy.engine import URL, Engine

# Where apps look for the URI, and in which variables: all of them are given where none is told.
URI_KEYS = ("DATABASE_URI", "DATABASE_URL", "SQLALCHEMY_DATABASE_URI", "SQLALCHEMY_ENGINES.default")
URI_VARIABLES = (
    *("DATABASE_URL", "DATABASE_URI", "SQLALCHEMY_DATABASE_URI"),
    # As `from_prefixed_env` reads them.
    *("FLASK_DATABASE_URI", "FLASK_SQLALCHEMY_DATABASE_URI", "FLASK_SQLALCHEMY_ENGINES__default"),
)
# The ways of an app that is made when its module is imported.
ON_IMPORT, AFTER_IMPORT = "on import", "after import"


@contextlib.contextmanager
def context_of(app: Flask) -> Iterator[None]:
    """A context of the app, to look around in; whether its end may raise is for a check to say."""
    context = app.app_context()
    context.push()
    try:
        yield
    finally:
        with contextlib.suppress(Exception):
            context.pop()


class Subject:
    """An app and its session, by name.

    `app` names a factory or an app. `uri_key` says where a configuration has the database's URI, with dots
    that reach into nested mappings; empty, it is in all the usual places. `session` names a `scoped_session`,
    anything that is used like a session inside a context, or a callable that returns the session of the
    context; empty, an extension keeps it. `uri_env` names the environment variable in which the app finds the
    URI; see `start`. `drivers` says, by backend, which driver the app is to use.

    It can make apps once `flask_sqlalchemy_testbed.subject.resolve.resolve` has found out the rest.
    """

    def __init__(
        self,
        app: str,
        session: str = "",
        uri_key: str = "",
        uri_env: str = "",
        *,
        drivers: Mapping[str, str] | None = None,
    ) -> None:
        self.app_path = app
        self.session_path = session
        self.uri_key = uri_key
        self.uri_env = uri_env
        self.drivers = dict(drivers or {})
        self.way = ""
        """The name of the way in which it is made."""
        self.by_environment = bool(uri_env)
        self.session_is_called = False
        """Whether the name means a callable that returns the session."""
        self.roots: list[str] = []
        """The modules in which it begins."""
        self.folder = ""
        """Where they are to be imported from, if it was named by a path."""
        self.own: list[str] = []
        """The modules that came with it."""
        self.imported_once = False
        """Whether they cannot be imported anew."""
        self.imported_anew = False
        """Whether they can: they were."""
        self._removed: dict[str, ModuleType] = {}
        self.notes: list[str] = []
        """What was found rather than told, in words."""
        self._imported_before = set(sys.modules)
        self._environment: dict[str, str | None] = {}
        self._made: tuple[str, Flask] | None = None

    def __str__(self) -> str:
        return f"--testbed-app {self.app_path!r}"

    @classmethod
    def of(cls, told: Mapping[str, Any]) -> Subject:
        """The one that `told` told of, perhaps in another process."""
        subject = cls("")
        vars(subject).update(told)
        if subject.folder and subject.folder not in sys.path:
            sys.path.insert(0, subject.folder)
        return subject

    def told(self) -> dict[str, Any]:
        """All that was told and found, as plain values."""
        return {name: value for name, value in vars(self).items() if not name.startswith("_")}

    @property
    def makes_several_apps(self) -> bool:
        """Whether it is a factory, not one app that is made when its module is imported."""
        return self.way not in {ON_IMPORT, AFTER_IMPORT}

    def start(self, uri: str) -> None:
        """Begin as a process does whose environment holds the URI, where the subject reads it there.

        Its modules are imported anew, for what they did with the variable they did on import.
        """
        self._made = None
        if self.by_environment:
            self.set_environment(uri)
        if self.by_environment or not self.makes_several_apps:
            self.forget()

    def end(self) -> None:
        """Give the process back its environment."""
        for name, value in self._environment.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        self._environment.clear()

    def forget(self) -> None:
        """Whoever needs the subject's modules next imports them anew, if that can be done twice."""
        self._made = None
        if not self.imported_once:
            self._removed = {name: sys.modules.pop(name) for name in self.modules()}

    def modules(self) -> set[str]:
        """The project's own, but for those that this process had imported before and does not name."""
        roots = {*self.roots, self.session_path.partition(":")[0]} - {""}
        named = {name for name in sys.modules if any(f"{name}.".startswith(f"{root}.") for root in roots)}
        own = named | (set(self.own) & sys.modules.keys())
        return own | (discovery.modules_of(roots) - self._imported_before)

    def beside_session(self, name: str) -> Any:
        """What is called that in the session's own module."""
        return find(f"{self.session_path.partition(':')[0]}:{name}", "--testbed-session")

    @property
    def session(self) -> Any:
        """The session as the app's own code sees it, looked up anew at each use."""
        if self.session_path:
            found = find(self.session_path, "--testbed-session")
            return found() if self.session_is_called else found
        kept = discovery.kept_in(current_app)
        if kept is None:
            message = f"{self} keeps no session in app.extensions. Name it: --testbed-session."
            raise SubjectError(message)
        return kept[1]

    def configuration(self, uri: str) -> dict[str, Any]:
        """The mapping that the factory is called with."""
        configuration: dict[str, Any] = {}
        for key in [self.uri_key] if self.uri_key else URI_KEYS:
            inner = configuration
            *path, last = key.split(".")
            for part in path:
                inner = inner.setdefault(part, {})
            inner[last] = self.with_driver(uri)
        return configuration

    def with_driver(self, uri: str) -> str:
        """The URI with the driver that was asked for; any other is left as it is."""
        return with_driver(uri, self.drivers)

    def make(self, uri: str) -> Flask:
        """Make an app on the database of `uri`, and refuse one that is bound to another."""
        uri = self.with_driver(uri)
        if self._made is not None:
            # One app for the process; it is on the database that it was made for.
            if self._made[0] == uri:
                return self._made[1]
            message = f"{self} is one app, which is on another database already."
            raise RefusedError(message)
        if self.by_environment:  # Before it is imported anew, to see what it is.
            self.set_environment(uri)
        app = self.call(next(way for way in self.ways() if way.name == self.way), uri)
        # In a thread of its own: the caller may be in a context, and its session the thread's.
        with ThreadPoolExecutor(1) as thread:
            thread.submit(self.check_binding, app, uri).result()
        return app

    def ways(self) -> Iterator[Way]:
        """How it may be made. What they call is looked up only then: it may have been imported anew."""
        place = discovery.locate(self.app_path)
        if isinstance(self.found(), Flask):
            yield Way(ON_IMPORT, "as it is made on import", lambda *_: self.found(), by_environment=True)
            yield Way(AFTER_IMPORT, "configured after its import", self._configured)
            return
        environment = bool(self.uri_env)
        for way in ways(self.found(), place.arguments, environment=environment):

            def call(mapping: Mapping[str, Any], uri: str, name: str = way.name) -> Any:
                again = ways(self.found(), place.arguments, environment=environment)
                return next(it for it in again if it.name == name).call(mapping, uri)

            yield Way(way.name, way.told, call, way.by_environment)

    def found(self) -> Any:
        """The factory or the app itself, looked up anew."""
        place = discovery.locate(self.app_path)
        path = f"{place.module}:{place.attribute}"
        try:
            found = find(path, "--testbed-app")
        except SubjectError:
            if not self._removed or self.imported_anew:
                raise
        else:
            self.imported_anew |= bool(self._removed)
            return found
        # A library keeps what was made of them at first, and wants no second.
        self.imported_once = True
        for name in self.modules():
            del sys.modules[name]
        sys.modules.update(self._removed)
        self._removed = {}
        return find(path, "--testbed-app")

    def call(self, way: Way, uri: str) -> Flask:
        """Make an app in that way, whatever it is bound to; it connects to databases of the run only."""
        uri = self.with_driver(uri)
        if self.by_environment:
            self.set_environment(uri)
        with self.guarded():
            try:
                app = way.call(self.configuration(uri), uri)
            except SubjectError:
                raise
            except (Exception, SystemExit) as error:
                holds = f" that holds {self.keys()}" if way.name == "mapping" else ""
                message = f"{self} raised {type(error).__name__} when called {way.told}{holds}: {error}"
                raise RefusedError(message) from error
        if not isinstance(app, Flask):
            message = f"{self} is no factory of Flask apps: it returned a {type(app).__name__}."
            raise SubjectError(message)
        if not self.makes_several_apps:
            self._made = uri, app
        return app

    def check_binding(self, app: Flask, uri: str) -> Engine:
        """The engine of its session, which is of that database; `SubjectError` where it is of another."""
        engine = self.engine(app)
        if means(make_url(uri), engine.url):
            return engine
        engine.dispose()
        given = f"in {self.variables()}" if self.by_environment else f"under {self.keys()}"
        message = (
            f"{self} is bound to {engine.url.render_as_string()}, not to the database that it"
            f" was given {given}."
        )
        raise BoundElsewhereError(message)

    def engine(self, app: Flask) -> Engine:
        """The engine that the session is bound to inside `app`; no statement is sent.

        A session that is made for that is removed, though the subject may forget it.
        """
        with self._removing_what_is_made(), context_of(app), self._removing_what_is_made():
            try:
                bind = self.session.get_bind()
            except Exception as error:
                session = (
                    f"--testbed-session {self.session_path!r}"
                    if self.session_path
                    else "The session that was found"
                )
                message = (
                    f"{session} has no engine inside a context of --testbed-app"
                    f" {self.app_path!r}: {type(error).__name__}: {error}"
                )
                raise SubjectError(message) from error
        return bind.engine  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def guarded(self) -> Iterator[None]:
        """The subject's own start-up code runs: it connects to databases of the run only."""
        error: BaseException | None = None
        with only_databases_of_the_run() as refused:
            try:
                yield
            except Exception as raised:
                if not refused:
                    raise
                error = raised
        if refused:
            message = (
                f"{self} wanted to connect to {refused[0]} when it started, which is no database of this run:"
                " that was refused, and nothing was sent. If it should read another, say where it reads the"
                " URI: --testbed-uri-key KEY or --testbed-uri-env NAME."
            )
            raise StartedElsewhereError(message) from error

    def set_environment(self, uri: str) -> None:
        """The URI is in the variable that the subject reads, or in all the usual ones."""
        for name in [self.uri_env] if self.uri_env else URI_VARIABLES:
            self._environment.setdefault(name, os.environ.get(name))
            os.environ[name] = self.with_driver(uri)

    def variables(self) -> str:
        """The environment variables that hold the URI, in words."""
        return self.uri_env or f"any of {', '.join(URI_VARIABLES)}"

    def keys(self) -> str:
        """The keys of a configuration that hold the URI, in words."""
        return repr(self.uri_key) if self.uri_key else f"any of {', '.join(URI_KEYS)}"

    def _configured(self, mapping: Mapping[str, Any], _: str) -> Flask:
        app: Flask = self.found()
        app.config.update(mapping)
        return app

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
