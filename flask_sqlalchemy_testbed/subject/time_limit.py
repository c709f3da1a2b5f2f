"""Limit the time of the app's start-up code, and show its stack when the time is over."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# Bound before `start_up` replaces it, to refuse it to the app.
_exit = os._exit
# Seconds between two interrupts: code that catches `BaseException` may survive the first.
INTERVAL = 1.0
# Seconds until the process exits: a call in C may never notice a signal.
UNTIL_EXIT = 10.0
EXIT_STATUS = 4
PACKAGE = Path(__file__).parent.parent


class TookTooLongError(BaseException):
    """Raised inside code that takes too long; its own `except Exception` does not catch it."""

    def __init__(self, stack: str) -> None:
        """Keep the stack of the code that was interrupted, as text."""
        super().__init__("The time limit was exceeded.")
        self.stack = stack


@contextlib.contextmanager
def within(seconds: float, *, last_resort: Callable[[str], None]) -> Iterator[None]:
    """Interrupt the code inside after so many seconds, in the main thread of a POSIX process.

    Elsewhere the time is not limited: only there can a signal interrupt the code.

    Args:
        seconds: the limit; 0 sets none.
        last_resort: called with the stack before the process exits, if the code cannot be interrupted.

    Raises:
        TookTooLongError: the code was interrupted.
    """
    if (
        not seconds
        or threading.current_thread() is not threading.main_thread()
        or not hasattr(signal, "setitimer")
    ):
        yield
        return
    over = threading.Event()
    main = threading.get_ident()
    first: list[str] = []
    depth = len(traceback.extract_stack())

    def interrupt(_: int, frame: FrameType | None) -> None:
        if over.is_set():
            return
        first.append(_stack(frame, depth))
        raise TookTooLongError(first[0])

    def exit_process() -> None:
        if not over.wait(seconds + UNTIL_EXIT):
            last_resort(_stack(sys._current_frames().get(main), depth))  # noqa: SLF001 - there is no other way
            _exit(EXIT_STATUS)

    before = signal.signal(signal.SIGALRM, interrupt)
    threading.Thread(target=exit_process, name="testbed-time-limit", daemon=True).start()
    signal.setitimer(signal.ITIMER_REAL, seconds, INTERVAL)
    try:
        yield
    finally:
        over.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def _stack(frame: FrameType | None, depth: int) -> str:
    """Return the stack below `depth` without the calls of this package, the innermost call last."""
    calls = traceback.extract_stack(frame)[depth:]
    while calls and Path(calls[0].filename).is_relative_to(PACKAGE):
        del calls[0]
    return "".join(traceback.format_list(calls)).rstrip()
