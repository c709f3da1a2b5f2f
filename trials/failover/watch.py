"""Repeat work in threads as long as a page is open."""

import time
from collections.abc import Callable
from threading import Lock, Thread

# Seconds without a request after which the page counts as closed.
IDLE_SECONDS = 10.0


class Watch:
    """Threads that each repeat a function; they end when no page is open."""

    def __init__(self, *works: Callable[[], float]) -> None:
        """Take the functions.

        Args:
            works: Each does its work once, raises nothing, and returns the seconds until its next call.
        """
        self._works = works
        self._running: set[int] = set()
        self._until = float("-inf")
        self._lock = Lock()

    def keep_on(self) -> None:
        """Say that a page is open; start the threads if they have ended."""
        with self._lock:
            self._until = time.monotonic() + IDLE_SECONDS
            for number, work in enumerate(self._works):
                if number not in self._running:
                    self._running.add(number)
                    Thread(target=self._repeat, args=(number, work), name="failover", daemon=True).start()

    def stop(self) -> None:
        """End the threads after their current calls."""
        with self._lock:
            self._until = float("-inf")

    def _repeat(self, number: int, work: Callable[[], float]) -> None:
        while True:
            with self._lock:
                if time.monotonic() >= self._until:
                    self._running.discard(number)
                    return
            time.sleep(work())
