"""While its database is away, the app starts and answers 503; afterwards it recovers by itself."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
from flask.testing import FlaskClient
from sqlalchemy import make_url

from app import create_app
from flask_sqlalchemy_testbed.backends import Backend
from flask_sqlalchemy_testbed.databases import Database


class Route(Protocol):
    """A route to the test's database that can be closed."""

    uri: str

    def open(self) -> None: ...
    def shut(self) -> None: ...


class Link:
    """A route to a file: a symbolic link to its folder."""

    def __init__(self, uri: str, folder: Path) -> None:
        path = Path(make_url(uri).database or "")
        self._target = path.parent
        self._link = folder / "link"
        self.uri = f"sqlite:///{self._link / path.name}"

    def open(self) -> None:
        self._link.symlink_to(self._target)

    def shut(self) -> None:
        self._link.unlink(missing_ok=True)


class Proxy:
    """A route to a server: a port that forwards to it."""

    def __init__(self, uri: str) -> None:
        url = make_url(uri)
        self._target = (url.host or "", url.port or 0)
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._listener: socket.socket | None = None
        self._through: list[socket.socket] = []
        self._flowing = threading.Event()
        self._flowing.set()
        self.uri = url.set(host="127.0.0.1", port=self._port).render_as_string(hide_password=False)

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        self._flowing.set()
        if self._listener is not None:
            # close() alone would not wake the thread in accept().
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        while self._through:
            with contextlib.suppress(OSError):
                self._through.pop().shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Keep every connection but forward nothing, like a paused server."""
        self._flowing.clear()

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                server = socket.create_connection(self._target)
                self._through += [client, server]
                for pair in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=pair, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def route(testbed_database: Database, testbed_backend: Backend, tmp_path: Path) -> Iterator[Route]:
    route = (
        Proxy(testbed_database.uri)
        if "server" in testbed_backend.capabilities
        else Link(testbed_database.uri, tmp_path)
    )
    yield route
    route.shut()


@pytest.fixture
def client(route: Route) -> FlaskClient:
    return create_app({"DATABASE_URI": route.uri}).test_client()


def test_the_app_starts_while_its_database_is_away_and_answers_503(client: FlaskClient) -> None:
    answer = client.get("/readyz")

    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert answer.mimetype == "application/problem+json"
    assert client.get("/healthz").status_code == 200


def test_the_app_recovers_without_a_restart(client: FlaskClient, route: Route) -> None:
    assert client.get("/readyz").status_code == 503
    route.open()

    assert client.get("/readyz").status_code == 200


def test_the_app_survives_a_restart_of_its_database(client: FlaskClient, route: Route) -> None:
    route.open()
    assert client.get("/readyz").status_code == 200
    route.shut()
    client.application.extensions["database"].engine.dispose()
    assert client.get("/readyz").status_code == 503
    route.open()

    assert client.get("/readyz").status_code == 200


@pytest.mark.testbed_needs("server")
def test_a_restart_of_the_server_between_two_requests_fails_neither(
    client: FlaskClient, route: Route
) -> None:
    route.open()
    assert client.get("/readyz").status_code == 200
    route.shut()
    route.open()

    assert client.get("/readyz").status_code == 200


@pytest.mark.testbed_needs("server")
def test_the_503_does_not_contain_the_password(client: FlaskClient, route: Route) -> None:
    password = make_url(route.uri).password

    assert password
    assert f":{password}@" not in client.get("/readyz").text


# Limits the wait for an answer to one second.
WAIT_LIMITS: dict[str, dict[str, Any]] = {
    "postgresql": {"DATABASE_WAIT_SECONDS": 1},
    "mysql": {"DATABASE_ENGINE_OPTIONS": {"connect_args": {"read_timeout": 1}}},
}


@pytest.fixture
def no_wait_limit_afterwards() -> Iterator[None]:
    """Lift the limit of psycopg2, which is one for the whole process."""
    yield
    if psycopg2 := sys.modules.get("psycopg2"):
        psycopg2.extensions.set_wait_callback(None)


@pytest.mark.testbed_needs("server")
@pytest.mark.usefixtures("no_wait_limit_afterwards")
def test_a_server_that_is_frozen_as_a_whole_does_not_block_a_request_forever(
    route: Proxy, testbed_backend: Backend
) -> None:
    client = create_app({"DATABASE_URI": route.uri, **WAIT_LIMITS[testbed_backend.name]}).test_client()
    route.open()
    assert client.get("/readyz").status_code == 200
    route.freeze()
    began = time.monotonic()

    assert client.get("/readyz").status_code == 503
    # The time for the ping of the pooled connection, and for a new connection.
    assert time.monotonic() - began < 10
