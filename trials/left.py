"""Whether the sessions of a scenario have ended: by the events, by the registry, as the server sees it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flask_sqlalchemy_testbed.timeline.events import EventKind

from .stage import Fact

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from flask_sqlalchemy_testbed.timeline.events import Event

    from .stage import Stage

# A server notices a moment late that a client has rolled back or gone.
NOTICE = 1.0
# An embedded database lists nothing; but it lets only one write at a time.
OPEN = {True: ("transaction", "server"), False: ("writer", "file")}
GONE = {EventKind.CONNECTION_RETURNED, EventKind.CONNECTION_CLOSED, EventKind.CONNECTION_INVALIDATED}


def measure(stage: Stage, before: set[str]) -> Iterator[Fact]:
    """What the scenario made of sessions and connections, and what is left of them.

    `before` are the transactions that were open on the server before it began.
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
    yield Fact(f"{len(alive)} of these sessions in the registry", not alive)
    del alive  # or it would be held by this very frame
    what, where = OPEN["server" in stage.mounted.backend.capabilities]
    yield Fact(f"{_count(transactions, what)} left on the {where}", not transactions)


def open_before(stage: Stage) -> set[str]:
    """The transactions that are open on the server now, by the server's own numbers."""
    return {transaction.session for transaction in stage.outside.open_transactions(within=0)}


def _transactions_left(stage: Stage, before: set[str]) -> set[str]:
    """Those that are new and stay: somebody else's request is over in a moment."""
    deadline = time.monotonic() + NOTICE
    left = open_before(stage) - before
    while left and time.monotonic() < deadline:
        time.sleep(0.01)
        left &= open_before(stage)
    return left


def _ended(events: list[Event], what: str, begins: EventKind, ends: set[EventKind]) -> set[int]:
    """Those of which the end was heard, and no other beginning after it."""
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
