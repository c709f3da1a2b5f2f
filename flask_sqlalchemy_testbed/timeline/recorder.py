"""Record the events of contexts, sessions and connections in this process and its children."""

from __future__ import annotations

import itertools
import json
import os
import threading
import weakref
from collections import deque
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from flask import has_app_context
from flask.globals import app_ctx

from flask_sqlalchemy_testbed.timeline.events import Event, EventKind, as_json
from flask_sqlalchemy_testbed.timeline.listeners import Listeners

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import Session

# The environment variable with the directory to which another process writes its events.
SPOOL = "TESTBED_RECORDER_SPOOL"
# Between two calls of `take`; the oldest events are dropped.
MAX_EVENTS = 5000
# Distance between the numbers of two processes: more objects than any process creates.
_NUMBERS_PER_PROCESS = 10**9


class Recorder:
    """Records events in every thread while it is installed, and keeps no recorded object alive.

    Args:
        spool: A directory. A process that is forked from this one writes its events to a file there, and so
            does a process that calls `record_in_this_process`. `take` reads and removes the files.
    """

    def __init__(self, spool: Path | None = None) -> None:
        self.spool = spool
        self._file: int | None = None
        self._process = ""
        self._events: deque[Event] = deque(maxlen=MAX_EVENTS)
        self._numbers = itertools.count(1)
        self._objects: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        # By id: the connections of some drivers cannot be referenced weakly.
        self._connections: dict[int, int] = {}
        self._listeners = Listeners(self)

    def install(self) -> None:
        """Start recording, also on engines and sessions that exist already."""
        self._listeners.install()
        _installed.add(self)

    def remove(self) -> None:
        """Stop recording."""
        _installed.discard(self)
        self._listeners.remove()

    def take(self) -> list[Event]:
        """Return the events since the last call, those of other processes included, in no order."""
        events = [self._events.popleft() for _ in range(len(self._events))]
        for path in self.spool.glob("*.jsonl") if self.spool else ():
            for line in path.read_bytes().splitlines():
                fields = json.loads(line)
                events.append(Event(**{**fields, "kind": EventKind(fields["kind"])}))
            path.unlink()
        return events

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
        """Add an event of this moment and thread, in the current context unless one is given.

        Args:
            kind: The kind of event.
            context: The number of the app context; None means the current context.
            session: The session of the event, if any.
            connection: The connection of the event, if any.
            text: Details, such as the statement.
            failed: Whether the event is an error.

        Returns:
            The event, which `end_statement` completes if it is a statement.
        """
        event = Event(
            monotonic(),
            kind,
            threading.current_thread().name + self._process,
            context or self.current_context(),
            self._number(session) if session is not None else None,
            self._number_of_connection(connection) if connection is not None else None,
            text,
            None,
            failed,
        )
        if self._file is None:
            self._events.append(event)
        elif kind is not EventKind.STATEMENT:  # A statement is written when it ends.
            _write(self._file, event)
        return event

    def end_statement(self, statement: Event, *, failed: bool) -> None:
        """Set the duration and the outcome of a statement that was recorded when it began.

        Args:
            statement: The event that `record` returned.
            failed: Whether the statement raised.
        """
        statement.seconds, statement.failed = monotonic() - statement.at, failed
        if self._file is not None:
            _write(self._file, statement)

    def record_check_statement(
        self, connection: DBAPIConnection, statement: str, begun: float, error: Exception | None
    ) -> None:
        """Add a statement of the check itself, which has just ended.

        This is a `Connection.listener`.

        Args:
            connection: The harness's own connection.
            statement: The SQL.
            begun: The `time.monotonic()` of its start.
            error: The exception that it raised, or None.
        """
        text = statement if error is None else f"{statement} -- {type(error).__name__}: {error}"
        event = self.record(
            EventKind.CHECK_STATEMENT, connection=connection, text=text, failed=error is not None
        )
        event.at, event.seconds = begun, event.at - begun

    def connection_opened(self, connection: DBAPIConnection) -> None:
        """Give a new connection a number: it may have the `id` of one that is gone.

        Args:
            connection: The new connection.
        """
        self._connections[id(connection)] = next(self._numbers)

    def connection_closed(self, connection: DBAPIConnection) -> None:
        """Forget the number of a connection, after its last event.

        Args:
            connection: The connection, which is closed.
        """
        self._connections.pop(id(connection), None)

    def current_context(self) -> int | None:
        """Return the number of the current app context, or None."""
        # The object itself: the proxy stands for another one next time.
        return self._number(app_ctx._get_current_object()) if has_app_context() else None  # type: ignore[attr-defined] # noqa: SLF001

    def write_to_spool(self) -> None:
        """Write all further events to a file of this process in the spool, and keep none in memory."""
        self._events.clear()
        self._process = f" of process {os.getpid()}"
        # Objects from before the fork keep their numbers, which shows that both processes use them.
        self._numbers = itertools.count(os.getpid() * _NUMBERS_PER_PROCESS)
        if self.spool is not None and self.spool.is_dir():
            path = self.spool / f"{os.getpid()}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _number_of_connection(self, connection: DBAPIConnection) -> int:
        if id(connection) not in self._connections:
            self.connection_opened(connection)
        return self._connections[id(connection)]

    def _number(self, thing: object) -> int:
        number = self._objects.get(thing)
        if number is None:
            number = self._objects[thing] = next(self._numbers)
        return number


def _write(file: int, event: Event) -> None:
    # In one call: a killed process loses no event, and threads do not interleave.
    (fields,) = as_json([event], since=0)
    for name in ("context", "session", "connection"):
        if (number := getattr(event, name)) is not None:
            fields[name] = number
    os.write(file, json.dumps(fields).encode() + b"\n")


def record_in_this_process() -> None:
    """Write the events of this process to the spool that `SPOOL` names, if it is set.

    The child processes write theirs too.

    For processes that a check starts. Recording lasts until the process ends.
    """
    if spool := os.environ.get(SPOOL):
        recorder = Recorder(Path(spool))
        recorder.install()
        recorder.write_to_spool()
        _kept_alive.append(recorder)


_installed: weakref.WeakSet[Recorder] = weakref.WeakSet()
_kept_alive: list[Recorder] = []


def _after_fork_in_child() -> None:
    for recorder in list(_installed):
        recorder.write_to_spool()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
