"""A check that hangs is a failure, and its report says who waits for what: the run goes on."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import settings, state

if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from types import FrameType

    from flask_sqlalchemy_testbed.databases import Database

SIGNAL = signal.SIGUSR1
# Between one attempt to get a hung check going and the next.
AGAIN = 2.0
# A server that was asked what it does, and has not said so by then, does nothing.
ANSWER = 5.0
# What else ends the waiting: called with nothing, from another thread.
RESCUES: pytest.StashKey[list[Callable[[], None]]] = pytest.StashKey()


_HUNG: pytest.StashKey[bool] = pytest.StashKey()
_STATUS: pytest.StashKey[int] = pytest.StashKey()


class HungError(Exception):
    """Raised in the middle of whatever the main thread waits for."""


def pytest_configure(config: pytest.Config) -> None:
    """A test may say for itself how long it takes."""
    config.addinivalue_line("markers", "testbed_within(seconds): it hangs if it takes longer")
    # The first to be registered is the last to be done.
    config.add_cleanup(lambda: _end_with(config.stash.get(_STATUS, None)))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Remembers how the run ended, if something in it hung."""
    result = yield
    if _HUNG in session.config.stash:
        session.config.stash[_STATUS] = int(session.exitstatus)
    return result


def _end_with(status: int | None) -> None:
    """End the process, where a thread that still hangs would keep it for ever: all has been told by now."""
    main = threading.main_thread()
    left = [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]
    for thread in left if status is not None else ():
        thread.join(AGAIN)
        if thread.is_alive():
            sys.stdout.flush()
            os._exit(status or 1)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """The check's fixtures are bounded, each phase by itself."""
    return (yield from _bounded(item, "setup"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """So is the check."""
    return (yield from _bounded(item, "call"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """So is what it leaves to clear up."""
    return (yield from _bounded(item, "teardown"))


def seconds_of(item: pytest.Item) -> float:
    """How long it may take; 0 for ever, which is for those that are no checks."""
    if mark := item.get_closest_marker("testbed_within"):
        return float(mark.args[0])
    if check_of(item) is None:
        return 0
    return settings.seconds(item.config, "check-timeout")


def _bounded(item: pytest.Item, phase: str) -> Generator[None, object, object]:
    seconds = seconds_of(item)
    if not seconds:
        return (yield)
    watchdog = Watchdog(item, phase, seconds)
    result = None
    try:
        with watchdog:
            result = yield
    except Exception as error:
        if not watchdog.has_barked:
            raise
        # Whatever it died of in the end: it was our doing.
        _fail(item, phase, watchdog.message, pytrace=isinstance(error, HungError))
    else:
        if watchdog.has_barked:
            _fail(item, phase, watchdog.message, pytrace=False)
    return result


def _fail(item: pytest.Item, phase: str, message: str, *, pytrace: bool) -> None:
    failures = item.stash.get(state.FAILURES, [])
    if phase == "teardown" and failures:
        # It is not counted twice: its end may well hang for what its middle hung for.
        failures[0].sections.append(("hung at its end", message))
        return
    pytest.fail(message, pytrace=pytrace)


class Watchdog:
    """While it is entered, time runs; when that is up, the report is told who waits, and they are ended."""

    def __init__(self, item: pytest.Item, phase: str, seconds: float) -> None:
        self.has_barked = False
        self.message = f"It hung: its {phase} had not ended after {seconds:g} s."
        self._item = item
        self._phase = phase
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._before: Any = None

    def __enter__(self) -> None:
        self._before = signal.signal(SIGNAL, self._interrupt)
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        # A late signal must not find the default handler, which ends the process.
        self._thread.join()
        signal.signal(SIGNAL, self._before or signal.SIG_DFL)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._over.is_set():
            raise HungError(self.message)

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        self.has_barked = self._item.config.stash[_HUNG] = True
        self._tell("stacks of all threads", stacks())
        databases = self._databases()
        for database in databases:
            self._tell(f"sessions and locks on {database.backend.name}", activity(database))
        while not self._over.is_set():
            for rescue in self._item.stash.get(RESCUES, []):
                with contextlib.suppress(Exception):
                    rescue()
            for database in databases:
                _in_time(database, _end_sessions)
            signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            self._over.wait(AGAIN)

    def _tell(self, what: str, text: str) -> None:
        self._item.add_report_section(self._phase, what, text)

    def _databases(self) -> list[Database]:
        """The one that the test is on, by a connection of our own: the main thread may be in its."""
        found = getattr(self._item, "funcargs", {}).values()
        candidates = [getattr(value, "database", value) for value in found]
        if state.BEGAN in self._item.stash:
            _, server = self._item.stash[state.BEGAN]
            candidates.append(state.run_of(self._item.config).isolation(server).database)
        from flask_sqlalchemy_testbed.databases import Database  # noqa: PLC0415 - SQLAlchemy is not for everybody

        known = {value.name: value for value in candidates if isinstance(value, Database)}
        return [Database(database.backend, database.url) for database in known.values()]


def stacks() -> str:
    """What every thread is doing, the innermost call last."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - there is no other way to them
        if ident != threading.get_ident()
    )


def activity(database: Database) -> str:
    """What the server says of each session in the database, and of the locks that it has and wants."""
    said = _in_time(database, lambda its: its.connection.rows(its.backend.activity))
    if isinstance(said, str):
        return said
    return "\n".join(line for (line,) in said) or "(none)"


def _end_sessions(database: Database) -> None:
    database.terminate(database.sessions())


def _in_time(database: Database, ask: Callable[[Database], Any]) -> Any:
    """What it answers; or, in a word, why nothing: a server that is frozen holds up who asks."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask(database))
        except Exception as error:  # noqa: BLE001 - each driver has its own
            answers.append(f"(the server does not say: {error})")
        finally:
            database.connection.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(ANSWER)
    return answers[0] if answers else "(the server does not answer)"
