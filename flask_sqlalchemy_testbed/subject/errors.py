"""The errors of finding and making the app under test."""

from __future__ import annotations


class SubjectError(Exception):
    """The app cannot be tried; the message says why and what to do."""


class FactoryError(SubjectError):
    """The app's factory raised an exception."""


class BoundElsewhereError(SubjectError):
    """The app's session is bound to another database than the given one; no statement was sent."""


class StartedElsewhereError(SubjectError):
    """At its start, the app tried to connect to a database outside the run.

    No data was sent.
    """


class NoSessionError(SubjectError):
    """The app was made, but its session was not found.

    Another call of the factory would not help.
    """


class NoWorkingFactoryCallError(SubjectError):
    """A database library raised in every promising call of the factory.

    A call may work on another kind of database.
    """
