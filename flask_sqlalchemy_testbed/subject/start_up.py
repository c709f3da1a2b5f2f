"""Keep the app's start-up code in this process: it must not end the process, or return in a fork of it."""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.subject.errors import NotInThisProcessError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, ModuleType

# Signals whose default action does not end a process.
HARMLESS = {
    *(0, signal.SIGCHLD, signal.SIGCONT, signal.SIGURG, signal.SIGWINCH),
    *(signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU),
}
# How long a forked process may take to return, in milliseconds. One that goes on working delays the start.
FORK_MILLISECONDS = 200

# Bound before `os._exit` is replaced.
_exit = os._exit


def _always(*_: object, **__: object) -> bool:
    return True


def _is_fatal(number: int) -> bool:
    """Return whether a signal ends this process: it has no handler, and does so by default."""
    return number not in HARMLESS and signal.getsignal(number) is signal.SIG_DFL


# The functions on which all others rest that end a process or replace its program, and whether a call does.
ENDS: dict[tuple[ModuleType, str], Callable[..., bool]] = {
    **{(os, name): _always for name in ("_exit", "abort", "execv", "execve")},
    (os, "kill"): lambda pid, number: pid in {os.getpid(), 0, -1, -os.getpgrp()} and _is_fatal(number),
    (os, "killpg"): lambda group, number: group in {0, os.getpgrp()} and _is_fatal(number),
    (signal, "raise_signal"): _is_fatal,
    (signal, "pthread_kill"): lambda _thread, number: _is_fatal(number),
}
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
    for (module, name), is_end in ENDS.items():
        setattr(module, name, _refusing(module, getattr(module, name), is_end))


def _refusing(
    module: ModuleType, function: Callable[..., Any], is_end: Callable[..., bool]
) -> Callable[..., Any]:
    @functools.wraps(function)
    def refuse(*args: Any, **options: Any) -> Any:
        refused = [calls for process, calls in _running if process == os.getpid()]
        if not refused or not is_end(*args, **options):
            return function(*args, **options)
        frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - there is no public way
        while frame is not None and frame.f_globals is vars(module):
            frame = frame.f_back
        where = (
            f" at {os.path.relpath(frame.f_code.co_filename)}:{frame.f_lineno}" if frame is not None else ""
        )
        for calls in refused:
            calls.append(f"{module.__name__}.{function.__name__}(){where}")
        raise _EndRefusedError

    return refuse
