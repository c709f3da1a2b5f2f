"""Work beside the check's own, whose end the check waits for, but not for ever."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
WITHIN = 10.0


class Task(Generic[T]):
    """Work in a thread of its own. One that hangs holds up neither the check nor the end of the run."""

    def __init__(self, work: Callable[[], T]) -> None:
        self.ended = threading.Event()
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def result(self, within: float = WITHIN) -> T:
        """What the work returned, or raises what it raised; `TimeoutError` if it goes on for longer."""
        if not self.ended.wait(within):
            message = f"It has not ended within {within:g} s."
            raise TimeoutError(message)
        # What belongs to the thread is gone with it, and not a moment later.
        self._thread.join(within)
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - the check raises it
            self._error = error
        finally:
            self.ended.set()


def at_once(*works: Callable[[], T], within: float = WITHIN) -> list[T]:
    """What each of them returns, each in a thread of its own; raises what the first of them raised."""
    tasks = [Task(work) for work in works]
    ends = time.monotonic() + within
    try:
        return [task.result(within) for task in tasks]
    finally:
        # Who goes on after another has failed would be at work on connections that are closed now, and
        # sqlite3 crashes the process for that.
        for task in tasks:
            task.ended.wait(max(0.0, ends - time.monotonic()))
