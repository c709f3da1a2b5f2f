"""Fail a check or a test that takes too long, and continue the run.

The report shows which threads and sessions wait.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from flask_sqlalchemy_testbed.checks.check import check_of
from flask_sqlalchemy_testbed.plugin import containment, settings, state
from flask_sqlalchemy_testbed.plugin.app_option import APP_MAKER
from flask_sqlalchemy_testbed.plugin.selection import backend_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from types import FrameType

    from flask_sqlalchemy_testbed.databases import Database

# Bound before `subject.start_up` replaces it, to refuse it to the app.
_exit = os._exit
# Interrupts the main thread. Windows has no such signal: there a check that hangs is only reported.
SIGNAL: signal.Signals | None = getattr(signal, "SIGUSR1", None)
# Seconds between two attempts to interrupt a check, and between two looks at a clock that is stopped.
RETRY_EVERY = 2.0
# Seconds for a server to describe its sessions.
ANSWER_WITHIN = 5.0
# Functions that end a wait that a signal cannot interrupt; called without arguments, in another thread.
RESCUES: pytest.StashKey[list[Callable[[], None]]] = pytest.StashKey()

_CURRENT: pytest.StashKey[Watchdog | None] = pytest.StashKey()
_HUNG: pytest.StashKey[bool] = pytest.StashKey()
_STATUS: pytest.StashKey[int] = pytest.StashKey()


class HungError(Exception):
    """Raised in the main thread at the place where it waits."""


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark with which a test sets its own time limit."""
    config.addinivalue_line("markers", "testbed_within(seconds): fail the test if it takes longer")
    # The cleanup that is added first runs last.
    config.add_cleanup(lambda: _end(config))


@pytest.hookimpl(wrapper=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, object, object]:
    """Note the exit status of a run whose threads may still run: a test hung, or there was an app.

    It has one, too, if nobody reads the output any more and a hook cannot write to it.
    """
    try:
        return (yield)
    finally:
        if _HUNG in session.config.stash or APP_MAKER in session.config.stash:
            session.config.stash[_STATUS] = int(session.exitstatus)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the setup of the fixtures; each phase has the whole time."""
    if seconds_of(item):
        _start_server(item)
    return (yield from _limited(item, "setup"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the test."""
    return (yield from _limited(item, "call"))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Limit the teardown of the fixtures."""
    return (yield from _limited(item, "teardown"))


def seconds_of(item: pytest.Item) -> float:
    """Return the time limit of a test in seconds; 0 disables it."""
    if mark := item.get_closest_marker("testbed_within"):
        return float(mark.args[0])
    return settings.seconds(item.config, "timeout" if check_of(item) is None else "check-timeout")


@contextlib.contextmanager
def untimed(config: pytest.Config) -> Iterator[None]:
    """Exclude the block from the test's time limit; it waits for a server, within limits of its own."""
    watchdog = config.stash.get(_CURRENT, None)
    if watchdog is None:
        yield
        return
    left, watchdog.deadline = watchdog.deadline - time.monotonic(), math.inf
    try:
        yield
    finally:
        watchdog.deadline = time.monotonic() + left


def _start_server(item: pytest.Item) -> None:
    """Start the server before the time of its first test begins: the server has its own limit."""
    backend = backend_of(item)
    if backend is None or "testbed_server" not in getattr(item, "fixturenames", ()):
        return
    run = state.run_of(item.config)
    if backend.name not in run.servers:
        from flask_sqlalchemy_testbed.servers.readiness import ServerError  # noqa: PLC0415 - on use

        # The fixture reports the error.
        with contextlib.suppress(ServerError):
            run.start([backend])


def _end(config: pytest.Config) -> None:
    """End the process of a finished run if a thread would keep it alive."""
    if (status := config.stash.get(_STATUS, None)) is not None:
        if capture := config.pluginmanager.get_plugin("capturemanager"):
            # Ctrl-C may have come while output was captured: it would be lost.
            capture.stop_global_capturing()
        # A check that hung, or that Ctrl-C ended, has threads of its own.
        is_over = status != pytest.ExitCode.INTERRUPTED and _HUNG not in config.stash
        end_without_threads(status, warn=is_over)
    elif containment.has_started(config):
        # A usage error: pytest prints it after this, and the main thread then waits for those of the app.
        threading.Thread(target=_end_with_main_thread, name="testbed-end", daemon=True).start()


def _end_with_main_thread() -> None:
    threading.main_thread().join()
    end_without_threads(int(pytest.ExitCode.USAGE_ERROR))


def end_without_threads(status: int, *, warn: bool = True) -> None:
    """End the process if a thread that still runs would keep it alive.

    All results are reported by now.

    Args:
        status: The exit status.
        warn: Whether to name the thread, which belongs to the app.
    """
    main = threading.main_thread()
    left = [thread for thread in threading.enumerate() if not thread.daemon and thread is not main]
    for thread in left:
        thread.join(RETRY_EVERY)
        if thread.is_alive():
            with contextlib.suppress(OSError):  # Nobody may read it any more.
                sys.stdout.flush()
            if warn:
                sys.stderr.write(
                    f"The thread {thread.name!r} of the app still runs, and the run ends without it."
                    " Start it as a daemon thread, or end it.\n"
                )
                sys.stderr.flush()
            _exit(status)


