"""Ready means: the application's user logs in, over TCP, to the application's database. Nothing less."""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Protocol

from flask_sqlalchemy_testbed.backends.connection import Connection

if TYPE_CHECKING:
    from threading import Event

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend

POLL_EVERY = 0.02
# To ask the engine takes its time from the server that is starting.
LOOK_EVERY = 0.25
END_OF_LOG = 5


class ServerError(Exception):
    """A server that was asked for cannot be had; the message is one line that says why and what to do."""


class Endable(Protocol):
    """What a server runs in, when that is the run's own."""

    def has_ended(self) -> bool:
        """Whether no waiting will help any more."""

    def log(self, since: float) -> str:
        """What the server wrote."""


def wait_until_ready(  # noqa: PLR0913  (each is a reason to stop waiting)
    backend: Backend,
    url: URL,
    *,
    where: str,
    within: float,
    container: Endable | None = None,
    stopped: Event | None = None,
) -> None:
    """Returns as soon as the log-in succeeds; gives up at once when the server refuses it, or has ended.

    So it does when `stopped` is set, by somebody who wants the server no more.
    """
    look_again = time.monotonic() + LOOK_EVERY
    deadline = time.monotonic() + within
    while answer := _refused(url) or _attempt(Connection(url, options=backend.login_options)):
        problem = ""
        if re.search(backend.refusal, answer):
            problem = f"refuses the log-in of {url.username or 'nobody'}: {answer}"
        elif stopped is not None and stopped.is_set():
            problem = "is wanted no more."
        elif container is not None and time.monotonic() >= look_again and container.has_ended():
            problem = "ended before it was ready."
        elif time.monotonic() >= deadline:
            problem = f"was not ready within {within:g} s: {answer}."
        if problem:
            message = f"{backend.name} ({where}) {problem}{end_of_log(container)}"
            raise ServerError(message)
        if time.monotonic() >= look_again:
            look_again = time.monotonic() + LOOK_EVERY
        time.sleep(POLL_EVERY)


def _refused(url: URL) -> str:
    """That nobody listens there yet. A driver may read files before it tries, and takes the server's time."""
    if url.host and url.port:
        try:
            socket.create_connection((url.host, url.port), timeout=POLL_EVERY).close()
        except ConnectionRefusedError as error:
            return str(error)
        except OSError:
            pass
    return ""


def _attempt(connection: Connection) -> str:
    """What the driver says against it, in one line; nothing when it is in."""
    try:
        connection.rows("SELECT 1")
    except Exception as error:  # noqa: BLE001  (each driver has its own)
        return " ".join(str(error).strip().splitlines()[:1]) or type(error).__name__
    finally:
        connection.close()
    return ""


def end_of_log(container: Endable | None) -> str:
    """What it said last, as a sentence to append; nothing where there is no log."""
    lines = container.log(0).strip().splitlines()[-END_OF_LOG:] if container is not None else []
    return f" Its log ends: {' | '.join(lines)}" if lines else ""
