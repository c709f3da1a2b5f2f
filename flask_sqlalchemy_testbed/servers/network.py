"""Use servers that a run logs in to: given servers and throwaway containers.

The run has databases of its own on each.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import TYPE_CHECKING, Protocol

from flask_sqlalchemy_testbed.backends.base import OWN_SESSIONS, POOLED
from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.redaction import know
from flask_sqlalchemy_testbed.servers.given import variable
from flask_sqlalchemy_testbed.servers.readiness import (
    POLL_SECONDS,
    ServerError,
    log_tail,
    login_errors,
    other_kind,
    port_errors,
    wait_until_ready,
)
from flask_sqlalchemy_testbed.servers.unchanged import joining

if TYPE_CHECKING:
    from threading import Event

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.containers import Container


# Seconds for a server that restarts to answer, for an engine to notice that a container has ended, and for a
# run that is ending to drop its databases.
RETURN_TIMEOUT = 2.0
# The capabilities that a container on this machine adds to those of its backend.
OF_A_CONTAINER = frozenset({"container", "throwaway", "routed"})


class Server(Protocol):
    """A place for a run's databases."""

    backend: Backend
    capabilities: frozenset[str]
    version: str
    source: str
    """The origin of the server, for messages."""
    is_reaped: bool
    """Whether the reaper removes the server after the run, so that `close` need not wait for that."""

    @property
    def url(self) -> URL | None:
        """Return the URL of a database on the server to log in to; None for a directory."""

    def locate(self, name: str) -> URL:
        """Return the URL of the database with this name, whether it exists or not.

        Args:
            name: The name of a database of the run.
        """

    def locate_for_app(self, name: str) -> URL:
        """Return the URL by which the app reaches this database: through the pooler, if there is one.

        Args:
            name: The name of a database of the run.
        """

    def create(self, name: str) -> None:
        """Create an empty database.

        Args:
            name: Its name.
        """

    def drop(self, name: str) -> None:
        """Drop the database, and end the sessions in it.

        Args:
            name: Its name.
        """

    def renew_pooled(self, name: str) -> None:
        """Replace the sessions in this database that a pooler holds, if there is one.

        Args:
            name: The name of a database of the run.
        """

    def keep(self, name: str) -> list[str]:
        """Leave a database and its server after the run.

        Args:
            name: The name of the database.

        Returns:
            Lines of text: how to inspect and how to remove them.
        """

    def outage(self) -> str:
        """Return why the server cannot be used any more; an empty string if it can, or may soon."""

    def log(self, since: float) -> str:
        """Return the server's log; empty if it cannot be read.

        Args:
            since: The `time.time()` from which on the log is returned.
        """

    def close(self) -> None:
        """Remove the run's databases, and its container if it owns one."""


class ServerContainer(Protocol):
    """The interface of a `NetworkServer`'s container, which may belong to another process."""

    @property
    def id(self) -> str:
        """Return Docker's id of the container."""

    @property
    def capabilities(self) -> frozenset[str]:
        """Return the capabilities that the container adds to the backend's."""

    @property
    def lingers(self) -> bool:
        """Return whether the container outlives the run: other runs use it too."""

    def has_ended(self) -> bool:
        """Return whether the server has stopped running."""

    def log(self, since: float) -> str:
        """Return the log of the server since this `time.time()`."""

    def keep(self, database: str) -> list[str]:
        """Leave the container after the run; return how to inspect the database and remove both."""

    def remove(self) -> None:
        """Remove it at once, or when its other runs have ended."""


class StartedContainer(ServerContainer, Protocol):
    """The container of a server that this process uses first, or that lingers."""

    @property
    def source(self) -> str:
        """Return its origin, for messages."""

    def url(self) -> URL:
        """Return the URL by which this process reaches the database that the image contains.

        Raises:
            ConnectionError: The container has stopped.
        """


