"""What one scenario does to contexts, sessions and connections: heard by the recorder of the report."""

from __future__ import annotations

import weakref
from contextvars import Context, ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

from app.database import db_session
from flask_sqlalchemy_testbed.timeline.recorder import Recorder

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.orm import Session

    from flask_sqlalchemy_testbed.timeline.events import Event

T = TypeVar("T")


class Tape:
    """The events of one scenario on one backend, from whatever threads; it keeps no session alive."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()

    def run(self, work: Callable[[], T]) -> T:
        """Do the work in a context of its own, in which this tape hears what happens."""
        context = Context()
        context.run(self.listen)
        return context.run(work)

    def listen(self) -> None:
        """Hear what happens in this ``contextvars`` context from now on."""
        _tape.set(self)


_tape: ContextVar[Tape | None] = ContextVar("tape", default=None)


class TapeRecorder(Recorder):
    """Gives each event to the tape of the scenario that caused it; what nobody tapes is soon forgotten.

    While it is installed, a session that leaves the registry of ``db_session`` is an event too:
    SQLAlchemy has none for that.
    """

    def install(self) -> None:
        """Begin to listen."""
        super().install()
        db_session.registry.end = self._end  # type: ignore[method-assign] # it has no hook

    def remove(self) -> None:
        """Stop listening."""
        vars(db_session.registry).pop("end", None)
        super().remove()

    def keep(self, kind: str, **about: Any) -> Event:
        """Adds an event of this moment, thread and context."""
        event = super().keep(kind, **about)
        if (tape := _tape.get()) is not None:
            tape.events.append(event)
            if (session := about.get("session")) is not None:
                tape.sessions.add(session)
        return event

    def _end(self, scope: object) -> None:
        registry = db_session.registry
        session = registry.registry.get(scope)
        # Of the class, and looked up now: what is measured is what the binding does.
        type(registry).end(registry, scope)
        if session is not None and registry.registry.get(scope) is not session:
            self.keep("session removed", session=session)


_recorders: list[TapeRecorder] = []


def listen() -> None:
    """Let tapes hear, from now on in this process; once is enough."""
    if not _recorders:
        _recorders.append(TapeRecorder())
        _recorders[0].install()


def stop_listening() -> None:
    """Let them hear nothing more."""
    while _recorders:
        _recorders.pop().remove()
