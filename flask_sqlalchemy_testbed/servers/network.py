"""Where a server comes from: the URI in `TESTBED_<BACKEND>_URI`, else a container of the run's own."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING, Protocol

from flask_sqlalchemy_testbed.backends.connection import Connection
from flask_sqlalchemy_testbed.servers.given import given_url, variable
from flask_sqlalchemy_testbed.servers.readiness import ServerError, end_of_log, wait_until_ready

if TYPE_CHECKING:
    from collections.abc import Callable
    from threading import Event

    from sqlalchemy.engine import URL

    from flask_sqlalchemy_testbed.backends.base import Backend
    from flask_sqlalchemy_testbed.servers.containers import Container

# A server that is given should be there already: so many seconds are for one that is just being restarted.
GRACE = 5.0
# What is baked into our own; it lets in nobody but this machine, so it is no secret.
USER = PASSWORD = DATABASE = "testbed"  # noqa: S105


class Server(Protocol):
    """A place where a run has databases of its own."""

    backend: Backend
    capabilities: frozenset[str]
    version: str
    source: str

    @property
    def url(self) -> URL | None:
        """How to log in; None where there is nothing to log in to."""

    def locate(self, name: str) -> URL:
        """The URL of the database of that name, whether it exists or not."""

    def create(self, name: str) -> None:
        """Makes an empty database of that name."""

    def drop(self, name: str) -> None:
        """Removes it with all that is in it, ending the sessions in it."""

    def keep(self, name: str) -> list[str]:
        """Leaves it after the run; answers how to look into it and how to remove it."""

    def log(self, since: float) -> str:
        """What the server wrote since that `time.time()`; empty where its log is out of reach."""

    def close(self) -> None:
        """Removes what the run made here."""


class Housing(Protocol):
    """The container that a server is in, as far as the server minds."""

    @property
    def id(self) -> str:
        """What Docker calls it."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What it adds to those of the backend."""

    @property
    def stays(self) -> bool:
        """Whether it outlives the run, for others."""

    def log(self, since: float) -> str:
        """What the server wrote since that `time.time()`."""

    def keep(self, database: str) -> list[str]:
        """Lets it live on; answers how to look into it and how to remove it."""

    def remove(self) -> None:
        """The server is needed no more."""


class NetworkServer:
    """A server that one logs in to: a given one, or the one in `container`."""

    def __init__(self, backend: Backend, url: URL, *, source: str, container: Housing | None = None) -> None:
        self.backend = backend
        self.capabilities = backend.capabilities | (container.capabilities if container else set())
        self.url = url
        self.source = source
        self.container = container
        self.is_reaped = False
        """Whether somebody else removes the container when the run is over, and nobody waits for that."""
        self._databases: list[str] = []
        self._kept: set[str] = set()
        self._connection = Connection(url, options=backend.connect_options, setup=backend.patience)
        self.version = str(self._connection.rows(backend.version)[0][0])

    def check(self) -> None:
        """Raises what stops this server from being used."""
        for (complaint,) in self._connection.rows(self.backend.complaint):
            message = f"{complaint}."
            raise ServerError(message)

    def locate(self, name: str) -> URL:
        """The URL of the database of that name."""
        return self.url.set(database=name)

    def create(self, name: str) -> None:
        """Makes an empty database, locked as in use for as long as the run lasts."""
        lock = _named(self.backend.lock, name)
        if lock not in self._connection.setup:
            self._connection.rows(lock)
            self._connection.setup.append(lock)
            self._databases.append(name)
        self._connection.run([_named(statement, name) for statement in self.backend.create])

    def drop(self, name: str) -> None:
        """Removes it; the sessions in it are ended first, or they could hold it up."""
        for (session,) in self._connection.rows(_named(self.backend.sessions, name)):
            with contextlib.suppress(Exception):
                self._connection.rows(self.backend.terminate.replace("{session}", str(session)))
        self._connection.run([_named(statement, name) for statement in self.backend.drop])

    def sweep(self) -> list[str]:
        """Drops the databases of runs that were killed; another run may be doing the same."""
        stale = [name for (name,) in self._connection.rows(self.backend.stale)]
        for name in stale:
            with contextlib.suppress(Exception):
                self.drop(name)
        return stale

    def keep(self, name: str) -> list[str]:
        """Leaves the database, and the container that it is in."""
        self._kept.add(name)
        with contextlib.closing(
            Connection(self.locate(name), options=self.backend.connect_options)
        ) as inside:
            inside.run([_named(statement, name) for statement in self.backend.keep])
        if self.container is not None:
            return self.container.keep(name)
        uri = self.locate(name).set(drivername=self.backend.name).render_as_string(hide_password=True)
        return [f"look:   {uri}", f"remove: {_named('; '.join(self.backend.drop), name)}"]

    def log(self, since: float) -> str:
        """The container's output; a given server's log is out of reach."""
        return self.container.log(since) if self.container else ""

    def close(self) -> None:
        """Drops the databases, or the container whole."""
        if self.container is None or self.container.stays:
            for name in self._left():
                self.drop(name)
        elif not self._kept and not self.is_reaped:
            self.container.remove()
        self.hang_up()

    def hang_up(self) -> None:
        """Asks nothing more of it, and leaves it as it is."""
        self._connection.close()

    def _left(self) -> list[str]:
        """Its databases, and those of workers that could not drop theirs."""
        ours, kept = (tuple(f"{name}_" for name in names) for names in (self._databases, self._kept))
        found = [f"{name}_" for (name,) in self._connection.rows(self.backend.databases)]
        return [name[:-1] for name in found if name.startswith(ours) and not name.startswith(kept)]


