"""What each backend is now, in words; asked of the server at most once a second, however many look on."""

from __future__ import annotations

import platform
import time
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any

from flask_sqlalchemy_testbed.redaction import tidy

if TYPE_CHECKING:
    from .mounts import Mounted

# So old an answer is good enough.
FRESH_SECONDS = 0.9
# So long a page waits for a newer one; then it says how old the last one is.
PATIENCE_SECONDS = 0.7
# For the first of all, since it makes the tables too.
FIRST_SECONDS = 5
LATE_SECONDS = 3


class Watch:
    """Asks one backend's server, in a thread of its own that a server which hangs may keep."""

    def __init__(self, mounted: Mounted) -> None:
        self._mounted = mounted
        self._changed = Condition()
        self._asking = False
        self._since = time.monotonic()
        self._at = float("-inf")
        self._answer: dict[str, Any] = {"reachable": False, "error": "not asked yet"}

    def ask(self) -> None:
        """Begin to ask, unless somebody just has."""
        with self._changed:
            if not self._asking and time.monotonic() - self._at > FRESH_SECONDS:
                self._asking, self._since = True, time.monotonic()
                Thread(target=self._ask, name=f"watch {self._mounted.name}", daemon=True).start()

    def state(self) -> dict[str, Any]:
        """What is known now, waiting a little for what has been asked."""
        with self._changed:
            known = self._at > float("-inf")
            self._changed.wait_for(lambda: not self._asking, PATIENCE_SECONDS if known else FIRST_SECONDS)
            silent = time.monotonic() - self._since if self._asking else 0.0
            return _told(self._mounted, self._answer, silent)

    def _ask(self) -> None:
        answer: dict[str, Any]
        try:
            answer = self._look()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told
            answer = {"reachable": False, "error": tidy(str(error))}
        with self._changed:
            version = {name: self._answer[name] for name in ("version",) if name in self._answer}
            self._answer = {**version, **answer}
            self._at, self._asking = time.monotonic(), False
            self._changed.notify_all()

    def _look(self) -> dict[str, Any]:
        if not self._mounted.options:
            # The app's first contact makes the tables, and shows what its driver is given.
            self._mounted.app.test_client().get("/readyz", buffered=True)
        with self._mounted.outside() as database:
            ((version,),) = database.connection.rows(self._mounted.backend.version)
            transactions = database.open_transactions(within=0)
        return {"reachable": True, "version": version, "transactions": len(transactions)}


def _told(mounted: Mounted, answer: dict[str, Any], silent: float) -> dict[str, Any]:
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
    """The driver and its version."""
    dialect = mounted.engine.dialect
    version = getattr(dialect.loaded_dbapi, "__version__", "").split(" ")[0]
    name = dialect.loaded_dbapi.__name__.partition(".")[0]
    return f"{name} {version}" if version else f"{name} of Python {platform.python_version()}"
