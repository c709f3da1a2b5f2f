"""Make apps of the subject in this process."""

from __future__ import annotations

import contextlib
import sys
import threading
from concurrent.futures import Future
from contextvars import Context
from typing import TYPE_CHECKING

from flask import Flask

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.app_threads import making_an_app
from flask_sqlalchemy_testbed.subject.binding import check_binding
from flask_sqlalchemy_testbed.subject.binds import check_binds
from flask_sqlalchemy_testbed.subject.discovery import Place
from flask_sqlalchemy_testbed.subject.errors import FactoryError, SubjectError, remedy_of
from flask_sqlalchemy_testbed.subject.factories import factory_calls
from flask_sqlalchemy_testbed.subject.guard import guarded_start
from flask_sqlalchemy_testbed.subject.metadata import metadata_of
from flask_sqlalchemy_testbed.subject.process_state import Arguments, Environment, ProjectModules
from flask_sqlalchemy_testbed.subject.start_up import in_this_process
from flask_sqlalchemy_testbed.subject.subject import Apps, one_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import MetaData

    from flask_sqlalchemy_testbed.subject.subject import Subject


class AppMaker:
    """Makes apps of a subject, and undoes the changes that this makes in the process.

    These are the environment variables, `sys.argv`, the imported modules, and the one app of a subject that
    is no factory. `start` begins with another database, as a new process would; `close` restores the first
    two.
    """

    def __init__(self, subject: Subject, modules: ProjectModules | None = None) -> None:
        """Make apps of `subject`; `modules` are those that `resolve` has watched being imported."""
        self.subject = subject
        self._place = Place.parse(subject.app_path, flag("app"))
        self._modules = modules or ProjectModules(
            subject.roots, subject.modules, import_twice=not subject.imports_once
        )
        self._environment = Environment()
        self._arguments = Arguments(self._place.module)
        self._uri = ""
        self._binds: Mapping[str, str] = {}
        self._only_app: tuple[str, Flask] | None = None
        if subject.folder and subject.folder not in sys.path:
            sys.path.insert(0, subject.folder)

    def start(self, uri: str, binds: Mapping[str, str] | None = None) -> None:
        """Begin as a new process with `uri` in its environment, if the app reads the URI there.

        The app's modules are imported again: they may have read the variable during the import.

        Args:
            uri: The URI of a database of the run.
            binds: The URI of a database of the run for each bind of the subject, by its name.
        """
        self._only_app = None
        self._arguments.set()
        self._binds = {name: self.subject.uri(bind) for name, bind in (binds or {}).items()}
        if self.subject.by_environment:
            self._set_variables(uri)
        by_import = self.subject.by_environment and self.subject.makes_several_apps
        if by_import or self.subject.apps is Apps.ONE_AT_A_TIME:
            self._modules.remove()

    @contextlib.contextmanager
    def started(self, uri: str, binds: Mapping[str, str] | None = None) -> Iterator[None]:
        """Begin as `start` does; at the end, make the app from before, and its modules, current again.

        Args:
            uri: As for `start`.
            binds: As for `start`.
        """
        before, only_app = self._uri, self._only_app
        with self._modules.kept():
            try:
                self.start(uri, binds)
                yield
            finally:
                self._only_app = only_app
                if self.subject.by_environment:
                    self._set_variables(before)

    def make(self, uri: str) -> Flask:
        """Make an app on the database of `uri`.

        Args:
            uri: The URI of a database of the run.

        Returns:
            A new app; of a subject that is one app, the same until the next `start`.

        Raises:
            FactoryError: the factory raised.
            BoundElsewhereError: the app is bound to another database.
            BindElsewhereError: one of its further engines is.
            SubjectError: the subject is one app, and is on another database already; or it made no app.
        """
        uri = self.subject.uri(uri)
        if self._only_app is not None:
            made_for, app = self._only_app
            if made_for == uri:
                return app
            message = f"{self.subject} is one app, and it is on another database already."
            raise SubjectError(message)
        app = self.call(uri)
        _in_a_new_thread(lambda: self._check(app, uri))
        return app

    def _check(self, app: Flask, uri: str) -> None:
        check_binding(self.subject, app, uri)
        if self.subject.binds:
            check_binds(self.subject, app, self._binds)

    def call(self, uri: str) -> Flask:
        """Make an app as `make` does, but do not check which database it is bound to.

        Args:
            uri: The URI of a database of the run.

        Returns:
            A new app.

        Raises:
            FactoryError: the factory raised.
            SubjectError: the factory returned no app.
        """
        subject, uri = self.subject, self.subject.uri(uri)
        if subject.by_environment:
            self._set_variables(uri)
        with making_an_app(), guarded_start(str(subject), uri), in_this_process(str(subject)):
            found = self._modules.find(self._place.path, flag("app"))
            calls = factory_calls(found, self._place.arguments, environment=bool(subject.uri_env))
            call = next(call for call in calls if call.name == subject.factory_call)
            try:
                app = call.make(subject.configuration(uri, self._binds), uri)
            except (Exception, SystemExit) as error:
                holds = f" that holds {one_of(subject.keys)}" if call.name == "mapping" else ""
                message = (
                    f"{subject} raised {type(error).__name__} when called {call.description}{holds}:"
                    f" {error}{remedy_of(error)}"
                )
                raise FactoryError(message) from error
            finally:
                self._environment.remove_files()
        if not isinstance(app, Flask):
            message = (
                f"{subject} is not a factory of Flask apps: it returned a {type(app).__name__}."
                " Name a function that returns a Flask app."
            )
            raise SubjectError(message)
        if not subject.makes_several_apps:
            self._only_app = uri, app
        return app

    def metadata(self, app: Flask) -> dict[str, list[MetaData]]:
        """Return the metadata of an app's own tables, as `metadata_of` does.

        Args:
            app: An app that this object made.
        """
        return metadata_of(app, self._modules.names(), self.subject.metadata_path)

    def close(self) -> None:
        """Restore the environment variables and the arguments of the process."""
        self._environment.restore()
        self._arguments.restore()

    def _set_variables(self, uri: str) -> None:
        self._uri = uri
        # Files that the variables name are based on the files that the user's own variables name.
        self._environment.restore()
        self._environment.set(self.subject.environment(uri, self._binds, self._environment))


def _in_a_new_thread(work: Callable[[], None]) -> None:
    """Run `work` where there is no context and no session of the caller; a daemon, in case it hangs."""
    ended: Future[None] = Future()

    def run() -> None:
        try:
            work()
            ended.set_result(None)
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller's thread
            ended.set_exception(error)

    # A thread of free-threaded Python 3.14 inherits the caller's context.
    thread = threading.Thread(target=Context().run, args=(run,), name="testbed-binding", daemon=True)
    thread.start()
    ended.result()
    thread.join()  # The values of a `threading.local` go with it.
