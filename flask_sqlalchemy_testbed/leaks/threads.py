"""Look at the app's own threads, which may use a database while the test that made the app ends."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy

if TYPE_CHECKING:
    from collections.abc import Callable

# Seconds. A thread that still holds a connection after this time has left it open.
WITHIN = 1.0
_SQLALCHEMY = str(Path(sqlalchemy.__file__).parent)


def is_another(thread: threading.Thread) -> bool:
    """Return whether a thread is alive and not the current one."""
    return thread.is_alive() and thread is not threading.current_thread()


def is_in_sqlalchemy(thread: threading.Thread) -> bool:
    """Return whether another thread runs code of SQLAlchemy, or of a driver that it has called."""
    if not is_another(thread):
        return False
    # Not in a variable: the frame of the current thread, which is among them, would refer to itself.
    files = {ident: frame.f_code.co_filename for ident, frame in sys._current_frames().items()}  # noqa: SLF001 - a documented function
    return files.get(thread.ident or 0, "").startswith(_SQLALCHEMY)


def wait_until(condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, and return whether it holds within `WITHIN`."""
    deadline = time.monotonic() + WITHIN
    while not (holds := condition()) and time.monotonic() < deadline:
        time.sleep(0.002)
    return holds
