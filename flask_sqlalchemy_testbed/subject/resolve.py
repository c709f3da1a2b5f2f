"""Find out how the app is made and where its session is, on an empty database."""

from __future__ import annotations

import inspect
import traceback
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.attempt import Attempt
from flask_sqlalchemy_testbed.subject.discovery import import_module, locate
from flask_sqlalchemy_testbed.subject.drivers import with_driver
from flask_sqlalchemy_testbed.subject.errors import (
    BindElsewhereError,
    BoundElsewhereError,
    NoSessionError,
    NoWorkingFactoryCallError,
    StartedElsewhereError,
    SubjectError,
)
from flask_sqlalchemy_testbed.subject.factories import FactoryCall, factory_calls
from flask_sqlalchemy_testbed.subject.guard import ForbiddenDatabaseError, guarded_start
from flask_sqlalchemy_testbed.subject.metadata import find_metadata
from flask_sqlalchemy_testbed.subject.process_state import Arguments, Environment, ProjectModules
from flask_sqlalchemy_testbed.subject.sessions import is_callable_for_session
from flask_sqlalchemy_testbed.subject.subject import URI_VARIABLES, Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask_sqlalchemy_testbed.subject.discovery import Place

DATABASE_LIBRARIES = {"sqlalchemy", "sqlite3", "alembic"}


@dataclass(frozen=True, slots=True)
class AppOptions:
    """The user's options about the app; each value may be empty."""

    app: str = ""
    session: str = ""
    uri_key: str = ""
    uri_env: str = ""
    drivers: Mapping[str, str] = field(default_factory=dict)
    metadata: str = ""

    def __str__(self) -> str:
        return f"{flag('app')} {self.app!r}" if self.app else "The app that flask finds here"


def resolve(options: AppOptions, uri: str) -> Subject:
    """Return the subject, once a call of its factory has made an app on the given database.

    Each call that the factory's signature allows is tried once. The app's modules stay imported; the
    environment variables are restored.

    Args:
        options: the user's options.
        uri: an empty database of the run.

    Raises:
        NoWorkingFactoryCallError: no call worked, but one may on another kind of database.
        SubjectError: the app cannot be tried.
    """
    uri = with_driver(uri, options.drivers)
    place = locate(options.app)
    named = (options.session, options.metadata)
    modules = ProjectModules([place.module, *(path.partition(":")[0] for path in named)])
    environment, arguments = Environment(), Arguments(place.module)
    arguments.set()
    try:
        subject = _import(options, place, modules, environment, uri)
        subject, calls = _inspect(subject, place, modules)
    finally:
        environment.restore()
        arguments.restore()
    errors: dict[str, SubjectError] = {}
    for call in calls:
        try:
            resolved = Attempt(subject, call, modules).run(uri)
        except NoSessionError:
            raise
        except SubjectError as error:
            errors[call.description] = error
            if isinstance(error, (BoundElsewhereError, BindElsewhereError)):
                modules.remove()  # A global may hold the engine of this attempt.
        else:
            _refuse_unused_key(resolved, call)
            return resolved
    raise _failure(subject, errors)


def _import(
    options: AppOptions, place: Place, modules: ProjectModules, environment: Environment, uri: str
) -> Subject:
    """Import the app's module; set the URI in the environment if the import needs it."""
    subject = Subject(
        str(place),
        folder=place.folder,
        session_path=options.session,
        metadata_path=options.metadata,
        uri_key=options.uri_key,
        uri_env=options.uri_env,
        drivers=dict(options.drivers),
        by_environment=bool(options.uri_env),
    )
    if subject.by_environment:
        environment.set(subject.variables, uri)
    try:
        _import_guarded(subject, place)
    except SubjectError as error:
        missing = _missing_variable(error)
        if subject.by_environment or not (missing or isinstance(error, StartedElsewhereError)):
            raise
        subject = replace(subject, by_environment=True, uri_env=missing)
        environment.set(subject.variables, uri)
        modules.remove()
        try:
            _import_guarded(subject, place)
        except StartedElsewhereError:
            raise error from None
    return subject


