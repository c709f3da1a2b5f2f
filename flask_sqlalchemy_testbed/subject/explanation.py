"""Explain why the app could not be made, and what to do."""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import make_url

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.subject.discovery import file_of
from flask_sqlalchemy_testbed.subject.errors import (
    BindElsewhereError,
    BoundElsewhereError,
    FactoryError,
    NoSuchNameError,
    NoWorkingFactoryCallError,
    StartedElsewhereError,
    SubjectError,
    installation_of,
    lacks_driver,
)
from flask_sqlalchemy_testbed.subject.guard import ForbiddenDatabaseError
from flask_sqlalchemy_testbed.subject.lookups import HOST, URI, USER, configuration_variables, uri_variables
from flask_sqlalchemy_testbed.subject.raised import is_own, line_of_app
from flask_sqlalchemy_testbed.subject.shown import shown
from flask_sqlalchemy_testbed.subject.subject import URI_KEYS
from flask_sqlalchemy_testbed.subject.written import WRITTEN_URI, WrittenUri, written_uris

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from flask_sqlalchemy_testbed.subject.factories import FactoryCall
    from flask_sqlalchemy_testbed.subject.subject import Subject

DATABASE_LIBRARIES = {"sqlalchemy", "sqlite3", "alembic"}
MOST_PLACES = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """The findings about an app that could not be made."""

    uri: str
    """The database on which it was tried."""
    lookups: Mapping[str, str]
    """The environment variables that were looked up, each with the function that did."""
    files: Iterable[str]
    """The files of the app's modules."""
    tried: bool
    """The variables were given the URI; not so if the user named another one."""
    factory: bool
    """The app is made by a factory, not when its module is imported."""

    @property
    def variables(self) -> dict[str, str]:
        """Return the variables that look like the URI, a part of it, or a configuration."""
        return uri_variables(self.lookups) | configuration_variables(self.lookups, "")

    @property
    def written(self) -> list[WrittenUri]:
        """Return the places at which a URI is written in the code."""
        found = {uri.place: uri for file in sorted(self.files) for uri in written_uris(Path(file))}
        return list(found.values())[:MOST_PLACES]

    @property
    def holding(self) -> list[str]:
        """Return the variables that were looked up, and that hold a database URI now."""
        return [name for name in self.lookups if WRITTEN_URI.match(os.environ.get(name, ""))]

    @property
    def other_kinds(self) -> list[str]:
        """Return the other kinds of databases for which the app builds a URI from parts."""
        if not {USER, HOST} & set(self.variables.values()):
            return []
        return sorted({uri.kind for uri in self.written} - {make_url(self.uri).get_backend_name()})


def without_calls(subject: Subject) -> SubjectError:
    """Return the error about a factory that cannot be called.

    Args:
        subject: The app.
    """
    return SubjectError(
        f"{subject} has required arguments that cannot be guessed. Write a function that makes the app from"
        f" its parameter uri, and name it: {flag('app')} testbed_app.py:app_for. Or write the call out, and"
        f" have it read the URI from an environment variable: {flag('app')} \"myapp:create_app('testing')\""
        f" {flag('uri-env')} DATABASE_URL."
    )


def refuse_unused_options(subject: Subject, call: FactoryCall) -> None:
    """Raise SubjectError if the app was made without the option that the user named.

    Args:
        subject: The app.
        call: The call that made it.
    """
    if subject.uri_env and subject.is_for_the_testbed:
        unused, value, name = "uri-env", subject.uri_env, "the variable from which the app reads"
    elif subject.uri_key and not subject.uri_env and (call.by_environment or call.by_argument):
        unused, value, name = "uri-key", subject.uri_key, "the key under which the app reads"
    elif subject.config and not subject.variable_parts and (call.by_environment or call.by_argument):
        unused, value, name = "config", subject.config, "a factory that takes a configuration with"
    else:
        return
    where = f", with the URI {subject.where_the_uri_is}" if call.by_environment else ""
    message = (
        f"{flag(unused)} {value} has no effect: {subject} was made {call.description}{where}."
        f" Leave the option out, or name {name} the URI."
    )
    raise SubjectError(message)