class NetworkServer:
    """A given server, or the server in `container`; the constructor logs in."""

    pooler_container: ServerContainer | None = None
    """The container of the pooler, which may belong to another process."""

    def __init__(  # noqa: PLR0913 - all but the first have names
        self,
        backend: Backend,
        url: URL,
        *,
        source: str,
        container: ServerContainer | None = None,
        pooler: str = "",
        app_url: URL | None = None,
    ) -> None:
        self.backend = backend
        of_container = container.capabilities if container else frozenset()
        self.capabilities = backend.capabilities | of_container | {POOLED if app_url else OWN_SESSIONS}
        self.url = url
        self.pooler = pooler
        """The name of the pooler; empty if the app connects to the server itself."""
        self.app_url = app_url
        """The URL of the pooler."""
        know(url.password)
        self.source = source
        self.container = container
        self.is_reaped = False
        self._databases: list[str] = []
        self._kept: set[str] = set()
        self._connection = Connection(url, options=backend.connect_options, setup=backend.session_setup)
        self.version = str(self._connection.rows(backend.version)[0][0])
        unmet = {name for name, each in backend.conditions.items() if not self._connection.rows(each.query)}
        self.capabilities -= unmet

    def lead_app_through(self, pooler: str, container: Container) -> None:
        """Have the app connect to a pooler, which `close` removes.

        Args:
            pooler: The name of the pooler.
            container: Its container, which is ready.
        """
        self.pooler, self.pooler_container, self.app_url = pooler, container, container.url()
        self.capabilities = self.capabilities - {OWN_SESSIONS} | {POOLED}
        self.source = f"{self.source}, behind {container.source}"

    def renew_pooled(self, name: str) -> None:
        """Have the pooler, if there is one, use new sessions in this database from now on.

        What a client has set stays on a session of the server, and would reach the next test.
        """
        if self.app_url is not None:
            pooler = self.backend.poolers[self.pooler]
            console = Connection(
                self.app_url.set(database=pooler.console), options=self.backend.login_options
            )
            with (
                contextlib.closing(console),
                contextlib.suppress(Exception),
            ):  # It may not know the database yet.
                console.rows(_named(pooler.renew, name))

    def check(self) -> None:
        """Raise ServerError if the server does not meet a requirement of the harness."""
        for (requirement,) in self._connection.rows(self.backend.unmet_requirements):
            message = f"{requirement}."
            raise ServerError(message)

    def outage(self) -> str:
        """Return that the server has ended; it has a moment to answer again."""
        deadline = time.monotonic() + RETURN_TIMEOUT
        while errors := login_errors(self.backend, self.url):
            over = time.monotonic() >= deadline
            if self.container.has_ended() if self.container else over and port_errors(self.url):
                return f"The {self.backend.name} server ({self.source}) has ended: {errors[0].rstrip('.')}."
            if over:
                return ""
            time.sleep(POLL_SECONDS)
        return ""

    def locate(self, name: str) -> URL:
        """Return the URL of the database with this name."""
        return self.url.set(database=name)

    def locate_for_app(self, name: str) -> URL:
        """Return the URL of the database for the app, through the pooler if there is one."""
        return (self.app_url or self.url).set(database=name)

    def create(self, name: str) -> None:
        """Create an empty database, and hold its lock until `close`."""
        lock = _named(self.backend.lock, name)
        if lock not in self._connection.setup:
            self._connection.rows(lock)
            self._connection.setup.append(lock)
            self._databases.append(name)
        self._connection.run([_named(statement, name) for statement in self.backend.create])

    def drop(self, name: str) -> None:
        """Drop the database; first terminate its sessions, which could block that."""
        self.renew_pooled(name)
        for (session,) in self._connection.rows(_named(self.backend.sessions, name)):
            with contextlib.suppress(Exception):
                self._connection.rows(self.backend.terminate.replace("{session}", str(session)))
        self._connection.run([_named(statement, name) for statement in self.backend.drop])

    def sweep(self) -> list[str]:
        """Drop the databases of runs that were killed, and return their names."""
        stale = [name for (name,) in self._connection.rows(self.backend.stale)]
        for name in stale:
            with contextlib.suppress(Exception):  # Another run may be doing the same.
                self.drop(name)
        return stale

    def sweep_all(self) -> None:
        """Drop the databases of runs that were killed.

        Raises:
            ServerError: One cannot be dropped: a prepared transaction may hold it.
        """
        deadline = time.monotonic() + RETURN_TIMEOUT
        while stale := self.sweep():
            if time.monotonic() >= deadline:
                message = f"the database {stale[0]} of an ended run cannot be dropped."
                raise ServerError(message)
            time.sleep(POLL_SECONDS)

    def keep(self, name: str) -> list[str]:
        """Leave the database and its container, and return how to inspect and to remove them."""
        self._kept.add(name)
        connection = Connection(self.locate(name), options=self.backend.connect_options)
        with contextlib.closing(connection):
            connection.run([_named(statement, name) for statement in self.backend.keep])
        if self.container is not None:
            return self.container.keep(name)
        uri = self.locate(name).set(drivername=self.backend.name).render_as_string(hide_password=True)
        return [f"look:   {uri}", f"remove: {_named('; '.join(self.backend.drop), name)}"]

    def log(self, since: float) -> str:
        """Return the output of the container and of the pooler; the log of a given server cannot be read.

        Lines about sessions that were terminated are left out: after almost every leak the harness does that.
        """
        lines = self.container.log(since) if self.container else ""
        of_pooler = self.pooler_container.log(since) if self.pooler_container else ""
        return re.sub(self.backend.log_of_termination, "", lines) + of_pooler

    def close(self) -> None:
        """Remove the container or the databases of the run, and disconnect.

        The container is removed if it is the run's own, else the databases are dropped.
        """
        if self.pooler_container is not None and not self.is_reaped:
            self.pooler_container.remove()
        if self.container is None or self.container.lingers:
            for name in self._remaining():
                self.drop(name)
        elif not self._kept and not self.is_reaped:
            self.container.remove()
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connection, and leave the server and its databases as they are."""
        self._connection.close()

    def _remaining(self) -> list[str]:
        """Return the run's databases on the server, those of its workers included."""
        ours, kept = (tuple(f"{name}_" for name in names) for names in (self._databases, self._kept))
        found = [f"{name}_" for (name,) in self._connection.rows(self.backend.databases)]
        return [name[:-1] for name in found if name.startswith(ours) and not name.startswith(kept)]


