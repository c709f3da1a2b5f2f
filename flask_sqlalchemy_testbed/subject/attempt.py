"""One attempt to make the app and to find its session."""

from __future__ import annotations

import contextlib
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from flask import appcontext_pushed

from flask_sqlalchemy_testbed.subject.app import AppMaker
from flask_sqlalchemy_testbed.subject.binding import check_binding, context_of
from flask_sqlalchemy_testbed.subject.binds import check_binds, configured_binds, may_hide_engines
from flask_sqlalchemy_testbed.subject.errors import StartedElsewhereError, SubjectError
from flask_sqlalchemy_testbed.subject.factories import AFTER_IMPORT, ON_IMPORT
from flask_sqlalchemy_testbed.subject.sessions import check_returned_session, find_session
from flask_sqlalchemy_testbed.subject.subject import Apps

if TYPE_CHECKING:
    from flask import Flask

    from flask_sqlalchemy_testbed.subject.factories import FactoryCall
    from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
    from flask_sqlalchemy_testbed.subject.subject import Subject

# A configuration key that no app reads.
UNREAD = "TESTBED_UNREAD_URI"
MADE_ON_IMPORT = "the app is made when its module is imported; there is no factory of several apps"


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
            apps=Apps.ONE_AT_A_TIME if call.name in {ON_IMPORT, AFTER_IMPORT} else Apps.SEVERAL,
            why_not_several=MADE_ON_IMPORT if call.name in {ON_IMPORT, AFTER_IMPORT} else "",
        )

    def run(self, uri: str) -> Subject:
        """Make an app on an empty database and find its session.

        An app with further engines is made again, with each of them on the same database.

        Returns:
            The subject as this call makes it.

        Raises:
            SubjectError: no app was made, it or a further engine is on another database, or its session was
                not found.
        """
        apps: list[Flask] = []

        def add(app: Flask, **_: object) -> None:
            apps.append(app)

        # A factory may fail because of a further engine: its app shows which engines there are.
        with appcontext_pushed.connected_to(add):
            error: SubjectError | None = None
            try:
                found = self._made(uri)
            except SubjectError as raised:
                error = raised
            self._learn_binds(apps, uri)
            if self._subject.binds:
                try:
                    found = self._made(uri)
                except StartedElsewhereError:
                    # The factory connected before the engines could be checked.
                    for app in apps[-1:]:
                        check_binds(self._subject, app, {}, otherwise=uri)
                    raise
            elif error is not None:
                raise error
        self._modules.add_root(found.session_path.partition(":")[0])
        return replace(
            found,
            roots=tuple(self._modules.roots),
            modules=tuple(sorted(self._modules.names())),
            imports_once=self._modules.import_twice is False,
            notes=(*found.notes, self._note()),
        )

    def _made(self, uri: str) -> Subject:
        binds = dict.fromkeys(self._subject.binds, uri)
        with contextlib.closing(AppMaker(self._subject, self._modules)) as maker:
            maker.start(uri, binds)
            app = maker.call(uri)
            found = self._with_session(app)
            check_binding(found, app, uri).dispose()
            check_binds(found, app, binds, otherwise=uri)
        return found

    def _learn_binds(self, apps: list[Flask], uri: str) -> None:
        """Complete the subject with the further engines of the apps of a call."""
        configuration = self._subject.configuration(uri)
        if any(may_hide_engines(app, configuration) for app in apps):
            unread = replace(self._subject, uri_key=UNREAD)
            with contextlib.closing(AppMaker(unread, self._modules)) as maker, suppress(SubjectError):
                maker.start(uri)
                apps.append(maker.call(uri))
        for app in apps:
            key, binds = configured_binds(app, uri)
            if binds:
                self._subject = replace(self._subject, binds_key=key, binds=binds)

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
        names = ", ".join(self._subject.binds)
        binds = f", with a further database for {names}" if names else ""
        return f"{made} {self._call.description}{where}{binds}"
