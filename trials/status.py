"""Poll the status of each backend, at most once a second, however many pages are open."""

import platform
import time
from threading import Condition, Thread
from typing import Any

from flask_sqlalchemy_testbed.redaction import tidy

from .mounts import Mounted

# Seconds for which a status counts as current.
FRESH_SECONDS = 0.9
# Seconds that a page waits for a new status.
WAIT_SECONDS = 0.7
# The same for the first status, which creates the tables too.
FIRST_WAIT_SECONDS = 5
# From this delay on, a server counts as not reachable.
LATE_SECONDS = 3


class StatusPoller:
    """Polls the server of one backend, in a thread: a frozen server would block the caller."""

    def __init__(self, mounted: Mounted) -> None:
        self._mounted = mounted
        self._changed = Condition()
        self._polling = False
        self._since = time.monotonic()
        self._at = float("-inf")
        self._answer: dict[str, Any] = {"reachable": False, "error": "not polled yet"}

    @property
    def is_hidden(self) -> bool:
        """Return whether the page has no place for this backend yet."""
        return self._mounted.is_optional and "version" not in self._answer

    def poll(self) -> None:
        """Start to poll, unless a poll is running or the last one is recent."""
        with self._changed:
            if not self._polling and time.monotonic() - self._at > FRESH_SECONDS:
                self._polling, self._since = True, time.monotonic()
                Thread(target=self._poll, name=f"status {self._mounted.name}", daemon=True).start()

    def status(self) -> dict[str, Any]:
        """Return the values that the page shows, after a short wait for a poll that is running."""
        with self._changed:
            known = self._at > float("-inf")
            self._changed.wait_for(lambda: not self._polling, WAIT_SECONDS if known else FIRST_WAIT_SECONDS)
            silent = time.monotonic() - self._since if self._polling else 0.0
            return _values(self._mounted, self._answer, silent)

    def _poll(self) -> None:
        answer: dict[str, Any]
        try:
            answer = self._query()
        except Exception as error:  # noqa: BLE001 - the page shows it
            answer = {"reachable": False, "error": tidy(str(error))}
        with self._changed:
            version = {name: self._answer[name] for name in ("version",) if name in self._answer}
            self._answer = {**version, **answer}
            self._at, self._polling = time.monotonic(), False
            self._changed.notify_all()

    def _query(self) -> dict[str, Any]:
        with self._mounted.outside() as database:
            ((version,),) = database.connection.rows(self._mounted.backend.version)
            if not self._mounted.options:
                # The first connection of the app creates the tables, and shows the options of its driver.
                self._mounted.app.test_client().get("/readyz", buffered=True)
            transactions = database.open_transactions(within=0)
        return {"reachable": True, "version": version, "transactions": len(transactions)}


def _values(mounted: Mounted, answer: dict[str, Any], silent: float) -> dict[str, Any]:
    pool, leaks = mounted.pool(), len(mounted.leaks)
    reachable = answer["reachable"] and silent < LATE_SECONDS
    if silent >= LATE_SECONDS:
        answer = {**answer, "error": f"no answer for {silent:.0f} s"}
    return {
        "reachable": reachable,
        "status": "reachable" if reachable else "not reachable",
        "error": "" if reachable else answer.get("error", ""),
        "version": str(answer.get("version", "unknown yet")),
        "driver": driver(mounted),
        "options": [[name, str(value)] for name, value in mounted.options.items()],
        "size": pool["size"],
        "checked_out": pool["checked_out"],
        "overflow": pool["overflow"],
        "most_overflow": pool["most_overflow"],
        "sessions": len(mounted.sessions()),
        "transactions": str(answer["transactions"]) if reachable else "unknown",
        "leaks": leaks,
        "leaked": f"{leaks} session{'' if leaks == 1 else 's'} left open on purpose" if leaks else "no leak",
    }


def driver(mounted: Mounted) -> str:
    """Return the driver and its version."""
    dialect = mounted.engine.dialect
    version = getattr(dialect.loaded_dbapi, "__version__", "").split(" ")[0]
    name = dialect.loaded_dbapi.__name__.partition(".")[0]
    return f"{name} {version}" if version else f"{name} of Python {platform.python_version()}"
