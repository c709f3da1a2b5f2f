"""Keep the threads that each app starts from the database when the check that made the app has ended.

Such a thread may work for the requests of its app, so it is left alone until then. A thread that one app
alone has started, such as an event loop of the process, is always left alone.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

from flask_sqlalchemy_testbed.subject.shown import shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

# Before the threads that an app started while it was made, if they use its database.
MEANWHILE = "meanwhile the database was used by the app's thread"
_started: WeakSet[threading.Thread] = WeakSet()
_ended: WeakSet[threading.Thread] = WeakSet()
_used: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
# The names of the threads, without numbers, and how many apps have started such threads.
_apps: dict[str, int] = {}


@contextlib.contextmanager
def making_an_app() -> Iterator[None]:
    """Note the threads that an app starts while it is made."""
    before = set(threading.enumerate())
    try:
        yield
    finally:
        new = set(threading.enumerate()) - before
        _started.update(new)
        for kind in set(map(_kind, new)):
            _apps[kind] = _apps.get(kind, 0) + 1


def end_if_over() -> None:
    """End the current thread if the check that made its app has ended.

    Raises:
        SystemExit: It ends the thread without a message.
    """
    thread = threading.current_thread()
    if thread in _ended:
        # pytest warns of each error that ends a thread.
        vars(thread)["_invoke_excepthook"] = lambda _: None
        raise SystemExit


def note_use() -> None:
    """Note that the current thread uses a connection; it may do so before its app is made."""
    thread = threading.current_thread()
    if thread is not threading.main_thread() and thread not in _used:
        _used[thread] = place()


def place() -> str:
    """Return the current thread and its line in the app; empty for one that the run's own code started."""
    thread = threading.current_thread()
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - `inspect` reads source files
    outermost = None
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in {"threading", "concurrent", "asyncio"}:
            outermost = frame
        frame = frame.f_back
    if thread is threading.main_thread() or outermost is None:
        return ""
    if outermost.f_globals.get("__name__", "").startswith(__name__.partition(".")[0]):
        return ""
    return f"{thread.name!r} ({shown(outermost.f_code.co_filename)}, line {outermost.f_lineno})"


def end() -> None:
    """End the threads of all apps so far when they use a connection the next time."""
    for thread in list(_ended):
        _used.pop(thread, None)
    _ended.update(thread for thread in list(_started) if _apps[_kind(thread)] > 1)


def clause() -> str:
    """Return a clause on the threads of apps that used a database in this check; empty for none."""
    found = {place for thread, place in list(_used.items()) if thread in _started}
    places = ", ".join(sorted(found - {""}))
    return f"; {MEANWHILE} {places}" if places else ""


def _kind(thread: threading.Thread) -> str:
    return re.sub(r"\d+", "", thread.name)
