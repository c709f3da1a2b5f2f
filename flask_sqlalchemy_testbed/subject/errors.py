"""The errors of finding and making the app under test."""

from __future__ import annotations


class SubjectError(Exception):
    """The subject cannot be tried; one sentence says what was tried and how to say it right."""


class RefusedError(SubjectError):
    """The factory itself raised."""


class BoundElsewhereError(SubjectError):
    """Nothing was sent: its session is on another database than the one that it was given."""


class StartedElsewhereError(SubjectError):
    """Nothing was sent: it wanted to connect to a database that is none of the run's when it started."""


class NoSessionError(SubjectError):
    """There is an app; how it is made does not decide that its session is not found."""


class FruitlessError(SubjectError):
    """No way of making it led to the database; on one of another kind one may."""
