"""One attempt to make the app and to find its session."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import check_binding, context_of
from flask_sqlalchemy_testbed.subject.sessions import check_returned_session, find_session

if TYPE_CHECKING:
    from flask import Flask

    from flask_sqlalchemy_testbed.subject.factories import FactoryCall
    from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
    from flask_sqlalchemy_testbed.subject.subject import Subject


class Attempt:
    """One call of the factory. Afterwards the environment variables have their old values."""

    def __init__(self, subject: Subject, call: FactoryCall, modules: ProjectModules) -> None:
        """Prepare the call.

        Args:
            subject: the subject as far as it is known; it is not changed.
            call: one of the calls that the factory's signature allows.
            modules: the modules that the app's import has brought in.
        """
        self._call = call
        self._modules = modules
        self._subject = replace(
            subject,
            factory_call=call.name,
            by_environment=subject.by_environment or call.by_environment,
        )

    def run(self, uri: str) -> Subject:
        """Make an app on an empty database and find its session.

        Returns:
            The subject as this call makes it.

        Raises:
            SubjectError: no app was made, it is on another database, or its session was not found.
        """
        with contextlib.closing(AppMaker(self._subject, self._modules)) as maker:
            maker.start(uri)
            app = maker.call(uri)
            found = self._with_session(app)
            check_binding(found, app, uri).dispose()
        self._modules.add_root(found.session_path.partition(":")[0])
        return replace(
            found,
            roots=tuple(self._modules.roots),
            modules=tuple(sorted(self._modules.names())),
            imports_once=self._modules.import_twice is False,
            notes=(*found.notes, self._note()),
        )

    def _with_session(self, app: Flask) -> Subject:
        subject = self._subject
        with context_of(app):
            if subject.session_is_callable:
                check_returned_session(subject.session_path)
            if subject.session_path:
                return subject
            path, note = find_session(app, self._modules.names())
        return replace(subject, session_path=path, notes=(*subject.notes, note))

    def _note(self) -> str:
        made = "made" if self._subject.makes_several_apps else "one app,"
        where = "" if self._call.by_argument else f", the URI {self._subject.where_the_uri_is}"
        return f"{made} {self._call.description}{where}"
