"""Measure whether the sessions of an action ended.

The sources are events, the registry, and the server.
"""

import time
from collections.abc import Iterable, Iterator

from flask_sqlalchemy_testbed.timeline.events import Event, EventKind

from .stage import Fact, Stage

# Seconds: a server notices a rollback or a closed connection with a delay.
NOTICE = 1.0
# An embedded database cannot list transactions, but it can tell whether there is a writer.
OPEN = {True: ("transaction", "server"), False: ("writer", "file")}
GONE = {EventKind.CONNECTION_RETURNED, EventKind.CONNECTION_CLOSED, EventKind.CONNECTION_INVALIDATED}


def measure(stage: Stage, before: set[str]) -> Iterator[Fact]:
    """Yield facts about the sessions and connections of an action, also about open ones.

    Args:
        stage: The action.
        before: The transactions that were open on the server before it.
    """
    transactions = _transactions_left(stage, before)
    events = list(stage.tape.events)
    made = {event.session for event in events if event.kind is EventKind.SESSION_BEGUN}
    removed = _ended(events, "session", EventKind.SESSION_BEGUN, {EventKind.SESSION_REMOVED})
    taken = {event.connection for event in events if event.kind is EventKind.CONNECTION_CHECKED_OUT}
    returned = _ended(events, "connection", EventKind.CONNECTION_CHECKED_OUT, GONE)
    yield Fact(f"{_count(made, 'session')} made, {len(removed)} removed", made == removed)
    yield Fact(f"{_count(taken, 'connection')} used, {len(returned)} back or closed", taken == returned)
    alive = [session for session in stage.mounted.sessions() if session in stage.tape.sessions]
    yield Fact(f"{len(alive)} of these sessions still in the registry", not alive)
    del alive  # this frame must not keep the sessions alive
    what, where = OPEN["server" in stage.mounted.backend.capabilities]
    yield Fact(f"{_count(transactions, what)} left on the {where}", not transactions)


def open_before(stage: Stage) -> set[str]:
    """Return the transactions that are open on the server, by the server's own numbers."""
    return {transaction.session for transaction in stage.outside.open_transactions(within=0)}


def _transactions_left(stage: Stage, before: set[str]) -> set[str]:
    """Return new transactions that stay open; those of other requests end in a moment."""
    deadline = time.monotonic() + NOTICE
    left = open_before(stage) - before
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left &= open_before(stage)
    return left


def _ended(events: list[Event], what: str, begins: EventKind, ends: set[EventKind]) -> set[int]:
    """Return the numbers of objects that ended, and did not begin again."""
    ended: set[int] = set()
    for event in events:
        number = getattr(event, what)
        if event.kind in ends:
            ended.add(number)
        elif event.kind == begins:
            ended.discard(number)
    begun = {getattr(event, what) for event in events if event.kind == begins}
    return ended & begun


def _count(things: Iterable[object], noun: str) -> str:
    number = len(list(things))
    return f"{number} {noun}{'' if number == 1 else 's'}"
