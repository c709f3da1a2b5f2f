"""The errors of finding and making the app under test."""

from __future__ import annotations

import sys
import traceback

from flask_sqlalchemy_testbed.options import flag
from flask_sqlalchemy_testbed.redaction import redact


class SubjectError(Exception):
    """The app cannot be tried; the message says why and what to do, without passwords."""

    has_connected = False
    """The app had connected to the database that it was given."""

    def __str__(self) -> str:
        return redact(super().__str__())


class ReadingError(SubjectError):
    """Reading an attribute of the app raised; the cause is the app's own exception."""


class FactoryError(SubjectError):
    """The app's factory raised an exception."""


class BoundElsewhereError(SubjectError):
    """The app's session is bound to another database than the given one; no statement was sent."""


class BindElsewhereError(SubjectError):
    """A further engine of the app is on a database that the run did not create."""


class StartedElsewhereError(SubjectError):
    """At its start the app tried to connect to a database outside the run.

    Nothing was sent.
    """


class ObstacleError(SubjectError):
    """No check could use the app on one backend; on others it may work."""


class NoSessionError(SubjectError):
    """The app was made, but its session was not found.

    Another call of the factory would not help.
    """


class NotInThisProcessError(SubjectError):
    """The app's start-up code tried to end the process, or returned in a forked one too.

    Another call of the factory would do the same.
    """


class NoWorkingFactoryCallError(SubjectError):
    """No call worked; on another kind of database one may.

    A database library raised, or the user's own function did.
    """


def remedy_of(error: BaseException) -> str:
    """Return a sentence on the module, the variable or the length that the app misses; else an empty string.

    Args:
        error: The error that the app raised when it was imported or made.
    """
    if "requires a length on dialect" in str(error):  # SQLAlchemy's words
        return ". Give the column a length, such as String(255)."
    if isinstance(error, ModuleNotFoundError) and error.name:
        module, _, name = error.name.rpartition(".")
        if hasattr(sys.modules.get(module), name):
            return f". Write {module}:{name}, with a colon."
        return ". Change to the folder that holds it, or install its package into this environment."
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    # `os` raises a KeyError for a missing environment variable alone.
    if not isinstance(error, KeyError) or not frames or frames[-1].f_globals.get("__name__") != "os":
        return ""
    name = error.args[0]
    option = f"{flag('uri-env')} {name}"
    return f". Set the environment variable {name}, or, if it holds the database URI, add {option}."
