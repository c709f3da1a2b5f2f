"""Run a function in one transaction, and again after a conflict with another transaction."""

import random
import time
from collections.abc import Callable
from itertools import count
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from .database import db_session
from .faults import Fault, fault_of

T = TypeVar("T")

TRIES = 8
RETRY_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.01
LONGEST_PAUSE_SECONDS = 0.25

# A unique value that is taken now may be found by the first query of the next try.
RETRIED = {Fault.CONTENDED, Fault.TAKEN}


def in_transaction(work: Callable[[], T]) -> T:
    """Run ``work`` in one transaction of ``db_session``; commit it, or leave nothing behind.

    After a deadlock, a serialization failure, a lock timeout, or a unique value that another
    transaction took in the meantime, ``work`` runs again from its start, on fresh reads.

    Args:
        work: Called without arguments, once for each try. It neither commits nor rolls back.

    Returns:
        The result of ``work``.

    Raises:
        RuntimeError: A transaction is open already. Its snapshot and its locks would be older
            than the work.
        DBAPIError: The error of the last try, after ``TRIES`` tries or ``RETRY_SECONDS``; or at
            once an error that another try would not avoid.
    """
    if db_session().in_transaction():
        message = "A transaction is open already. Commit it or roll it back before in_transaction()."
        raise RuntimeError(message)
    deadline = time.monotonic() + RETRY_SECONDS
    for attempt in count(1):
        try:
            # SQLite takes the write lock now and waits for it: a transaction that begins to write
            # after a read could be refused at once. Other databases ignore this option.
            db_session.connection(execution_options={"sqlite_begin": "IMMEDIATE"})
            result = work()
            db_session.commit()
        except DBAPIError as error:
            if fault_of(error) not in RETRIED or attempt >= TRIES or time.monotonic() >= deadline:
                raise
        else:
            return result
        finally:
            db_session.rollback()
        time.sleep(pause(attempt))
    raise AssertionError  # count() does not end


def pause(attempt: int) -> float:
    """Return a random pause after an attempt, in seconds, so that rivals do not collide again.

    Args:
        attempt: The number of the attempt, from 1. The longest pause doubles with each.
    """
    longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    return random.uniform(0, longest)  # noqa: S311 - not a secret
