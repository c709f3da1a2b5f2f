"""Record the events of each action apart, with the recorder of the report."""

import weakref
from collections.abc import Callable
from contextvars import Context, ContextVar
from typing import Any, TypeVar

from sqlalchemy.orm import Session

from app.database import session_removed
from flask_sqlalchemy_testbed.timeline.events import Event, EventKind
from flask_sqlalchemy_testbed.timeline.recorder import Recorder

T = TypeVar("T")


class Tape:
    """The events of one action on one backend, from all its threads; it keeps no session alive."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()

    def run(self, work: Callable[[], T]) -> T:
        """Run `work` in a `contextvars` context of its own, whose events go to this tape."""
        context = Context()
        context.run(self.listen)
        return context.run(work)

    def listen(self) -> None:
        """Send all further events of the current ``contextvars`` context to this tape."""
        _tape.set(self)


_tape: ContextVar[Tape | None] = ContextVar("tape", default=None)


class TapeRecorder(Recorder):
    """Give each event to the tape of the scenario that caused it.

    Other events are soon forgotten.

    The end of a session is an event too: the binding announces it, SQLAlchemy does not.
    """

    def install(self) -> None:
        """Begin to listen."""
        super().install()
        session_removed.connect(self._session_removed)

    def remove(self) -> None:
        """Stop listening."""
        session_removed.disconnect(self._session_removed)
        super().remove()

    def record(self, kind: EventKind, **about: Any) -> Event:
        """Add an event of this moment, thread and context."""
        event = super().record(kind, **about)
        if (tape := _tape.get()) is not None:
            tape.events.append(event)
            if (session := about.get("session")) is not None:
                tape.sessions.add(session)
        return event

    def _session_removed(self, _engine: object, session: Session) -> None:
        self.record(EventKind.SESSION_REMOVED, session=session)


_recorders: list[TapeRecorder] = []


def listen() -> None:
    """Start recording in this process; further calls have no effect."""
    if not _recorders:
        _recorders.append(TapeRecorder())
        _recorders[0].install()


def stop_listening() -> None:
    """Stop recording."""
    while _recorders:
        _recorders.pop().remove()
