"""Observe what a database does in a process in which no code of the app runs.

Rules that an app adds to SQLAlchemy, such as `@compiles(DateTime)` or a listener for all engines, hold in its
whole process: a statement of the battery there would show what the app does.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import subprocess
import sys
import threading
from functools import cache
from typing import Any

OBSERVATIONS = "flask_sqlalchemy_testbed.battery.observations"
END_WITHIN = 2.0


class ObservationError(RuntimeError):
    """An observation raised an exception in the other process; the message is its traceback."""


class Observer:
    """The other process. It ends with this one."""

    def __init__(self) -> None:
        # -P: a module of the working directory could hide one of the standard library.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", OBSERVATIONS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lock = threading.Lock()
        atexit.register(self.close)

    def observe(self, what: str, uri: str) -> Any:
        """Return the result of a function of `observations`.

        Args:
            what: The name of the function.
            uri: The database.

        Raises:
            ObservationError: The function raised, or the process has ended.
        """
        process = self._process
        assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - for the type checker
        line = ""
        with self._lock:
            try:
                process.stdin.write(json.dumps([what, uri]) + "\n")
                process.stdin.flush()
                line = process.stdout.readline()
            finally:
                if not line:  # A late answer would be taken for that to the next question.
                    process.kill()
                    observer.cache_clear()
        if not line:
            message = f"The process that observes databases ended with status {process.wait(END_WITHIN)}."
            raise ObservationError(message)
        found, error = json.loads(line)
        if error:
            raise ObservationError(error)
        return found

    def close(self) -> None:
        """End the process; kill it if it does not end in time."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()  # type: ignore[union-attr]
        try:
            self._process.wait(END_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@cache
def observer() -> Observer:
    """Return the observer of this process, started at the first call."""
    return Observer()