def expected_capabilities(backend: Backend, pooler: str = "") -> frozenset[str]:
    """Return the capabilities of the backend's server that are known in advance.

    Args:
        backend: The kind of server.
        pooler: The name of the run's pooler; empty if it has none.
    """
    known = backend.capabilities | {POOLED if pooler in backend.poolers else OWN_SESSIONS}
    if "embedded" in backend.capabilities:
        return known | {"throwaway"}
    given = os.environ.get(variable(backend))
    return known | (set() if given else OF_A_CONTAINER)


def given_server(
    backend: Backend, database: str, given: tuple[str, URL], *, within: float, cancelled: Event
) -> NetworkServer:
    """Wait for a given server, drop the databases of killed runs and create one.

    Args:
        backend: The kind of the server.
        database: The name of the database to create.
        given: The result of `given_url`.
        within: The timeout in seconds.
        cancelled: Waiting ends when this event is set.

    Returns:
        The server, with the database; the caller closes it.

    Raises:
        ServerError: The server is not ready in time or cannot be used.
    """
    source, url = given
    wait_until_ready(backend, url, where=source, within=within, cancelled=cancelled)
    return _with_database(backend, database, source, url)


def server_in(
    container: StartedContainer, backend: Backend, database: str, *, within: float, cancelled: Event
) -> NetworkServer:
    """Wait for the server in a container and create a database on it.

    If that fails, the container is removed.

    Args:
        container: The container, which has been started.
        backend: The kind of the server.
        database: The name of the database to create.
        within: The timeout in seconds.
        cancelled: Waiting ends when this event is set.

    Returns:
        The server, with the database; the caller closes it.

    Raises:
        ServerError: The server is not ready in time or cannot be used.
    """
    source = container.source
    try:
        try:
            url = container.url()
        except ConnectionError:
            message = f"{backend.name} ({source}) ended before it was ready.{log_tail(container)}"
            raise ServerError(message) from None
        wait_until_ready(backend, url, where=source, within=within, container=container, cancelled=cancelled)
        return _with_database(backend, database, source, url, container)
    except BaseException:
        if not (container.lingers and cancelled.is_set()):
            container.remove()
        raise


def _with_database(
    backend: Backend, database: str, source: str, url: URL, container: StartedContainer | None = None
) -> NetworkServer:
    lingers = container is not None and container.lingers
    try:
        with joining(backend, url) if lingers else contextlib.nullcontext():
            server = NetworkServer(backend, url, source=source, container=container)
            try:
                server.check()
                if lingers:
                    server.sweep_all()
                elif container is None:
                    server.sweep()
                server.create(database)
            except BaseException:
                server.disconnect()
                raise
    except Exception as error:  # noqa: BLE001 - mostly the driver's, about a missing privilege
        problem = str(error).strip().splitlines()[0]
        if grant := _missing_grant(backend, url, str(error)):
            problem = f"a privilege is missing. Run this as its administrator: {grant};"
        elif container is None and (other := other_kind(backend, url)):
            problem = f"a {other} server answers at {url.host}:{url.port}. Name another address."
        message = f"{backend.name} ({source}) cannot be used: {problem}"
        kind = type(error) if isinstance(error, ServerError) else ServerError
        raise kind(message) from None
    return server


def _missing_grant(backend: Backend, url: URL, error: str) -> str:
    """Return the statement that grants the missing privilege; empty if none is missing."""
    for pattern, query in backend.grants.items():
        if re.search(pattern, error):
            with contextlib.closing(Connection(url, options=backend.connect_options)) as connection:
                ((statement,),) = connection.rows(query)
            return str(statement)
    return ""


def _named(statement: str, database: str) -> str:
    return statement.replace("{database}", database)