def _limited(item: pytest.Item, phase: str) -> Generator[None, object, object]:
    seconds = seconds_of(item)
    if not seconds:
        return (yield)
    watchdog = Watchdog(item, phase, seconds)
    result = None
    try:
        with watchdog:
            result = yield
    except Exception as error:
        if not watchdog.has_expired:
            raise
        # The interrupted code may have replaced the exception.
        _fail(item, phase, watchdog.message, pytrace=isinstance(error, HungError))
    else:
        if watchdog.has_expired:
            _fail(item, phase, watchdog.message, pytrace=False)
    return result


def _fail(item: pytest.Item, phase: str, message: str, *, pytrace: bool) -> None:
    failures = item.stash.get(state.FAILURES, [])
    if phase == "teardown" and failures:
        # Count the test once: its teardown may hang for the reason that made its call fail.
        failures[0].sections.append(("hung in its teardown", message))
        return
    pytest.fail(message, pytrace=pytrace)


class Watchdog:
    """Limit the time of a `with` block.

    When it is over, report the waiting threads and interrupt the block.
    """

    def __init__(self, item: pytest.Item, phase: str, seconds: float) -> None:
        self.has_expired = False
        # Infinite while the clock is stopped.
        self.deadline = math.inf
        self.message = f"It hung: its {phase} did not end within {seconds:g} s."
        self._item = item
        self._phase = phase
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)
        self._handler: Any = None

    def __enter__(self) -> None:
        if SIGNAL is not None:
            self._handler = signal.signal(SIGNAL, self._interrupt)
        self.deadline = time.monotonic() + self._seconds
        self._item.config.stash[_CURRENT] = self
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._item.config.stash[_CURRENT] = None
        self._over.set()
        # A late signal must not meet the default handler, which ends the process.
        self._thread.join()
        if SIGNAL is not None:
            signal.signal(SIGNAL, self._handler or signal.SIG_DFL)

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if not self._over.is_set():
            raise HungError(self.message)

    def _watch(self) -> None:
        while (left := self.deadline - time.monotonic()) > 0:
            if self._over.wait(min(left, RETRY_EVERY)):
                return
        self.has_expired = self._item.config.stash[_HUNG] = True
        self._report("stacks of all threads", stacks())
        databases = self._databases()
        for database in databases:
            self._report(f"sessions and locks on {database.backend.name}", activity(database))
        while not self._over.is_set():
            for rescue in self._item.stash.get(RESCUES, []):
                with contextlib.suppress(Exception):
                    rescue()
            for database in databases:
                _in_time(database, _end_sessions)
            if SIGNAL is not None:
                signal.pthread_kill(threading.main_thread().ident or 0, SIGNAL)
            self._over.wait(RETRY_EVERY)

    def _report(self, title: str, text: str) -> None:
        self._item.add_report_section(self._phase, title, text)

    def _databases(self) -> list[Database]:
        """Return the databases of the test with new connections: the main thread may use the others."""
        values = getattr(self._item, "funcargs", {}).values()
        candidates = [getattr(value, "database", value) for value in values]
        if state.BEGAN in self._item.stash:
            _, server = self._item.stash[state.BEGAN]
            candidates.append(state.run_of(self._item.config).isolation(server).database)
        from flask_sqlalchemy_testbed.databases import Database  # noqa: PLC0415 - on use

        known = {value.name: value for value in candidates if isinstance(value, Database)}
        return [Database(database.backend, database.url) for database in known.values()]


def stacks() -> str:
    """Return the stacks of all other threads, the innermost call last."""
    import traceback  # noqa: PLC0415 - on use

    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return "\n".join(
        f"{names.get(ident, ident)}:\n{''.join(traceback.format_stack(frame))}"
        for ident, frame in sys._current_frames().items()  # noqa: SLF001 - Python has no other way to them
        if ident != threading.get_ident()
    )


def activity(database: Database) -> str:
    """Return the server's description of each session in the database, with its locks."""
    answer = _in_time(database, lambda one: one.connection.rows(one.backend.activity))
    if isinstance(answer, str):
        return answer
    return "\n".join(line for (line,) in answer) or "(none)"


def _end_sessions(database: Database) -> None:
    database.terminate(database.sessions())


def _in_time(database: Database, ask: Callable[[Database], Any]) -> Any:
    """Return the answer, or a text that says why the server gave none."""
    answers: list[Any] = []

    def run() -> None:
        try:
            answers.append(ask(database))
        except Exception as error:  # noqa: BLE001 - each driver has its own
            answers.append(f"(the server refuses: {error})")
        finally:
            database.connection.close()

    # In a thread: a frozen server would block the caller.
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(ANSWER_WITHIN)
    return answers[0] if answers else "(the server does not answer)"
