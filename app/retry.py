"""Run a piece of work in one transaction, again if another one was in its way."""

from __future__ import annotations

import random
import time
from itertools import count
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy.exc import DBAPIError

from .database import db_session
from .faults import Fault, fault_of

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TRIES = 8
PATIENCE_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25

# A value that is taken now may be what the work looks up first when it runs again.
AGAIN = {Fault.CONTENDED, Fault.TAKEN}


def in_transaction(work: Callable[[], T]) -> T:
    """Return what ``work`` returns, committed; or leave nothing of it behind.

    ``work`` runs again from its start, on fresh reads, after a deadlock, a serialization
    failure, a lock that was not to be had, or a unique value that somebody else took in the
    meantime. When ``TRIES`` or ``PATIENCE_SECONDS`` are used up, the last error is raised.

    It owns the transaction of ``db_session``: one that is open already is an error, since its
    snapshot and its locks would be older than the work.
    """
    if db_session().in_transaction():
        message = "A transaction is open already. Commit it or roll it back before in_transaction()."
        raise RuntimeError(message)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for attempt in count(1):
        try:
            # SQLite takes the lock of a writer now, and waits for it: a reader that turns
            # writer would be refused at once. It means nothing to the others.
            db_session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
            result = work()
            db_session.commit()
        except DBAPIError as error:
            if fault_of(error) not in AGAIN or attempt >= TRIES or time.monotonic() >= deadline:
                raise
        else:
            return result
        finally:
            db_session.rollback()
        time.sleep(pause(attempt))
    raise AssertionError  # count() does not end


def pause(attempt: int) -> float:
    """Return a random part of a pause that doubles: those who collided do not meet again."""
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, longest)  # noqa: S311 - not a secret
