"""The errors of finding and making the app under test."""

from __future__ import annotations

from flask_sqlalchemy_testbed.redaction import redact


class SubjectError(Exception):
    """The app cannot be tried; the message says why and what to do, without passwords."""

    def __str__(self) -> str:
        return redact(super().__str__())


class FactoryError(SubjectError):
    """The app's factory raised an exception."""


class BoundElsewhereError(SubjectError):
    """The app's session is bound to another database than the given one; no statement was sent."""


class StartedElsewhereError(SubjectError):
    """While it started, the app tried to connect to a database outside the run; nothing was sent."""


class NoSessionError(SubjectError):
    """The app was made, but its session was not found; another call of the factory would not help."""


class NoWorkingFactoryCallError(SubjectError):
    """A database library raised in every promising call; on another kind of database one may work."""
