"""Other people's start-up code gets so much time; then it is ended, and told by its stack."""

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

# Between one attempt to end it and the next.
AGAIN = 1.0
# Who cannot be interrupted by then waits in a library that hears no signals.
LAST = 10.0
OURS = Path(__file__).parent.parent


class TookTooLongError(BaseException):
    """Raised in the middle of what takes too long; no `except Exception` there may swallow it."""

    def __init__(self, stack: str) -> None:
        super().__init__("It took too long.")
        self.stack = stack


@contextlib.contextmanager
def within(seconds: float, *, last_resort: Callable[[str], None]) -> Iterator[None]:
    """Raises `TookTooLongError` in the main thread after so many seconds; elsewhere nobody is bounded.

    Where even that does not end it, `last_resort` is told the stack, and then the process ends.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return
    over = threading.Event()
    main = threading.get_ident()
    first: list[str] = []
    own = len(traceback.extract_stack())

    def interrupt(_: int, frame: FrameType | None) -> None:
        if over.is_set():
            return
        first.append(_told(frame, own))
        raise TookTooLongError(first[0])

    def give_up() -> None:
        if not over.wait(seconds + LAST):
            last_resort(_told(sys._current_frames().get(main), own))  # noqa: SLF001 - there is no other way
            os._exit(4)

    before = signal.signal(signal.SIGALRM, interrupt)
    threading.Thread(target=give_up, name="patience", daemon=True).start()
    signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN)
    try:
        yield
    finally:
        over.set()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before or signal.SIG_DFL)


def _told(frame: FrameType | None, own: int) -> str:
    """The stack from where it is theirs, the innermost call last."""
    calls = traceback.extract_stack(frame)[own:]
    while calls and Path(calls[0].filename).is_relative_to(OURS):
        del calls[0]
    return "".join(traceback.format_list(calls)).rstrip()
