"""Hold the engines of apps, and know which of them are live."""

from __future__ import annotations

import atexit
import weakref
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import event

from . import forks
from .bound_session import watch_sessions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection


class UnboundError(RuntimeError):
    """No engine is bound, several are and none is current, or the context has ended.

    The message says what to call.
    """


class Binding:
    """Hold the engine of one app, or of code without an app. The engine may be replaced.

    A binding does not refer to its app, and no global refers to the engine of an app, whose
    listeners may refer to the app: either would keep the app from being garbage collected.
    """

    collected: ClassVar[str] = ""
    """The name of the app that was garbage collected last."""
    serves_threads: ClassVar[bool] = True
    """Whether code outside contexts may mean this binding."""

    def __init__(self) -> None:
        self.engine: Engine | None = None
        self.session_options: Mapping[str, Any] = {}
        self.connections: dict[int, DBAPIConnection] = {}
        self.replica: Binding | None = None
        """The binding of the replica, if the module ``replica`` is used."""

    def bind(self, engine: Engine | None) -> None:
        """Replace the engine and dispose of the old one. None only disposes."""
        forks.notice_fork()
        replaced, self.engine = self.engine, engine
        if engine is None:
            _live.pop(id(self), None)
            if self.replica is not None:
                self.replica.bind(None)
        else:
            self.be_live()
            forks.protect(engine)
            watch_sessions(engine)
            event.listen(engine, "engine_disposed", self._disposed)
            event.listen(engine, "connect", lambda connection, _: self._connected(engine, connection))
            event.listen(engine, "close", self._closed)
            event.listen(engine, "detach", self._closed)
        if replaced is not None:
            replaced.dispose()

    def be_live(self) -> None:
        """Register this binding as live, for code outside contexts."""
        _live[id(self)] = self

    def _disposed(self, engine: Engine) -> None:
        if engine is self.engine:
            _live.pop(id(self), None)

    def _connected(self, engine: Engine, connection: DBAPIConnection) -> None:
        self.connections[id(connection)] = connection
        # An engine may connect again after dispose(). If it was replaced, it is not counted again.
        if engine is self.engine:
            self.be_live()

    def _closed(self, connection: DBAPIConnection, _record: object) -> None:
        self.connections.pop(id(connection), None)


_live: weakref.WeakValueDictionary[int, Binding] = weakref.WeakValueDictionary()

without_app = Binding()


def live_bindings() -> list[Binding]:
    """Return the bindings whose engines are live."""
    forks.notice_fork()
    return [binding for reference in _live.valuerefs() if (binding := reference()) is not None]


@atexit.register
def _dispose_of_all() -> None:
    for binding in live_bindings():
        binding.bind(None)
