"""Wait until a server is ready.

It is ready when the application's user can log in to the application's database over TCP.
"""

from __future__ import annotations

import re
import socket
import time
from typing import TYPE_CHECKING, Protocol

from flask_sqlalchemy_testbed.backends import BACKENDS
from flask_sqlalchemy_testbed.backends.connection import Connection

if TYPE_CHECKING:
    from threading import Event

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend, Greeting

POLL_SECONDS = 0.02
# Each query to the Docker engine takes processor time from the server that is starting.
CONTAINER_POLL_SECONDS = 0.25
LOG_TAIL_LINES = 5
# A server that speaks first does so at once.
GREETING_SECONDS = 0.5


class ServerError(Exception):
    """A server cannot be used.

    The message is one line with the reason and the remedy, without passwords.
    """

    def __str__(self) -> str:
        from flask_sqlalchemy_testbed.redaction import redact  # noqa: PLC0415 - compiles a long pattern

        return redact(super().__str__())


class StartingContainer(Protocol):
    """The container of a server that is starting."""

    def has_ended(self) -> bool:
        """Return whether the server has stopped running."""

    def log(self, since: float) -> str:
        """Return the server's log since this `time.time()`."""


def wait_until_ready(  # noqa: PLR0913 - each is a reason to stop waiting
    backend: Backend,
    url: URL,
    *,
    where: str,
    within: float,
    container: StartingContainer | None = None,
    cancelled: Event | None = None,
) -> None:
    """Return as soon as a log-in succeeds.

    Args:
        backend: The kind of the server.
        url: Where to log in, with the driver.
        where: The source of the server, for the message.
        within: The timeout in seconds.
        container: The container of the server; waiting ends when it has stopped.
        cancelled: Waiting ends when this event is set.

    Raises:
        ServerError: The server refuses the log-in, has ended or was not ready in time.
    """
    next_check = time.monotonic() + CONTAINER_POLL_SECONDS
    deadline = time.monotonic() + within
    is_first = True
    while errors := port_errors(url) or login_errors(backend, url):
        problem = ""
        if is_first and container is None and _has_no_address(url):
            problem = f"cannot be used: the host {url.host} has no address. Correct its name."
        elif fatal := [line for line in errors if re.search(backend.fatal_login_error, line)]:
            remedy = (
                ". Correct the user, the password or the database of its URI." if container is None else ""
            )
            problem = f"refuses the log-in of {url.username or 'nobody'}: {fatal[0]}{remedy}"
        elif is_first and container is None and (other := other_kind(backend, url)):
            problem = (
                f"cannot be used: a {other} server answers at {url.host}:{url.port}. Name another address."
            )
        elif cancelled is not None and cancelled.is_set():
            problem = "is no longer needed: startup was cancelled."
        elif container is not None and time.monotonic() >= next_check and container.has_ended():
            problem = "ended before it was ready."
        elif time.monotonic() >= deadline:
            remedy = " Start it, or correct its address." if container is None else ""
            problem = f"was not ready within {within:g} s: {errors[0]}.{remedy}"
        if problem:
            message = f"{backend.name} ({where}) {problem}{log_tail(container)}"
            raise ServerError(message)
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + CONTAINER_POLL_SECONDS
        is_first = False
        time.sleep(POLL_SECONDS)


def log_tail(container: StartingContainer | None) -> str:
    """Return the last lines of the log as a sentence to append; empty if there is no log."""
    lines = container.log(0).strip().splitlines()[-LOG_TAIL_LINES:] if container is not None else []
    return f" Its log ends: {' | '.join(lines)}" if lines else ""


def other_kind(backend: Backend, url: URL) -> str:
    """Return the backend whose server answers at the address of this one's; empty if it is no other.

    Args:
        backend: The kind that is expected.
        url: The address of the server.
    """
    if _greets(url, backend.greeting):
        return ""
    return next((other.name for other in BACKENDS.values() if _greets(url, other.greeting)), "")


def _has_no_address(url: URL) -> bool:
    """Return whether the name of the host is unknown, and not only for the moment."""
    try:
        # libpq takes a folder or several names, too.
        if url.host and not re.search("[/,]", url.host):
            socket.getaddrinfo(url.host, None)
    except socket.gaierror as error:
        return error.errno == socket.EAI_NONAME
    return False


def _greets(url: URL, greeting: Greeting | None) -> bool:
    if greeting is None or not url.host or not url.port:
        return False
    try:
        with socket.create_connection((url.host, url.port), timeout=GREETING_SECONDS) as connection:
            connection.sendall(greeting.question)
            return re.match(greeting.answer, connection.recv(64)) is not None
    except OSError:
        return False


def port_errors(url: URL) -> list[str]:
    """Return the error if nothing listens on the port yet.

    A bare socket costs less than the driver.
    """
    if url.host and url.port:
        try:
            socket.create_connection((url.host, url.port), timeout=POLL_SECONDS).close()
        except ConnectionRefusedError as error:
            return [str(error)]
        except OSError:
            pass
    return []


def login_errors(backend: Backend, url: URL) -> list[str]:
    """Return the lines of the driver's error; an empty list if the log-in succeeds."""
    connection = Connection(url, options=backend.login_options)
    try:
        connection.rows("SELECT 1")
    except Exception as error:  # noqa: BLE001 - each driver has its own
        # If psycopg has tried several addresses, a headline comes before their errors.
        lines = [line.strip() for line in str(error).splitlines() if not line.rstrip().endswith(":")]
        return [line for line in lines if line] or [type(error).__name__]
    finally:
        connection.close()
    return []
