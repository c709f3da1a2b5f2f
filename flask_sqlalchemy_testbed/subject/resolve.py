"""Find out how the app is made and where its session is, on an empty database."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.attempt import Attempt
from flask_sqlalchemy_testbed.subject.configurations import UnreadableConfigurationError, values_of
from flask_sqlalchemy_testbed.subject.discovery import file_of, locate
from flask_sqlalchemy_testbed.subject.drivers import with_driver
from flask_sqlalchemy_testbed.subject.errors import (
    BindElsewhereError,
    BoundElsewhereError,
    FactoryError,
    NoSessionError,
    NotInThisProcessError,
    StartedElsewhereError,
    SubjectError,
    lacks_driver,
)
from flask_sqlalchemy_testbed.subject.explanation import Facts, failure, refuse_unused_options, without_calls
from flask_sqlalchemy_testbed.subject.factories import AFTER_IMPORT, FOR_THE_TESTBED, ON_IMPORT
from flask_sqlalchemy_testbed.subject.importing import import_app, is_written_for_the_testbed
from flask_sqlalchemy_testbed.subject.lookups import (
    CLASS,
    FILE,
    URI,
    Lookups,
    configuration_variables,
    uri_variables,
)
from flask_sqlalchemy_testbed.subject.other_process import make_in_another_process
from flask_sqlalchemy_testbed.subject.process_state import ProjectModules
from flask_sqlalchemy_testbed.subject.repetition import with_number_of_apps
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flask_sqlalchemy_testbed.subject.factories import FactoryCall

# Guesses must not use up the time limit of the start, whose message would hide the reasons.
GUESS_SECONDS = 12.0
# The key of the error that the first import raised.
IMPORT = "on import"
ONE_PER_PROCESS = "the app could be made only in a process that had imported nothing of it"


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The user's options about the app; each value may be empty."""

    app: str = ""
    session: str = ""
    uri_key: str = ""
    uri_env: str = ""
    config: str = ""
    drivers: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""

    def __str__(self) -> str:
        return f"{flag('app')} {self.app!r}" if self.app else "The app that flask finds here"


def resolve(options: AppOptions, uri: str, other_uri: str) -> Subject:
    """Return the subject, once a call of its factory has made an app on the given database.

    Each call that the factory's signature allows is tried once. A call that fails may have worked in a new
    process: that is tried after all others. The app's modules stay imported; the environment variables are
    restored.

    Args:
        options: the user's options.
        uri: an empty database of the run.
        other_uri: another one, for a second app.

    Raises:
        NoWorkingFactoryCallError: no call worked, but one may on another kind of database.
        SubjectError: the app cannot be tried.
    """
    with Lookups() as lookups:
        search = _Search(options, with_driver(uri, options.drivers), with_driver(other_uri, options.drivers))
        return search.run(lookups)


