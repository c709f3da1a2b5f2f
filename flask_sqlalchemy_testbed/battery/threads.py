"""Run work in other threads, and wait for conditions, with time limits."""

import sys
import threading
import time
from collections.abc import Callable
from contextvars import Context
from typing import Any, Generic, TypeVar

from flask_sqlalchemy_testbed.subject.raised import function_in_app

T = TypeVar("T")
WITHIN = 10.0
LONGEST_PAUSE = 0.1

# Of the tasks that began in this check. They hold no result: checks look for objects that nothing refers to.
_ends: list[threading.Event] = []


class Task(Generic[T]):
    """A function that runs in a thread of its own, in an empty context.

    If it hangs, neither the check nor the run waits.
    """

    def __init__(self, work: Callable[[], T]) -> None:
        self.ended = threading.Event()
        _ends.append(self.ended)
        self._work = work
        self._results: list[T] = []
        self._error: BaseException | None = None
        # On free-threaded Python 3.14 a thread inherits the context of its starter, and so its session.
        self._thread = threading.Thread(target=Context().run, args=(self._run,), daemon=True)
        self._thread.start()

    @property
    def place(self) -> str:
        """Return the innermost function of the app that the thread is in, with its line; may be empty."""
        return function_in_app(sys._current_frames().get(self._thread.ident or 0))  # noqa: SLF001 - documented

    def result(self, within: float = WITHIN) -> T:
        """Return what the function returned, or raise what it raised.

        Raises:
            TimeoutError: The function did not return within that many seconds.
        """
        if not self.ended.wait(within):
            message = f"The thread did not end within {within:g} s: it waits, or the machine is busy."
            raise TimeoutError(message)
        # The thread's local values go with the thread: the caller may look for them at once.
        self._thread.join(within)
        if self._error is not None:
            raise self._error
        return self._results[0]

    def _run(self) -> None:
        try:
            self._results.append(self._work())
        except BaseException as error:  # noqa: BLE001 - `result` raises it
            self._error = error
        finally:
            self.ended.set()


def at_once(*works: Callable[[], T], within: float = WITHIN) -> list[T]:
    """Run each function in a thread of its own; return their results, or raise the first error."""
    tasks = [Task(work) for work in works]
    return [task.result(within) for task in tasks]


def wait_for_tasks() -> None:
    """Wait for the tasks of which a failed check got no result.

    The connections are closed next, and sqlite3 crashes if another thread uses one then.
    """
    deadline = time.monotonic() + WITHIN
    while _ends:
        _ends.pop().wait(max(0.0, deadline - time.monotonic()))


def poll(condition: Callable[[], Any], within: float = WITHIN) -> bool:
    """Return whether the condition is met within that many seconds.

    To look may cost a request to a worker: each pause is longer than the one before, by a tenth.
    """
    deadline = time.monotonic() + within
    pause = 0.005
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
        pause = min(1.1 * pause, LONGEST_PAUSE)
    return True