def failure(subject: Subject, errors: Mapping[str, SubjectError], facts: Facts | None) -> SubjectError:
    """Return an error that lists the result of each call, and advises on the URI.

    Args:
        subject: The app.
        errors: The errors, each by a description of the call.
        facts: The findings; None for no advice.
    """
    if facts is None:  # A function that the user wrote may refuse a kind of database.
        elsewhere = any(isinstance(error, FactoryError) for error in errors.values())
    else:
        elsewhere = bool(facts.other_kinds) or any(map(_is_of_a_database, errors.values()))
    kind = NoWorkingFactoryCallError if elsewhere else SubjectError
    used = next((error for error in errors.values() if error.has_connected), None)
    # The app was made with this call, and its session is on the right database.
    bind = next((error for error in errors.values() if isinstance(error, BindElsewhereError)), None)
    known = bind or (_of_a_name(subject, errors.values(), facts) if facts and not used else None)
    known = known or _of_the_code(subject, errors.values())
    if known:
        return known
    if used:
        # The app took the URI: no other call has to be found, and no place for the URI.
        return kind(f"{str(used).rstrip('.')}.{'' if _is_of_a_database(used) else _other_values(subject)}")
    if facts is None:
        return kind("\n".join(map(str, errors.values())))
    raised = [isinstance(error, FactoryError) for error in errors.values()]
    advice = " ".join(_advice(facts, of_the_uri=not all(raised)))
    if any(raised):
        advice += _other_values(subject)
    if len(errors) == 1:
        (error,) = errors.values()
        is_elsewhere = isinstance(error, (BoundElsewhereError, StartedElsewhereError))
        if is_elsewhere or facts.variables or (facts.written and lacks_driver(error.__cause__)):
            return kind(f"{str(error).rstrip('.')}. {advice}")
        return kind(str(error))
    headline, ways = _of_all_calls(subject, errors, only_raised=all(raised))
    return kind(f"{headline}. {advice}\nThe app was tried in these ways:{ways}")


def _of_all_calls(
    subject: Subject, errors: Mapping[str, SubjectError], *, only_raised: bool
) -> tuple[str, str]:
    """Return a headline for the errors of several calls, and the calls below the reason of each."""
    reasons: dict[str, list[str]] = {}
    for call, error in errors.items():
        reasons.setdefault(_reason(subject, error), []).append(call)
    ways = "".join(
        f"\n  {reason}" + "".join(f"\n    {call}" for call in calls) for reason, calls in reasons.items()
    )
    if not only_raised:
        return f"{subject} did not use the run's database", ways
    if len(reasons) == 1:
        return f"{subject} {next(iter(reasons))}", ways
    return f"{subject} raised an error in each way in which it was tried", ways


def _reason(subject: Subject, error: SubjectError) -> str:
    """Return the first sentence of an error, without the subject and the call."""
    text = str(error)
    if isinstance(error, FactoryError) and error.__cause__ is not None:
        text = f"raised {_raised(error.__cause__)}"
    return text.strip().splitlines()[0].removeprefix(f"{subject} ").partition(". ")[0].rstrip(".")


def _of_a_name(subject: Subject, errors: Iterable[SubjectError], facts: Facts) -> SubjectError | None:
    """Return an error about one name that the user has to change; None if no such name is known."""
    first, *others = errors
    if isinstance(first, NoSuchNameError) and not others:
        return first
    without_driver = lacks_driver(first.__cause__)
    elsewhere = without_driver or any(
        isinstance(error, (BoundElsewhereError, StartedElsewhereError)) for error in (first, *others)
    )
    variables, option = list(facts.variables), flag("uri-env")
    if elsewhere and subject.uri_env and variables and subject.uri_env not in facts.lookups:
        is_one = list(facts.variables.values()) == [URI]
        remedy = f"add {option} {variables[0]} instead" if is_one else f"leave {option} out"
        return SubjectError(
            f"{subject} did not look up {subject.uri_env}, the variable of {option}."
            f" It looked up {_words(variables)}: {remedy}."
        )
    if without_driver and not others and (names := facts.holding):
        reason = str(first).partition(" It is the driver ")[0]
        return SubjectError(
            f"{reason} It is the driver of the URI that the variable {names[0]} holds: add"
            f" {option} {names[0]}, or unset the variable, or {installation_of(first.__cause__)}."
        )
    return None


