"""Register several listeners with SQLAlchemy and Flask at once, and remove them again."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from blinker import Signal


class Subscription:
    """A set of listeners that are registered and removed together.

    Args:
        events: The target, name and listener of each event of SQLAlchemy. A class such as `Pool` as the
            target means all instances, existing ones included.
        signals: The signal and receiver of each signal of Flask. The signal holds the receiver weakly.
    """

    def __init__(
        self,
        events: Iterable[tuple[Any, str, Callable[..., object]]],
        signals: Iterable[tuple[Signal, Callable[..., object]]] = (),
    ) -> None:
        self._events = tuple(events)
        self._signals = tuple(signals)

    def install(self) -> None:
        """Register all listeners."""
        for target, name, listener in self._events:
            event.listen(target, name, listener)
        for signal, receiver in self._signals:
            signal.connect(receiver)

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Have all listeners registered during a `with` block."""
        self.install()
        try:
            yield
        finally:
            self.remove()

    def remove(self) -> None:
        """Remove all listeners."""
        for signal, receiver in self._signals:
            signal.disconnect(receiver)
        for target, name, listener in self._events:
            event.remove(target, name, listener)
