"""Define the events of a timeline, and convert them to JSON."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from flask_sqlalchemy_testbed.redaction import tidy

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import Session

JsonEvent = dict[str, Any]


class EventKind(StrEnum):
    """The kinds of events; the values stand in evidence.json and on the pages."""

    CONTEXT_PUSHED = "context pushed"
    CONTEXT_POPPED = "context popped"
    REQUEST_STARTED = "request started"
    REQUEST_ANSWERED = "request answered"
    REQUEST_FAILED = "request failed"
    SESSION_BEGUN = "session begun"
    SESSION_CONNECTED = "session connected"
    SESSION_COMMITTED = "session committed"
    SESSION_ROLLED_BACK = "session rolled back"
    SESSION_CLOSED = "session closed"
    SESSION_REMOVED = "session removed"
    """Sent by the binding of this repository; SQLAlchemy has no such event."""
    CONNECTION_OPENED = "connection opened"
    CONNECTION_CHECKED_OUT = "connection checked out"
    CONNECTION_RETURNED = "connection returned"
    CONNECTION_DETACHED = "connection detached"
    CONNECTION_INVALIDATED = "connection invalidated"
    CONNECTION_CLOSED = "connection closed"
    TRANSACTION_BEGUN = "transaction begun"
    TRANSACTION_COMMITTED = "transaction committed"
    TRANSACTION_ROLLED_BACK = "transaction rolled back"
    SAVEPOINT_SET = "savepoint set"
    SAVEPOINT_RELEASED = "savepoint released"
    SAVEPOINT_ROLLED_BACK = "savepoint rolled back"
    STATEMENT = "statement"
    CHECK_STATEMENT = "statement of the check"
    """Sent by the check itself on a connection of the harness, which no engine manages."""
    ERROR = "error"
    ENGINE_DISPOSED = "engine disposed"


STATEMENTS = frozenset({EventKind.STATEMENT, EventKind.CHECK_STATEMENT})


@dataclass(slots=True)
class Event:
    """An event: its time, its thread, and the numbers of the objects that it is about.

    The time is `time.monotonic()`.

    The text may contain passwords. `as_json` removes them, so convert events before they leave the process.
    """

    at: float
    kind: EventKind
    thread: str
    context: int | None = None
    session: int | None = None
    connection: int | None = None
    text: str = ""
    seconds: float | None = None
    """The duration of a statement; None until it has ended."""
    failed: bool = False


class EventSink(Protocol):
    """Receives the events of `Listeners`; `Recorder` is one."""

    def record(  # noqa: PLR0913 - the objects that an event can be about
        self,
        kind: EventKind,
        *,
        context: int | None = None,
        session: Session | None = None,
        connection: DBAPIConnection | None = None,
        text: str = "",
        failed: bool = False,
    ) -> Event:
        """Add an event of this moment and thread, in the current context unless one is given."""

    def end_statement(self, statement: Event, *, failed: bool) -> None:
        """Set the duration and the outcome of a statement that was recorded when it began."""

    def connection_opened(self, connection: DBAPIConnection) -> None:
        """Give a new connection a number of its own, before its first event."""

    def connection_closed(self, connection: DBAPIConnection) -> None:
        """Forget the number of a connection, after its last event."""

    def current_context(self) -> int | None:
        """Return the number of the current app context, or None."""


_FIELDS = tuple(field.name for field in fields(Event))


def as_json(events: Iterable[Event], since: float) -> list[JsonEvent]:
    """Return the events in order of time, as dictionaries for `json.dumps`.

    Args:
        events: The events, in any order.
        since: The `time.monotonic()` that counts as 0 in the result.

    Returns:
        One dictionary for each event. Contexts, sessions and connections are numbered from 1, texts contain
        no passwords, and fields without a value are left out.
    """
    numbers: dict[str, dict[int, int]] = {"context": {}, "session": {}, "connection": {}}
    found = []
    for event in sorted(events, key=lambda event: event.at):
        fields = {name: value for name in _FIELDS if (value := getattr(event, name)) not in (None, "", False)}
        fields |= {"at": round(event.at - since, 6), "kind": str(event.kind)}
        if event.seconds is not None:
            fields["seconds"] = round(event.seconds, 6)
        if event.text:
            fields["text"] = tidy(event.text)
        for name, known in numbers.items():
            if name in fields:
                fields[name] = known.setdefault(fields[name], len(known) + 1)
        found.append(fields)
    return found
