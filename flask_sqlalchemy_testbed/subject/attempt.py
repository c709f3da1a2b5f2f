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
from flask_sqlalchemy_testbed.subject.engines import made_at
from flask_sqlalchemy_testbed.subject.errors import StartedElsewhereError, SubjectError
from flask_sqlalchemy_testbed.subject.factories import AFTER_IMPORT, FOR_THE_TESTBED, ON_IMPORT
from flask_sqlalchemy_testbed.subject.sessions import check_session, find_session
from flask_sqlalchemy_testbed.subject.shown import shown
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
    """One call of the factory; after `close` the environment variables have their old values."""

    maker: AppMaker
    """Made the app, and can make another one."""
    app: Flask

    def __init__(self, subject: Subject, call: FactoryCall, modules: ProjectModules) -> None:
        """Prepare the call.

        Args:
            subject: the subject as far as it is known; it is not changed.
            call: one of the calls that the factory's signature allows.
            modules: the modules that the app's import has brought in.
        """
        self.call = call
        self._makers = contextlib.ExitStack()
        self._modules = modules
        on_import = call.name in {ON_IMPORT, AFTER_IMPORT}
        self._subject = replace(
            subject,
            factory_call=call.name,
            by_environment=call.by_environment or (subject.by_environment and call.name != FOR_THE_TESTBED),
            apps=Apps.ONE_AT_A_TIME if on_import and subject.apps is Apps.SEVERAL else subject.apps,
            why_not_several=MADE_ON_IMPORT if on_import else "",
        )

    @property
    def subject(self) -> Subject:
        """Return the subject as the call makes it, after `run`."""
        return self.maker.subject

    def close(self) -> None:
        """Restore the process."""
        self._makers.close()

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
            known = self._subject.binds
            self._learn_binds(apps, uri)
            if self._subject.binds != known:
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
        self.maker.subject = replace(
            found,
            roots=tuple(self._modules.roots),
            modules=tuple(sorted(self._modules.names())),
            imports_once=self._modules.import_twice is False,
            notes=(*found.notes, self._note(), *self._configuration()),
        )
        return self.maker.subject

    def _made(self, uri: str) -> Subject:
        binds = dict.fromkeys(self._subject.binds, uri)
        self.close()
        self.maker = self._makers.enter_context(contextlib.closing(AppMaker(self._subject, self._modules)))
        self.maker.start(uri, binds)
        self.app = self.maker.call(uri)
        found = self._with_session(self.app)
        engine = check_binding(found, self.app, uri)
        engine.dispose()
        check_binds(found, self.app, binds, otherwise=uri)
        return replace(found, engine_at=made_at(engine))

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
            # Not earlier: the factory may make the session, or the session may need a context.
            if subject.session_path:
                note = f"session {subject.session_path}"
                is_callable = check_session(subject.session_path)
                return replace(subject, session_is_callable=is_callable, notes=(*subject.notes, note))
            path, note = find_session(app, self._modules.names())
        return replace(subject, session_path=path, notes=(*subject.notes, note))

    def _note(self) -> str:
        made = "one app," if self.call.name in {ON_IMPORT, AFTER_IMPORT} else "made"
        where = "" if self.call.by_argument else f", the URI {self._subject.where_the_uri_is}"
        names = ", ".join(self._subject.binds)
        binds = f", with a further database for {names}" if names else ""
        return f"{made} {self.call.description}{where}{binds}"

    def _configuration(self) -> list[str]:
        """Return which configuration of the app is tested, in words; nothing if that is unknown."""
        if not (configuration := self.call.configuration):
            return []
        file = self._subject.config
        return [f"configuration: {configuration}{f', with the values of {shown(file)}' if file else ''}"]
