"""Records what happens to contexts, sessions and connections; it knows SQLAlchemy and Flask, no more."""

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

from flask_sqlalchemy_testbed.timeline.events import Event, as_json
from flask_sqlalchemy_testbed.timeline.listeners import Listeners

if TYPE_CHECKING:
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.orm import Session

# The environment variable that tells another process where to write its events.
SPOOL = "TESTBED_RECORDER_SPOOL"
# So many are kept until they are taken; the oldest go first.
MOST = 5000
# More things than any process makes.
_APART = 10**9


class Recorder:
    """Listens while it is installed, in every thread; it keeps alive nothing that it hears of.

    A process that is forked from this one writes its events to a file in `spool`, if that is given, and so
    does one that calls `record_here`; `take` brings them back.
    """

    def __init__(self, spool: Path | None = None) -> None:
        self.spool = spool
        self._file: int | None = None
        self._where = ""
        self._events: deque[Event] = deque(maxlen=MOST)
        self._numbers = itertools.count(1)
        self._objects: weakref.WeakKeyDictionary[object, int] = weakref.WeakKeyDictionary()
        # Not every driver's connections can be referred to weakly.
        self._connections: dict[int, int] = {}
        self._listeners = Listeners(self)

    def install(self) -> None:
        """Begin to listen, to engines and sessions that are there already too."""
        self._listeners.install()
        _installed.add(self)

    def remove(self) -> None:
        """Stop listening."""
        _installed.discard(self)
        self._listeners.remove()

    def take(self) -> list[Event]:
        """What has happened since it was last taken, in this process and in those that write to the spool."""
        events = [self._events.popleft() for _ in range(len(self._events))]
        for path in self.spool.glob("*.jsonl") if self.spool else ():
            events += [Event(**json.loads(line)) for line in path.read_bytes().splitlines()]
            path.unlink()
        return events

    def keep(  # noqa: PLR0913 - what an event may be about
        self,
        kind: str,
        *,
        context: int | None = None,
        session: Session | None = None,
        connection: DBAPIConnection | None = None,
        text: str = "",
        failed: bool = False,
    ) -> Event:
        """Adds an event of this moment, thread and context."""
        event = Event(
            monotonic(),
            kind,
            threading.current_thread().name + self._where,
            context or self.context(),
            self._number(session) if session is not None else None,
            self.number(connection) if connection is not None else None,
            text,
            None,
            failed,
        )
        if self._file is None:
            self._events.append(event)
        elif kind != "statement":
            _write(self._file, event)
        return event

    def end(self, statement: Event, *, failed: bool) -> None:
        """That statement has ended now."""
        statement.seconds, statement.failed = monotonic() - statement.at, failed
        if self._file is not None:
            _write(self._file, statement)

    def asked(
        self, connection: DBAPIConnection, statement: str, begun: float, error: Exception | None
    ) -> None:
        """Adds a statement that was sent past all engines, and has ended now."""
        text = statement if error is None else f"{statement} -- {type(error).__name__}: {error}"
        event = self.keep("question", connection=connection, text=text, failed=error is not None)
        event.at, event.seconds = begun, event.at - begun

    def context(self) -> int | None:
        """The number of the app context that is current here, if one is."""
        # The object, since the proxy stands for another one next time.
        return self._number(app_ctx._get_current_object()) if has_app_context() else None  # type: ignore[attr-defined] # noqa: SLF001

    def number(self, connection: DBAPIConnection, *, new: bool = False) -> int:
        """That of a connection. A `new` one has to be told: it may have the id of one that is gone."""
        key = id(connection)
        if new or key not in self._connections:
            self._connections[key] = next(self._numbers)
        return self._connections[key]

    def forget(self, connection: DBAPIConnection) -> None:
        """That connection is closed."""
        self._connections.pop(id(connection), None)

    def write_down(self) -> None:
        """From here on write each event to this process's own file in the spool, and keep none."""
        self._events.clear()
        self._where = f" of process {os.getpid()}"
        # What was there before the fork keeps its number: that is how one sees who shares it.
        self._numbers = itertools.count(os.getpid() * _APART)
        if self.spool is not None and self.spool.is_dir():
            path = self.spool / f"{os.getpid()}.jsonl"
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def _number(self, thing: object) -> int:
        number = self._objects.get(thing)
        if number is None:
            number = self._objects[thing] = next(self._numbers)
        return number


def _write(file: int, event: Event) -> None:
    """In one go: nothing is lost when the process is killed, and no thread comes between."""
    (fields,) = as_json([event], since=0)
    for name in ("context", "session", "connection"):
        if (number := getattr(event, name)) is not None:
            fields[name] = number
    os.write(file, json.dumps(fields).encode() + b"\n")


def record_here() -> None:
    """In another process: write down what happens here and in what is forked from it, if that is wanted."""
    if spool := os.environ.get(SPOOL):
        recorder = Recorder(Path(spool))
        recorder.install()
        recorder.write_down()
        _here.append(recorder)


_installed: weakref.WeakSet[Recorder] = weakref.WeakSet()
_here: list[Recorder] = []


def _write_down_in_child() -> None:
    for recorder in list(_installed):
        recorder.write_down()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_write_down_in_child)
