"""Keep the app's start-up code in this process: it must not end the process, or return in a fork of it."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import sys
import threading
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.subject.errors import NotInThisProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

# The functions of `os` on which all others rest that end a process or replace its program.
ENDS = ("_exit", "abort", "execv", "execve")
# How long a forked process may take to return, in milliseconds. One that goes on working delays the start.
FORK_MILLISECONDS = 200

# Bound before `os._exit` is replaced.
_exit = os._exit
_lock = threading.Lock()
_running: list[tuple[int, list[str]]] = []
"""For each start-up in progress its process, and the calls that were refused."""


class _EndRefusedError(BaseException):
    """Raised inside start-up code that would end the process; its `except Exception` does not catch it."""


@contextlib.contextmanager
def in_this_process(app: str) -> Iterator[None]:
    """Run start-up code of an app; processes that it forks may end as they like.

    Args:
        app: The app in words, for the message.

    Raises:
        NotInThisProcessError: The code tried to end the process, or a forked process left the block too.
    """
    process, refused = os.getpid(), list[str]()
    running = process, refused
    reader, writer = os.pipe()
    with _lock:
        _replace_ends()
        _running.append(running)
    try:
        with contextlib.suppress(_EndRefusedError):
            yield
    finally:
        if os.getpid() != process:
            with contextlib.suppress(OSError):
                os.write(writer, b"!")
            _exit(0)
        with _lock:
            _running.remove(running)
        os.close(writer)
        has_forked = _is_written(reader)
        os.close(reader)
        if refused:
            message = (
                f"{app} would have ended this process when it started: it called {refused[0]}."
                " Remove the call, or move it out of the code that makes the app."
            )
            raise NotInThisProcessError(message) from None
        if has_forked:
            message = (
                f"{app} called os.fork() when it started, and both processes returned from that code."
                " End the new process inside the app with os._exit(), or start it with multiprocessing."
            )
            raise NotInThisProcessError(message) from None


def _is_written(reader: int) -> bool:
    """Return whether a forked process wrote; without one the pipe is closed already."""
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    return bool(poll.poll(FORK_MILLISECONDS)) and bool(os.read(reader, 1))


@functools.cache
def _replace_ends() -> None:
    """Replace the functions once: outside of start-ups, and in forked processes, they do what they did."""
    for name in ENDS:
        setattr(os, name, _refusing(getattr(os, name)))


def _refusing(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def refuse(*args: Any, **options: Any) -> Any:
        refused = [calls for process, calls in _running if process == os.getpid()]
        if not refused:
            return function(*args, **options)
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
        while frame is not None and frame.f_globals is vars(os):
            frame = frame.f_back
        where = (
            f" at {os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}" if frame is not None else ""
        )
        for calls in refused:
            calls.append(f"os.{function.__name__}(){where}")
        raise _EndRefusedError

    return refuse
