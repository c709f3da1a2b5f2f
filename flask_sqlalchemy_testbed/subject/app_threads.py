"""Keep the threads that each app starts from the database when the check that made the app has ended.

Such a thread may work for the requests of its app, so it is left alone until then. A thread that one app
alone has started, such as an event loop of the process, is always left alone.
"""

from __future__ import annotations

import contextlib
import re
import threading
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary, WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Before the threads that an app started while it was made, if they use its database.
MEANWHILE = "meanwhile the database was used by the app's thread"
_started: WeakSet[threading.Thread] = WeakSet()
_ended: WeakSet[threading.Thread] = WeakSet()
_connected: WeakKeyDictionary[threading.Thread, str] = WeakKeyDictionary()
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


def note_connection(place: Callable[[], str]) -> None:
    """Note that the current thread connects to a database of the run.

    Args:
        place: Returns the current thread and its line in the app.

    Raises:
        SystemExit: The check that made the app has ended. It ends the thread without a message.
    """
    thread = threading.current_thread()
    if thread in _ended:
        # pytest warns of each error that ends a thread.
        vars(thread)["_invoke_excepthook"] = lambda _: None
        raise SystemExit
    # It may connect before its app is made.
    if thread is not threading.main_thread() and thread not in _connected:
        _connected[thread] = place()


def end() -> None:
    """End the threads of all apps so far when they connect the next time."""
    for thread in list(_ended):
        _connected.pop(thread, None)
    _ended.update(thread for thread in list(_started) if _apps[_kind(thread)] > 1)


def clause() -> str:
    """Return a clause on the threads of apps that used a database in this check; empty for none."""
    found = {place for thread, place in list(_connected.items()) if thread in _started}
    places = ", ".join(sorted(found - {""}))
    return f"; {MEANWHILE} {places}" if places else ""


def _kind(thread: threading.Thread) -> str:
    return re.sub(r"\d+", "", thread.name)