def obtain(  # noqa: PLR0913 - all but the first two have names
    backend: Backend,
    name: str,
    *,
    start: Callable[[Backend], Container],
    within: float,
    stopped: Event,
    tell: Callable[[str], None] = print,
) -> NetworkServer:
    """A server with a database of that name; `ServerError` says in one line why there is none.

    A given one is swept of what killed runs left. It gives up when `stopped` is set.
    """
    until = time.monotonic() + within
    if given := given_url(backend):
        source, url = given
        wait_until_ready(backend, url, where=source, within=min(within, GRACE), stopped=stopped)
        return _prepared(backend, name, url, source)
    container = start(backend)
    if container.stays:
        try:
            url = container.url(backend.drivername, USER, PASSWORD, DATABASE)
            source, soon = container.source, min(within, GRACE)
            wait_until_ready(backend, url, where=source, within=soon, container=container, stopped=stopped)
            return _prepared(backend, name, url, source, container)
        except (ServerError, ConnectionError) as error:
            tell(f"testbed: another {backend.name} takes the place of the one that stayed: {error}")
            container.remove()
            container = start(backend)
    source = container.source
    try:
        try:
            url = container.url(backend.drivername, USER, PASSWORD, DATABASE)
        except ConnectionError:  # It has no port any more.
            message = f"{backend.name} ({source}) ended before it was ready.{end_of_log(container)}"
            raise ServerError(message) from None
        left = round(max(0.0, until - time.monotonic()), 1)
        wait_until_ready(backend, url, where=source, within=left, container=container, stopped=stopped)
        return _prepared(backend, name, url, source, container)
    except BaseException:
        container.remove()
        raise


def expected_capabilities(backend: Backend) -> frozenset[str]:
    """What the server of that backend will be capable of, as far as can be told before there is one."""
    if backend.recipe is None:
        return backend.capabilities | {"throwaway"}
    given = os.environ.get(variable(backend))
    return backend.capabilities | (set() if given else {"container", "throwaway", "routed"})


def _prepared(
    backend: Backend, name: str, url: URL, source: str, container: Container | None = None
) -> NetworkServer:
    try:
        server = NetworkServer(backend, url, source=source, container=container)
        try:
            server.check()
            if container is None or container.stays:
                server.sweep()
            server.create(name)
        except BaseException:
            server.hang_up()
            raise
    except Exception as error:  # noqa: BLE001  (mostly the driver's, about a privilege that is missing)
        message = f"{backend.name} ({source}) cannot be used: {str(error).strip().splitlines()[0]}"
        raise ServerError(message) from None
    return server


def _named(statement: str, database: str) -> str:
    return statement.replace("{database}", database)