def _import_guarded(subject: Subject, place: Place) -> None:
    with guarded_start(str(subject)):
        import_module(place.module, str(subject))


def _missing_variable(error: SubjectError) -> str:
    """Return which usual variable of the URI an import missed; empty if it missed none."""
    missing = error.__cause__.args[0] if isinstance(error.__cause__, KeyError) else ""
    return missing if missing in URI_VARIABLES else ""


def _inspect(subject: Subject, place: Place, modules: ProjectModules) -> tuple[Subject, list[FactoryCall]]:
    """Look at the imported module: complete the subject, and list the calls to try."""
    how = place.found or ("" if place.attribute else f"in {place.module}")
    with guarded_start(str(subject)):
        place = place if place.attribute else place.with_attribute()
        subject = replace(subject, app_path=str(place), notes=(f"found {how}",) if how else ())
        found = modules.find(place.path, flag("app"))
        if not callable(found):
            message = f"{subject} is neither a factory nor an app: it cannot be called."
            raise SubjectError(message)
        modules.add_root(_module_of(found))
        if subject.session_path:
            subject = replace(subject, session_is_callable=is_callable_for_session(subject.session_path))
        if subject.metadata_path:
            find_metadata(subject.metadata_path)
    return subject, list(factory_calls(found, place.arguments, environment=bool(subject.uri_env)))


def _module_of(found: Any) -> str:
    """Return the module in which a factory is defined; empty for other objects."""
    return found.__module__ or "" if inspect.isroutine(found) or inspect.isclass(found) else ""


def _refuse_unused_key(subject: Subject, call: FactoryCall) -> None:
    """Raise SubjectError if the app was made without the configuration whose key the user named."""
    if subject.uri_key and not subject.uri_env and (call.by_environment or call.by_argument):
        where = f", with the URI {subject.where_the_uri_is}" if call.by_environment else ""
        message = (
            f"{flag('uri-key')} {subject.uri_key} has no effect: {subject} was made"
            f" {call.description}{where}. Leave the option out, or name the key under which the app reads"
            " the URI."
        )
        raise SubjectError(message)


def _failure(subject: Subject, errors: Mapping[str, SubjectError]) -> SubjectError:
    """Return an error that lists the result of each call."""
    advice = (
        f"Name the place where the app reads the URI: {flag('uri-key')} KEY, or {flag('uri-env')} VARIABLE."
        " If the URI is fixed in the code, let the app read the variable DATABASE_URL first."
    )
    kind = NoWorkingFactoryCallError if any(map(_is_of_a_database, errors.values())) else SubjectError
    if not errors:
        return kind(
            f"{subject} has required arguments that cannot be guessed. Write the call out, and have it read"
            f" the URI from an environment variable: {flag('app')} \"myapp:create_app('testing')\""
            f" {flag('uri-env')} DATABASE_URL."
        )
    # The app was made with this call, and its session is on the right database.
    if bind := next((error for error in errors.values() if isinstance(error, BindElsewhereError)), None):
        return bind
    if len(errors) == 1:
        (error,) = errors.values()
        return kind(f"{error} {advice}" if isinstance(error, BoundElsewhereError) else str(error))
    reasons: dict[str, list[str]] = {}
    for call, error in errors.items():
        first_sentence = str(error).strip().splitlines()[0].removeprefix(f"{subject} ").partition(". ")[0]
        reasons.setdefault(first_sentence.replace(f" when called {call}", ""), []).append(call)
    lines = "".join(f"\n  {', '.join(calls)}: {reason}" for reason, calls in reasons.items())
    return kind(
        f"{subject} was called with {len(errors)} kinds of arguments, and no call used the run's database:"
        f"{lines}\n{advice}"
    )


def _is_of_a_database(error: BaseException | None) -> bool:
    """Return whether a database library raised the error: another kind of database may work."""
    while error is not None:
        frames = traceback.walk_tb(error.__traceback__)
        modules = (frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames)
        if any(module in DATABASE_LIBRARIES for module in modules):
            return not isinstance(error, ForbiddenDatabaseError)
        error = error.__cause__
    return False