def _of_the_code(subject: Subject, errors: Iterable[SubjectError]) -> SubjectError | None:
    """Return an error about a name that the app's code lacks, whatever the arguments are; else None."""
    causes = (error.__cause__ for error in errors if isinstance(error, FactoryError))
    cause = next((one for one in causes if isinstance(one, NameError) or _is_of_an_own_import(one)), None)
    return SubjectError(f"{subject} raised {_raised(cause)}. Correct the code.") if cause else None


def _is_of_an_own_import(error: BaseException | None) -> bool:
    """Return whether a line of the app imports a name that another module of the app does not have."""
    if not isinstance(error, ImportError) or not line_of_app(error, last=True):
        return False
    package = (error.name or "").partition(".")[0]
    return is_own(file_of(package) if package else "")


def _raised(error: BaseException) -> str:
    """Return the type of an error, the last line of the app that led to it, and its message."""
    here = Path.cwd()
    frames = [(Path(frame.filename), frame.lineno) for frame in traceback.extract_tb(error.__traceback__)]
    own = [frame for frame in frames if frame[0].is_relative_to(here) and "-packages" not in str(frame[0])]
    path, line = (own or frames)[-1]
    name = shown(path) if own else path.name
    return f"{type(error).__name__} in {name}, line {line}: {error}"


def _other_values(subject: Subject) -> str:
    sentence = f" If the app needs other values, name a file that has them: {flag('config')} FILE."
    return "" if subject.config else sentence


def _advice(facts: Facts, *, of_the_uri: bool) -> Iterator[str]:
    variables = facts.variables
    # The others are defaults of variables that have been tried.
    written = [uri for uri in facts.written if of_the_uri and not (facts.tried and uri.variable in variables)]
    if written:
        yield f"A URI is written in {_words(uri.place for uri in written)}."
    if kinds := facts.other_kinds:
        yield f"It is a URI of another kind of database: try {flag('backend')} {' or '.join(kinds)}."
    elif keys := sorted({uri.key for uri in written} - {"", *URI_KEYS} if facts.factory else ()):
        yield f"It is the configuration of {_words(keys)}: try {flag('uri-key')} {keys[0]}."
    elif names := sorted({uri.variable for uri in written} - {""}):
        yield f"The variable {names[0]} replaces it: add {flag('uri-env')} {names[0]}."
    elif written:
        yield 'Read the variable DATABASE_URL there first: os.environ.get("DATABASE_URL", ...).'
    elif of_the_uri:
        key, variable = f"{flag('uri-key')} KEY", f"{flag('uri-env')} VARIABLE"
        yield f"Name the place where the app reads the URI: {key}, or {variable}."
    if facts.factory:
        yield (
            f"{'Or write' if of_the_uri else 'Write'} a function that makes the app from its parameter uri,"
            f" and name it: {flag('app')} testbed_app.py:app_for."
        )
    if variables:
        given = ", which got the URI or its parts" if facts.tried else ""
        yield f"The app looked up {_words(variables)}{given}."
    else:
        yield "The app looked up no environment variable whose name is like that of a database."


def _words(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _is_of_a_database(error: BaseException | None) -> bool:
    """Return whether a database library raised the error: another kind of database may work."""
    while error is not None:
        frames = traceback.walk_tb(error.__traceback__)
        modules = (frame.f_globals.get("__name__", "").partition(".")[0] for frame, _ in frames)
        if any(module in DATABASE_LIBRARIES for module in modules):
            return not isinstance(error, ForbiddenDatabaseError)
        error = error.__cause__
    return False