class _Search:
    """The attempts to make the app, in this process and in others."""

    def __init__(self, options: AppOptions, uri: str, other_uri: str) -> None:
        self._options = options
        self._uris = uri, other_uri
        self._until = time.monotonic() + GUESS_SECONDS
        self._place = locate(options.app)
        if options.config:
            try:
                values_of(options.config)
            except UnreadableConfigurationError as error:
                message = f"{flag('config')} {options.config!r} cannot be read: {error}"
                raise SubjectError(message) from error
        self._modules = ProjectModules(
            [self._place.module, *(path.partition(":")[0] for path in (options.session, options.metadata))]
        )
        self._start = Subject(
            str(self._place),
            folder=self._place.folder,
            session_path=options.session,
            metadata_path=options.metadata,
            uri_key=options.uri_key,
            uri_env=options.uri_env,
            config=options.config,
            drivers=dict(options.drivers),
            by_environment=bool(options.uri_env),
        )
        self._tried = self._start
        self._is_for_the_testbed = is_written_for_the_testbed(self._place)
        """The user wrote the function for the testbed: it gets the URI, and nothing else is tried."""
        self._has_factory = False
        self._files: set[str] = set()
        self._errors: dict[str, SubjectError] = {}
        self._retries: list[Subject] = []
        """The calls that may work in a process that has imported nothing of the app."""

    def run(self, lookups: Lookups) -> Subject:
        """Return the subject that the first successful attempt finds.

        Args:
            lookups: The environment variables that the app looks up.
        """
        for subject in self._subjects(lookups):
            if time.monotonic() > self._until:
                break
            try:
                found = self._try(subject)
            except (NoSessionError, NotInThisProcessError):
                raise
            except SubjectError as error:
                self._note_import(subject, error)
            else:
                if found:
                    return found
        if found := self._try_elsewhere():
            return found
        tried = not self._options.uri_env
        facts = Facts(self._uris[0], lookups.names, self._files, tried, self._has_factory)
        # To a function that the user wrote, no advice on other places applies.
        raise failure(self._tried, self._errors, None if self._is_for_the_testbed else facts)

    def _subjects(self, lookups: Lookups) -> Iterator[Subject]:
        """Yield the subject, then with other variables in the environment as far as the app looked any up."""
        yield self._start
        if self._options.uri_env or self._is_for_the_testbed:
            return
        if isinstance(self._errors.get(IMPORT), StartedElsewhereError):
            yield replace(self._start, by_environment=True)
        known: dict[str, str] = {} if IMPORT in self._errors else dict.fromkeys(URI_VARIABLES, URI)
        # An app may look up a variable only after it has found another one.
        while (variables := uri_variables(lookups.names)).items() - known.items():
            known |= variables
            yield _with_variables(self._start, variables)
        for part in (FILE, CLASS):
            configurations = configuration_variables(lookups.names, part)
            if configurations.items() - variables.items():
                yield _with_variables(self._start, configurations | variables)

    def _try(self, subject: Subject) -> Subject | None:
        """Import the app, and try each call; return the subject of the first that works."""
        uri, other_uri = self._uris
        is_first = not self._errors
        if not is_first:
            self._modules.remove()
        subject, calls = import_app(subject, self._place, self._modules, uri)
        self._tried = subject
        if not calls:
            raise without_calls(subject)
        self._has_factory = calls[0].name != ON_IMPORT
        self._is_for_the_testbed |= calls[0].name == FOR_THE_TESTBED
        if self._is_for_the_testbed:
            refuse_unused_options(replace(subject, factory_call=FOR_THE_TESTBED), calls[0])
        for call in calls:
            self._files |= _files_of(self._modules.names())
            with contextlib.closing(Attempt(subject, call, self._modules)) as attempt:
                try:
                    resolved = attempt.run(uri)
                    resolved = with_number_of_apps(attempt, self._modules, uri, other_uri)
                except (NoSessionError, NotInThisProcessError):
                    raise
                except SubjectError as error:
                    self._note(attempt, error, is_first=is_first)
                else:
                    refuse_unused_options(resolved, call)
                    return self._with_other_call(resolved, calls)
        return None

    def _with_other_call(self, found: Subject, calls: Iterable[FactoryCall]) -> Subject:
        """Return the subject; its reason names a configuration that the factory takes beside the variable."""
        of_module = {ON_IMPORT, AFTER_IMPORT}
        others = [one.description for one in calls if not one.by_environment and one.name not in of_module]
        if not (self._options.uri_env and found.by_environment and found.why_not_several and others):
            return found
        reason = (
            f"{found.why_not_several}; the factory can also be called {others[0]}:"
            f" leave out {flag('uri-env')}, and several apps may be tested"
        )
        return replace(found, why_not_several=reason)

    def _note_import(self, subject: Subject, error: SubjectError) -> None:
        own = error.__cause__
        if subject is self._start:
            # A variable changes nothing in code that is not there; it can change which driver is used.
            told = own is not None and (lacks_driver(own) or not isinstance(own, (ImportError, SyntaxError)))
            if not (told or isinstance(error, StartedElsewhereError)):
                raise error
            self._errors[IMPORT] = error
            self._files |= {file_of(self._place.module), *_files_of(self._modules.names())}
        elif error.has_connected:
            self._errors.setdefault(f"{IMPORT}, the URI {subject.where_the_uri_is}", error)
        first = self._errors.get(IMPORT)
        if str(error) != str(first):  # It is another error than that of the first import.
            self._retries.append(subject)

    def _note(self, attempt: Attempt, error: SubjectError, *, is_first: bool) -> None:
        if isinstance(error, (BoundElsewhereError, BindElsewhereError)):
            self._modules.remove()  # A global may hold the engine of this attempt.
        before = {str(one.__cause__) for one in self._errors.values()}
        by_factory = isinstance(error, FactoryError) and before and str(error.__cause__) not in before
        if by_factory or (attempt.call.by_environment and self._modules.import_twice is False):
            self._retries.append(attempt.subject)
        where = "" if is_first else f", the URI {attempt.subject.where_the_uri_is}"
        self._errors.setdefault(f"{attempt.call.description}{where}", error)

    def _try_elsewhere(self) -> Subject | None:
        for subject in self._retries:
            if time.monotonic() > self._until:
                break
            with contextlib.suppress(SubjectError):
                found = make_in_another_process(subject, self._uris[0])
                reason = subject.why_not_several or ONE_PER_PROCESS
                return replace(found, why_not_several=reason, notes=(*subject.notes, *found.notes))
        return None


def _with_variables(subject: Subject, variables: Mapping[str, str]) -> Subject:
    names = [name for name, part in variables.items() if part == URI]
    if len(variables) == len(names) == 1:
        return replace(subject, by_environment=True, uri_env=names[0])
    parts = {} if set(variables) <= set(URI_VARIABLES) else variables
    return replace(subject, by_environment=True, variable_parts=parts)


def _files_of(modules: Iterable[str]) -> set[str]:
    files = (getattr(sys.modules.get(name), "__file__", None) for name in modules)
    return {file for file in files if file and file.endswith(".py")}
